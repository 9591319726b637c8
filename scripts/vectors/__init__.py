"""The vectors of tests/conformance: inputs, programs, what is right, and the files that hold them."""
