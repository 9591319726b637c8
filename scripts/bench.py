#!/usr/bin/env python3
"""Run a benchmark: what is compared runs in one process tree, in turns, and medians and ratios are printed.

usage: python scripts/bench.py NAME [ROW ...]     (names: the modules in scripts/benchmarks; rows of `elementwise`)
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil

import benchmarks


def main() -> None:
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=names)
    parser.add_argument("rows", nargs="*", help="only these, where the benchmark has rows to choose from")
    options = parser.parse_args()
    importlib.import_module(f"benchmarks.{options.name}").main(*options.rows)


if __name__ == "__main__":
    main()
