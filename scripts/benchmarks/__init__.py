"""The benchmarks: one module each, with a `main()` that prints its table."""
