"""Every argument of every function as numbers, containers, index objects and others: the same outcome as in mlx.core.

Where a call is valid, each of its arguments is replaced by each value in turn.
"""

import collections
import dataclasses
from decimal import Decimal
from fractions import Fraction
from typing import Any

import cases  # noqa: F401 (adds to CASES)
import mlx.core as theirs
import more_cases  # noqa: F401 (adds to CASES)
import numpy as np
import pytest
from both import alike, outcome
from specs import CASES, call
from test_keywords import forms

import mlxffi.core as ours


class Index:
    def __index__(self):
        return 1


class Float:
    def __float__(self):
        return 1.0


class Complex:
    def __complex__(self):
        return 1j


class List(list):
    pass


class Tuple(tuple):
    __slots__ = ()


Pair = collections.namedtuple("Pair", "a b")
VALUES = [
    True, 1, 1.0, 1j, np.int64(1), np.float32(1), np.float64(1), np.bool_(True), Fraction(1), Decimal(1), Index(),
    Float(), Complex(), None, "a", b"a", [1], (1,), [1, 0], List([1]), Tuple((1,)), Pair(1, 0), [], (), {}, {1},
    range(1), np.array([1]), np.array(1.0), [True], [1.0], [np.int64(1)], [Index()], [None], slice(1), Ellipsis, type,
]  # fmt: skip
# Where mlx.core reads memory that is not there, or is wrong (docs/differences.md); numbers that differ in each call.
LEFT_OUT = (
    "random", "take", "put", "gather", "scatter", "as_strided", "slice", "eig", "cholesky", "svd", "linalg.inv",
    "linalg.solve", "linalg.lu",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Given:
    """A value that is the same in both libraries."""

    value: Any

    def real(self, mx):
        return self.value


def names():
    return [name for name in CASES if not any(part in name for part in LEFT_OUT)]


@pytest.mark.parametrize("name", names())
def test_any_value_in_the_place_of_each_argument(name):
    wrong = []
    for case in list(forms(name))[:2]:
        for place, value in ((place, value) for place in range(len(case.args)) for value in VALUES):
            arguments = [*case.args[:place], Given(value), *case.args[place + 1 :]]
            changed = call(name, *arguments, **dict(case.kwargs))
            found, wanted = outcome(changed, ours), outcome(changed, theirs)
            if not alike(found, wanted, exact=False):
                wrong.append(f"{changed}\n  ours   {found!r}\n  theirs {wanted!r}")
    assert not wrong, "\n".join(wrong)
