"""Where the sweep's checks do not hold, and why that is right or has to stay."""

from __future__ import annotations

from catalogue import Case

# Operation and check -> the reason.
DEPARTURES: dict[tuple[str, str], str] = {}


def reason_of(case: Case, check: str) -> str | None:
    return DEPARTURES.get((case.operation, check))
