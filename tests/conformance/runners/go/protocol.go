package main
func inexpressible(id string) string { return "stub" }
func runProtocol(id string) string { return "" }
func child(name string) int { return 2 }
