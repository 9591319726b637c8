"""`python -m quickstart`, with the packages of the extra `plot`; scripts/quickstart.sh installs them."""

import sys
from importlib.util import find_spec

missing = [package for package in ("mlxffi", "matplotlib", "tqdm") if find_spec(package) is None]
if missing:
    print(f"quickstart: error: {', '.join(missing)} not found; pip install 'mlxffi[cpu,plot]'", file=sys.stderr)
    sys.exit(2)

from .cli import main  # noqa: E402

sys.exit(main())
