"""Every parameter of every function by its name: whatever mlx.core takes, with the same outcome."""

import inspect
import operator

import cases  # noqa: F401 (adds to CASES)
import mlx.core as theirs
import module_cases
import more_cases  # noqa: F401 (adds to CASES)
import pytest
from both import alike, outcome
from specs import CASES, call

import mlxffi.core as ours

KINDS = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
# Each number of arguments and set of keywords once, and of those only so many calls.
MOST = 8
# Where mlx.core is wrong (docs/differences.md), or leaves the order of the numbers open.
DIFFERENT = {"linalg.cholesky", "partition"}


def names_of(name):
    """The parameters that a function of ours has, whatever it says about how they are to be given."""
    parameters = inspect.signature(operator.attrgetter(name)(ours)).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind in KINDS]


def forms(name):
    """One call for each number of arguments that are given, which mlx.core takes."""
    found = {}
    for case in CASES[name]:
        form = len(case.args), tuple(sorted(dict(case.kwargs)))
        if len(found) < MOST and form not in found and not isinstance(outcome(case, theirs), type):
            found[form] = case
    return found.values()


def named_calls(case):
    """The call, with more and more of its last arguments by name."""
    names = names_of(case.name)[: len(case.args)]
    # The last ones of einsum are given one by one.
    for count in range(len(case.args) if len(names) == len(case.args) else 0):
        named = dict(zip(names[count:], case.args[count:], strict=True))
        yield call(case.name, *case.args[:count], **named, **dict(case.kwargs))


@pytest.mark.parametrize("name", CASES)
def test_each_parameter_by_its_name(name):
    wrong, exact = [], name not in module_cases.INEXACT
    for case in (named for form in forms(name) for named in named_calls(form)):
        found, wanted = outcome(case, ours), outcome(case, theirs)
        # It refuses some that its own stub has, such as add(a=...).
        if wanted is not TypeError and name not in DIFFERENT and not alike(found, wanted, exact):
            wrong.append(f"{case}\n  ours   {found!r}\n  theirs {wanted!r}")
    assert not wrong, "\n".join(wrong)
