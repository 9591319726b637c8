"""Elementwise operations, reductions, casts and lookups: mlxffi.core, mlx.core, numpy and, where installed, PyTorch.

All run in one process, in turns; in it MLX finds the large pages that libmlxc asks for, too.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# First: the BLAS bridge must come before libmlx binds its BLAS.
from mlxffi import core

# isort: split
import mlx.core as mx
import numpy as np

from ._machine import described

ROUNDS = 7
# Of a library that takes longer: as many rounds as fit into so many seconds, and at least two.
MOST_SECONDS, LEAST_ROUNDS = 0.3, 2
SIZES = {"16 M": (1 << 24, 1), "256 K": (1 << 18, 8), "1 K": (1 << 10, 200)}

# What is computed of arrays `x` and `y` of a module that names functions as numpy does. "half" has bfloat16 inputs.
Work = Callable[[Any, Any, Any], Any]
UNARY = """
exp expm1 log log2 log10 log1p sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arctanh sqrt rsqrt square abs
negative floor ceil round sign sigmoid erf
"""
BINARY = """
add subtract multiply divide power maximum minimum arctan2 logaddexp equal greater less_equal
"""
NUMPY_LACKS: dict[str, Callable[[Any], Any]] = {
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
TORCH_NAMES = {"equal": "eq", "greater": "gt", "less_equal": "le", "power": "pow"}


def _named(name: str, count: int) -> Work:
    def work(module: Any, x: Any, y: Any) -> Any:
        if module is np and name in NUMPY_LACKS:
            return NUMPY_LACKS[name](x)
        function = getattr(module, TORCH_NAMES.get(name, name) if module.__name__ == "torch" else name)
        return function(x) if count == 1 else function(x, y)

    return work


def _cast(dtype: str) -> Work:
    def work(module: Any, x: Any, y: Any) -> Any:
        if module.__name__ == "torch":
            return x.to(getattr(module, dtype))
        return x.astype(getattr(module, dtype))

    return work


def _reduction(name: str, *axis: int) -> Work:
    return lambda module, x, y: getattr(x, name)(*axis)


def _softmax(module: Any, x: Any, y: Any) -> Any:
    if module is np:
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    return module.softmax(x, -1)


def works() -> dict[str, Work]:
    """The rows by name."""
    rows: dict[str, Work] = {name: _named(name, 1) for name in UNARY.split()}
    rows |= {name: _named(name, 2) for name in BINARY.split()}
    rows |= {f"to {dtype}": _cast(dtype) for dtype in ("float16", "bfloat16", "int32", "uint8")}
    rows["softmax"] = _softmax
    rows["where"] = lambda module, x, y: module.where(x > y, x, y)
    for name in ("sum", "mean", "max", "argmax"):
        rows[f"{name} of all"] = _reduction(name)
        rows[f"{name} of rows"] = _reduction(name, -1)
        rows[f"{name} of columns"] = _reduction(name, 0)
    rows["row + column"] = lambda module, x, y: x + x[:, :1]
    rows["times a row"] = lambda module, x, y: x * x[0]
    rows["transposed + 1"] = lambda module, x, y: x.T + 1
    return rows | _scans() | _sorts() | _lookups()


def _scans() -> dict[str, Work]:
    rows: dict[str, Work] = {
        "cumsum": lambda module, x, y: module.cumsum(x, 1),
        "cumsum of columns": lambda module, x, y: module.cumsum(x, 0),
        "cumprod": lambda module, x, y: module.cumprod(x, 1),
    }
    for name, accumulated in (("cummax", np.maximum), ("logcumsumexp", np.logaddexp)):
        rows[name] = _scan(name, accumulated)
    return rows


def _scan(name: str, accumulated: np.ufunc) -> Work:
    return lambda module, x, y: accumulated.accumulate(x, 1) if module is np else getattr(module, name)(x, axis=1)


def _sorts() -> dict[str, Work]:
    rows: dict[str, Work] = {}
    for name in ("sort", "argsort"):
        rows |= {name: _along(name, -1), f"{name} of columns": _along(name, 0), f"{name} of all": _flat(name)}
    rows |= {name: _halved(name) for name in ("partition", "argpartition")}
    rows["median"] = _along("median", -1)
    return rows


def _along(name: str, axis: int) -> Work:
    return lambda module, x, y: getattr(module, name)(x, axis)


def _flat(name: str) -> Work:
    return lambda module, x, y: getattr(module, name)(x.reshape(-1))


def _halved(name: str) -> Work:
    return lambda module, x, y: getattr(module, name)(x, x.shape[-1] // 2, -1)


def _lookups() -> dict[str, Work]:
    """Of and into random rows, columns and numbers; the indices are made once for each module and shape."""
    return {
        "take rows": lambda module, x, y: module.take(x, _indices(module, x.shape[0], x.shape[0]), 0),
        "take columns": lambda module, x, y: module.take(x, _indices(module, x.shape[1], x.shape[1]), 1),
        "take numbers": lambda module, x, y: module.take(x.reshape(-1), _indices(module, x.size, x.size)),
        "take_along_axis": lambda module, x, y: module.take_along_axis(
            x, _indices(module, x.shape[1], x.size).reshape(x.shape), 1
        ),
        "add to rows": _add_to_rows,
    }


@functools.lru_cache
def _indices(module: Any, below: int, count: int) -> Any:
    return module.array(np.random.default_rng(0).integers(0, below, count).astype(np.int32))


def _add_to_rows(module: Any, x: Any, y: Any) -> Any:
    indices = _indices(module, x.shape[0], x.shape[0])
    if module is not np:
        return x.at[indices].add(y)
    result = x.copy()
    np.add.at(result, indices, y)
    return result


def _evaluated(work: Work, module: Any, x: Any, y: Any) -> Callable[[], object]:
    return lambda: module.eval(work(module, x, y))


# The arrays of one size and type are those of all its rows.
@functools.lru_cache(1)
def _numbers(size: int) -> Any:
    columns = min(size, 1024)
    return np.random.default_rng(0).uniform(0.05, 0.95, (2, size // columns, columns)).astype(np.float32)


@functools.lru_cache(4)
def _arrays(module: Any, size: int, half: bool) -> Any:
    if module is np:
        return _numbers(size)
    dtype = module.bfloat16 if half else module.float32
    if module.__name__ == "torch":
        return [module.tensor(part).to(dtype) for part in _numbers(size)]
    arrays = [module.array(part).astype(dtype) for part in _numbers(size)]
    module.eval(arrays)
    return arrays


def contestants(name: str, size: int, half: bool) -> dict[str, Callable[[], object]]:
    """What each library does for a row."""
    work = works()[name]
    found = {
        label: _evaluated(work, module, *_arrays(module, size, half))
        for label, module in (("mlxffi", core), ("mlx.core", mx))
    }
    if not half:
        found["numpy"] = lambda: work(np, *_arrays(np, size, half))
    if importlib.util.find_spec("torch"):
        import torch

        found["torch"] = lambda: work(torch, *_arrays(torch, size, half))
    return found


def _seconds(run: Callable[[], object], times: int) -> tuple[float, float]:
    if times > 1:
        run()  # What the others left in the caches, or took from them, is not this one's.
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times, (time.process_time() - cpu) / times


def measured(found: dict[str, Callable[[], object]], times: int) -> dict[str, tuple[float, float]]:
    """The medians of the rounds, by the clock and of all threads; a library without the operation is left out."""
    taken: dict[str, list[tuple[float, float]]] = {}
    for label, run in found.items():
        try:
            run()
            taken[label] = []
        except (AttributeError, TypeError, KeyError):
            pass
    for done in range(ROUNDS):
        for label, seconds in taken.items():
            if done < LEAST_ROUNDS or times * sum(wall for wall, _ in seconds) < MOST_SECONDS:
                seconds.append(_seconds(found[label], times))
    return {
        label: (statistics.median(wall for wall, _ in seconds), statistics.median(cpu for _, cpu in seconds))
        for label, seconds in taken.items()
    }


def memory_time(size: int, times: int) -> float:
    """The seconds of copying as many float32 on all cores, to memory that is there already."""
    cores = len(os.sched_getaffinity(0))
    source, target = np.ones(size, np.float32), np.zeros(size, np.float32)
    parts = list(zip(np.array_split(source, cores), np.array_split(target, cores), strict=True))
    with ThreadPoolExecutor(cores) as pool:
        return measured({"copy": lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))}, times)[
            "copy"
        ][0]


def main(*rows: str) -> None:
    """Print microseconds by the clock / of all threads, and how many times ours the others take by the clock."""
    print(
        f"{described()}; medians of {ROUNDS} in turns, of a library that takes long of those within {MOST_SECONDS} s, "
        f"at least {LEAST_ROUNDS}"
    )
    print("us by the clock / of all threads; in brackets the clock as a multiple of mlxffi's")
    for label, (size, times) in SIZES.items():
        for half in (False, True):
            copying = memory_time(size, times) * 1e6
            print(f"--- {label} {'bfloat16' if half else 'float32'}; copying float32 on all cores: {copying:.0f} us")
            for name in rows or works():
                found = measured(contestants(name, size, half), times)
                ours = found.get("mlxffi", (float("nan"),))[0]
                parts = [
                    f"{who} {wall * 1e6:.1f} / {cpu * 1e6:.1f} ({wall / ours:.2f})"
                    for who, (wall, cpu) in found.items()
                ]
                print(f"{name:18}" + "   ".join(parts), flush=True)


if __name__ == "__main__":
    main()
