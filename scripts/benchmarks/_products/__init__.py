"""The programs of `bench.py products`: one for each library; each times the products that its input names."""
