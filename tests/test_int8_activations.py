"""Products of a few rows, which MLXFFI_INT8_ACTIVATIONS=1 allows to be rounded to 8 bits: near, and else as without."""

import numpy as np
import pytest
from helpers import computed, computed_by_any_number_of_threads, needs_own_mlxc
from losses_oracle import array_of, as_numpy
from packing_oracle import packed
from test_losses_transforms import instruction_sets

pytestmark = needs_own_mlxc

ASKED = {"MLXFFI_INT8_ACTIVATIONS": "1"}
SCHEMES = [("affine", group, bits) for bits in (1, 2, 3, 4, 5, 6, 8) for group in (32, 64, 128)]
# Codes of 3, 5 and 6 bits lie across bytes.
ROUNDED = (1, 2, 4, 8)
COUNTS = (1, 2, 3, 4, 5, 97)
# Several vectors of 1-bit codes, and what no number of groups of 8 is.
TERMS, COLUMNS = 1280, 37

BEGIN = """
import numpy as np
from losses_oracle import array_of, as_numpy
from packing_oracle import packed
from test_int8_activations import COLUMNS, COUNTS, SCHEMES, TERMS, rows_of
from test_packed_products import product
import mlxffi as m
def show(array):
    print(as_numpy(array).tobytes().hex())
"""
EVERY = f"""{BEGIN}
for scheme in SCHEMES:
    arguments, _ = packed((COLUMNS, TERMS), scheme)
    for count in COUNTS:
        show(product(rows_of(count)[0], arguments, scheme))
"""


def rows_of(count, terms=TERMS, dtype="float32"):
    """Rows of all sizes."""
    rng = np.random.default_rng(count)
    return array_of(rng.normal(size=(count, terms)) * 10.0 ** rng.integers(-3, 4, (count, 1)), dtype)


def bound(values, groups, numbers, scheme):
    """What half a step of rounding each number comes to, and what float32 leaves of the sum; of scales and biases."""
    _, group, bits = scheme
    scales, biases = (np.repeat(part, group, -1) for part in groups)
    from_middle = np.abs(numbers - scales * 2 ** (bits - 1) - biases)
    half_steps = np.abs(values).reshape(len(values), -1, group).max(-1).repeat(group, -1) / 254
    return half_steps @ from_middle.T + 4e-7 * np.abs(values) @ (np.abs(numbers) + from_middle).T


def by_case(lines):
    """The products of EVERY by scheme and number of rows."""
    found = dict(zip(((scheme, count) for scheme in SCHEMES for count in COUNTS), lines, strict=True))
    return {case: line.reshape(case[1], COLUMNS) for case, line in found.items()}


def require_near(found, count, shape, scheme):
    """Of the product of `count` rows with a packed matrix of a shape."""
    arguments, numbers = packed(shape, scheme)
    values, groups = rows_of(count, shape[1])[1], map(as_numpy, arguments[1:])
    assert (np.abs(found - values @ numbers.T) <= bound(values, groups, numbers, scheme)).all(), (count, shape, scheme)


def test_products_are_within_what_rounding_may_take():
    asked, exact = by_case(computed(EVERY, **ASKED)), by_case(computed(EVERY))
    for (scheme, count), found in asked.items():
        require_near(found, count, (COLUMNS, TERMS), scheme)
        # As many rows as 97 are multiplied by the BLAS.
        if scheme[2] not in ROUNDED or count == 97:
            np.testing.assert_array_equal(found, exact[scheme, count])


def test_every_instruction_set():
    for name in instruction_sets():
        for (scheme, count), found in by_case(computed(EVERY, MLXFFI_SIMD=name, **ASKED)).items():
            require_near(found, count, (COLUMNS, TERMS), scheme)


def test_rows_are_rounded_where_that_is_asked_for_alone():
    exact, off, asked = (
        by_case(computed(EVERY, **environ)) for environ in ({}, {"MLXFFI_INT8_ACTIVATIONS": "0"}, ASKED)
    )
    for case, found in exact.items():
        np.testing.assert_array_equal(off[case], found)
    if "avx2" in instruction_sets():
        assert all((asked[case] != exact[case]).any() for case in exact if case[0][2] in ROUNDED and case[1] < 97)


SIZES = f"""{BEGIN}
for terms in range(32, 800, 32):
    arguments, _ = packed((3, terms), ("affine", 32, 4))
    show(product(rows_of(2, terms)[0], arguments, ("affine", 32, 4)))
"""


def test_rows_of_any_number_of_groups():
    for terms, found in zip(range(32, 800, 32), computed(SIZES, **ASKED), strict=True):
        require_near(found.reshape(2, 3), 2, (3, terms), ("affine", 32, 4))


UNUSUAL = f"""{BEGIN}
from test_int8_activations import unusual
for bits in (4, 8):
    for dtype in ("float32", "bfloat16"):
        for pair in unusual():
            scheme = ("affine", 64, bits)
            show(product(array_of(pair, dtype)[0], packed((COLUMNS, 256), scheme, dtype)[0], scheme))
"""


def unusual():
    """Pairs of rows, float64 [5, 2, 256]: one that no whole numbers stand for, or of zeros alone, beside another."""
    pairs = np.random.default_rng(1).normal(size=(5, 2, 256))
    pairs[0, 0, 70], pairs[1, 0, 70] = np.inf, np.nan
    pairs[2, 0] *= 1e36
    pairs[3, 0] *= 1e-36
    pairs[4, 0] = 0
    return pairs


def test_what_cannot_be_rounded_is_multiplied_as_without_asking():
    asked, exact = (np.reshape(computed(UNUSUAL, **environ), (4, 5, 2, COLUMNS)) for environ in (ASKED, {}))
    np.testing.assert_array_equal(asked[:, :, 0], exact[:, :, 0])
    assert not np.isfinite(asked[:, :2, 0]).any()
    assert (asked[:, 4, 0] == 0).all()
    # The other row is rounded as ever.
    np.testing.assert_allclose(asked[:, 1:, 1], exact[:, 1:, 1], atol=0.02 * np.abs(exact[:, 1:, 1]).max())


DERIVATIVES = f"""{BEGIN}
for transpose in (True, False):
    shape = (COLUMNS, TERMS) if transpose else (TERMS, 128)
    arguments, _ = packed(shape, ("affine", 32, 4))
    x, g = rows_of(2)[0], rows_of(2, COLUMNS if transpose else 128)[0]
    of = lambda v: [product(v[0], [arguments[0], *v[1:]], ("affine", 32, 4), transpose)]
    for gradient in m.vjp(of, [x, *arguments[1:]], [g])[1]:
        show(gradient)
    show(m.jvp(of, [x, *arguments[1:]], [x, *arguments[1:]])[1][0])
"""


def test_derivatives_are_those_without_asking():
    for asked, exact in zip(computed(DERIVATIVES, **ASKED), computed(DERIVATIVES), strict=True):
        np.testing.assert_array_equal(asked, exact)


LAYERS = f"""{BEGIN}
scheme = ("affine", 32, 4)
(w, s, b), _ = packed((2, COLUMNS, TERMS), scheme)
x = m.reshape(rows_of(2)[0], [2, 1, TERMS])
right = m.Array(np.array([1, 0], np.uint32))
show(m.gather_qmm(x, w, s, b, None, right, True, 32, 4, "affine"))
show(m.vmap(lambda v: [m.quantized_matmul(*v, True, 32, 4, "affine")], in_axes=[0] * 4)([x, w, s, b])[0])
zeros = m.zeros([TERMS, 2]), m.zeros([2, COLUMNS])
(w, s, b) = (m.take_axis(array, 0, 0) for array in (w, s, b))
show(m.fused.lora_linear(x, w, *zeros, 1.0, scales=s, biases=b, group_size=32, bits=4))
"""


def test_other_layers_round_too():
    scheme = ("affine", 32, 4)
    arguments, numbers = packed((2, COLUMNS, TERMS), scheme)
    values, parts = rows_of(2)[1], [as_numpy(part) for part in arguments[1:]]
    asked, exact = computed(LAYERS, **ASKED), computed(LAYERS)
    for choice, found, unrounded in zip(([1, 0], [0, 1], [0, 0]), asked, exact, strict=True):
        assert (found != unrounded).any() or "avx2" not in instruction_sets()
        for row, matrix in enumerate(choice):
            error = bound(values[[row]], [part[matrix] for part in parts], numbers[matrix], scheme)
            assert (np.abs(found.reshape(2, -1)[row] - values[row] @ numbers[matrix].T) <= error).all()


def test_any_number_of_threads_gives_the_same(monkeypatch):
    monkeypatch.setenv("MLXFFI_INT8_ACTIVATIONS", "1")
    computed_by_any_number_of_threads(EVERY + LAYERS)


@pytest.mark.parametrize("value", ["yes", "2", " 1"])
def test_what_the_setting_may_be(value):
    program = f"{BEGIN}\nproduct(rows_of(1)[0], packed((COLUMNS, TERMS), SCHEMES[0])[0], SCHEMES[0])"
    with pytest.raises(AssertionError, match=f'MLXFFI_INT8_ACTIVATIONS: expected 0 or 1, got "{value}"'):
        computed(program, MLXFFI_INT8_ACTIVATIONS=value)
