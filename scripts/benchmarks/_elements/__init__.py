"""What `bench.py elementwise` and `bench.py casts` measure: rows, their inputs, and the measuring."""
