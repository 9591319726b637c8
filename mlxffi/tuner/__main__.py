"""`python -m mlxffi.tuner` is `mlxffi-lora`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
