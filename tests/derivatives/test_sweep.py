"""Every check of every case of the catalogue, by operation; and that the catalogue has the table's operations."""

from itertools import groupby

import pytest
from catalogue import cases
from checks import checks_of, outcome
from departures import DEPARTURES, UNSWEPT, reason_of
from steps import step_cases

from scripts.generator.table import load

pytestmark = pytest.mark.usefixtures("without_compiler")

HEADERS = ("ops", "fft", "fast", "linalg")
ALL = sorted([*cases(), *step_cases()], key=lambda case: case.operation)
BY_OPERATION = {name: list(group) for name, group in groupby(ALL, lambda case: case.operation)}


@pytest.mark.parametrize("operation", BY_OPERATION)
def test_derivatives_and_maps(operation):
    found = [
        f"{case.label} · {check}: {problem}"
        for case in BY_OPERATION[operation]
        for check in checks_of(case)
        if not reason_of(case, check) and (problem := outcome(case, check))
    ]
    assert found == []


def test_the_table_of_departures_has_no_more_than_it_needs():
    for operation, check in DEPARTURES:
        assert any(outcome(case, check) for case in BY_OPERATION[operation]), (operation, check)


def test_the_catalogue_has_the_tables_operations():
    table = set()
    for header in load():
        if header.name in HEADERS:
            prefix = "" if header.name == "ops" else f"{header.name}."
            names = (f.core.partition("(")[0] for f in header.functions if f.core)
            table |= {prefix + name for name in names}
    missing = table - set(BY_OPERATION) - set(UNSWEPT)
    assert missing == set()
    assert set(UNSWEPT) <= table
