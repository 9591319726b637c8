"""The first real job: a small transformer learns English prose, byte by byte, through mlxffi.

Read in this order: text.py (what it learns from), model.py (the network), optimizer.py (AdamW), job.py (the compiled
step), sampling.py, files.py (checkpoint and curve), cli.py. Every number comes from mlxffi's operations and transforms.
"""
