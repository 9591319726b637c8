"""Where the sweep's checks do not hold, and why that is right or has to stay."""

from __future__ import annotations

from catalogue import Case

ONCE = "an error by name: products of updates at shared places are differentiated once"
NARROW = "MLX's operation, in float32 also for float64; its derivatives are right to that"
VECTORS = "an error by name: the second derivative needs that of the vectors of a matrix that is not square"
SECOND = ("second of forward", "second of reverse")

# Operation and check -> the reason.
DEPARTURES: dict[tuple[str, str], str] = {
    ("stop_gradient", "forward"): "that is what it is for: its differences are those of the identity",
    **{("linalg.svd", check): VECTORS for check in SECOND},
    **{("fast.rope", check): NARROW for check in ("forward", "reverse", "vmap")},
    **{(operation, check): ONCE for operation in ("at.multiply", "at.divide") for check in SECOND},
}

CONSTANT = "its results follow from no array, or are several packed ones"
CONSTANTS = """
bartlett blackman fft.fftfreq fft.rfftfreq hamming hanning identity ones zeros eye linspace ones_like tri zeros_like
quantize unique
"""

# Operations that the catalogue has not -> the reason.
UNSWEPT: dict[str, str] = {
    **dict.fromkeys(CONSTANTS.split(), CONSTANT),
    **dict.fromkeys(
        ["dequantize", "gather_qmm", "gather_qqmm", "qqmm"],
        "packed weights: MLX's own derivatives, on which its tests stand",
    ),
    **dict.fromkeys(
        ["linalg.eig", "linalg.eigvals", "linalg.lu", "linalg.lu_factor"],
        "no derivative, which is an error by name",
    ),
}


def reason_of(case: Case, check: str) -> str | None:
    return DEPARTURES.get((case.operation, check))
