"""The command line: `mlxffi-lora`, or `python -m mlxffi.tuner`."""

from .main import main as main
