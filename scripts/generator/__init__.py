"""The generator behind scripts/generate.py: one table in, headers, C++ and glue out."""
