"""One LoRA step of the same model on the same tokens, as each library does it; each module is a program of its own.

usage, with scripts/ on the path: python -m benchmarks._tuner_steps.MODULE FOLDER STEPS
FOLDER is what `benchmarks.tuner` wrote.
"""
