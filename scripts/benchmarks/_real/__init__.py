"""SmolLM2-135M-Instruct as each library trains and runs it; each module but `model` is a program of its own.

usage, with scripts/ on the path: python -m benchmarks._real.MODULE FOLDER TASK
FOLDER is what `model.prepared` made, of one precision.
"""
