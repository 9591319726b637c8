"""`python -m quickstart`; scripts/quickstart.sh makes an environment for it."""

import importlib.util
import sys

for module in ("matplotlib", "tqdm", "mlxffi"):
    if importlib.util.find_spec(module) is None:
        sys.exit(f"quickstart: error: {module} is not installed")

from .cli import main

sys.exit(main())
