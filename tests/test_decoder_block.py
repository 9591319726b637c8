"""A decoder's block as one kernel agrees with float64 numpy: dtypes, packings, adapters, norms of heads, positions."""

import fused_oracle as oracle
import numpy as np
import pytest
from helpers import (
    check_grads,
    computed_by_any_number_of_threads,
    counts_references,
    error_of,
    needs_own_mlxc,
)
from losses_oracle import array_of, as_numpy, require_close
from packing_oracle import packed

import mlxffi as m
from mlxffi.blocks import DecoderBlock, Linear

pytestmark = needs_own_mlxc

# Relative to the largest number of a row; rounded to the dtype between the parts.
ERROR = {"float32": 5e-6, "float16": 4e-3, "bfloat16": 3e-2, "float64": 1e-6}
WIDTH, INNER, HEADS, KEY_HEADS, FEATURES, RANK, ROOM = 64, 96, 4, 2, 32, 3, 9
SIZES = {
    "query": (WIDTH, HEADS * FEATURES), "key": (WIDTH, KEY_HEADS * FEATURES), "value": (WIDTH, KEY_HEADS * FEATURES),
    "output": (HEADS * FEATURES, WIDTH), "gate": (WIDTH, INNER), "up": (WIDTH, INNER), "down": (INNER, WIDTH),
}  # fmt: skip
OPTIONS = {"heads": HEADS, "key_heads": KEY_HEADS, "eps": 1e-5, "attention_scale": 0.2, "rope_base": 100.0}


class Case:
    """A block's arguments and the numbers that they stand for."""

    def __init__(self, dtype, scheme=None, adapted=False, biased=False, normed=False, factors=None):
        self._rng, self._dtype = np.random.default_rng(0), dtype
        self.layers, self.numbers = {}, {}
        for name, sizes in SIZES.items():
            self._add(name, sizes, scheme, adapted and (factors or dtype), biased)
        names = ["attention_norm", "mlp_norm", *(["query_norm", "key_norm"] if normed else [])]
        sizes = {"attention_norm": WIDTH, "mlp_norm": WIDTH, "query_norm": FEATURES, "key_norm": FEATURES}
        # Packed numbers are large, and must not leave float16 when they are multiplied.
        size = 0.004 if scheme else 1.0
        made = {name: self.array(sizes[name], size=size) for name in names}
        self.norms = {name: array for name, (array, _) in made.items()}
        self.numbers |= {name: values for name, (_, values) in made.items()}
        self.block = DecoderBlock(self.layers, self.norms, **OPTIONS)

    def array(self, *shape, dtype=None, size=1.0):
        return array_of(self._rng.normal(size=shape) * size, dtype or self._dtype)

    def _add(self, name, sizes, scheme, factors, biased):
        (into, out), rest, extra = sizes, {}, 0.0
        if scheme is None:
            weight, numbers = self.array(out, into, size=into**-0.5)
        else:
            (weight, *parts), numbers = packed((out, into), scheme, self._dtype, seed=len(self.layers))
            rest |= dict(zip(("scales", "biases"), parts, strict=False))
            rest |= dict(zip(("mode", "group_size", "bits"), scheme, strict=True))
        if factors:
            (rest["a"], a), (rest["b"], b) = self.array(into, RANK, dtype=factors), self.array(RANK, out, dtype=factors)
            rest["scale"], numbers = 0.1, numbers + 0.1 * (a @ b).T
        if biased:
            rest["bias"], extra = self.array(out)
        self.layers[name] = Linear(weight, **rest)
        self.numbers[name] = lambda x, numbers=numbers, extra=extra: x @ numbers.T + extra

    def wanted(self, x, keys, values, first):
        """The block's three results."""
        of, (batch, length, _) = self.numbers, x.shape

        def heads(y, name, norm):
            parts = of[name](y).reshape(batch, length, -1, FEATURES)
            return (oracle.rms_norm(parts, of[norm], 1e-5) if norm in of else parts).swapaxes(1, 2)

        y = oracle.rms_norm(x, of["attention_norm"], 1e-5)
        q, k = (oracle.rope(heads(y, n, f"{n}_norm"), FEATURES, base=100.0, offset=first) for n in ("query", "key"))
        keys, values = keys.copy(), values.copy()
        last = first + length
        keys[:, :, first:last], values[:, :, first:last] = k, heads(y, "value", "")
        both = (part[:, :, :last].repeat(HEADS // KEY_HEADS, 1) for part in (keys, values))
        seen = oracle.attention(q, *both, 0.2, causal=True).swapaxes(1, 2).reshape(batch, length, -1)
        x = x + of["output"](seen)
        y = oracle.rms_norm(x, of["mlp_norm"], 1e-5)
        return x + of["down"](oracle.gate("swiglu", of["gate"](y))[0] * of["up"](y)), keys, values


def require_right(case, dtype, batch=1, length=1, first=5):
    arrays, numbers = zip(
        case.array(batch, length, WIDTH), *(case.array(batch, KEY_HEADS, ROOM, FEATURES) for _ in range(2)), strict=True
    )
    found = case.block(*arrays, first)
    for one, other, given in zip(found, case.wanted(*numbers, first), arrays, strict=True):
        assert (one.dtype, one.shape) == (given.dtype, given.shape)
        require_close(one, other, ERROR[dtype])


@pytest.mark.parametrize("dtype", ERROR)
@pytest.mark.parametrize("kind", [{}, {"adapted": True}, {"biased": True, "normed": True}])
@pytest.mark.parametrize("sizes", [(1, 1, 0), (1, 1, 8), (2, 3, 2)])
def test_values(sizes, kind, dtype):
    require_right(Case(dtype, **kind), dtype, *sizes)


SCHEMES = [("affine", 32, 4), ("affine", 32, 8), ("affine", 32, 3), ("mxfp4", 32, 4), ("nvfp4", 16, 4)]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("adapted", [False, True])
def test_packed_weights(adapted, scheme, dtype):
    case = Case(dtype, scheme, adapted, factors="float32")
    require_right(case, dtype)
    require_right(case, dtype, 2, 2, 3)


def test_gradients():
    case = Case("float64", adapted=True, normed=True)
    keys, values = (case.array(1, KEY_HEADS, ROOM, FEATURES)[0] for _ in range(2))

    def through(v):
        y, k, w = case.block(v[0], v[1], values, 4)
        return [y, m.sum_all(k), m.sum_all(w)]

    check_grads(through, [case.array(1, 2, WIDTH)[0], keys], order=1)


@pytest.mark.parametrize("scheme", [None, ("affine", 32, 4)])
def test_gradients_of_the_kernel_are_those_of_float64(scheme):
    found = []
    for dtype in ("float32", "float64"):
        case = Case(dtype, scheme)
        x, keys, values = case.array(1, 1, WIDTH)[0], *(case.array(1, KEY_HEADS, ROOM, FEATURES)[0] for _ in range(2))
        cotangents = [m.ones(list(array.shape), dtype) for array in (x, keys, values)]
        if scheme and dtype == "float64":
            for name, one in case.layers.items():
                case.layers[name] = Linear(m.dequantize(one.weight, one.scales, one.biases, 32, 4))
            case.block = DecoderBlock(case.layers, case.norms, **OPTIONS)
        found.append(m.vjp(lambda v, case=case: list(case.block(*v, 4)), [x, keys, values], cotangents)[1])
    for one, other in zip(*found, strict=True):
        require_close(one, as_numpy(other), 1e-4)


@counts_references
@pytest.mark.parametrize("asked_for", [1, 3])
def test_text_grows_in_its_own_memory(asked_for):
    case = Case("bfloat16")
    keys, values = (m.zeros([1, KEY_HEADS, 512, FEATURES], "bfloat16") for _ in range(2))
    m.eval(keys, values)
    x = case.array(1, 1, WIDTH)[0]
    for first in range(3):
        x, keys, values = case.block(x, keys, values, first)
        m.eval(*[x, keys, values][:asked_for])
    m.memory.reset_peak_memory()
    before = m.memory.active_memory()
    for first in range(3, 6):
        x, keys, values = case.block(x, keys, values, first)
        m.eval(*[x, keys, values][:asked_for])
    assert m.memory.peak_memory() - before < keys.nbytes


def test_what_somebody_holds_stays_as_it_is():
    case = Case("float32")
    (keys, numbers), (values, _) = (case.array(1, KEY_HEADS, ROOM, FEATURES) for _ in range(2))
    x = case.array(1, 1, WIDTH)[0]
    m.eval(*case.block(x, keys, values, 2))
    np.testing.assert_array_equal(as_numpy(keys), numbers)


def test_any_number_of_threads():
    computed_by_any_number_of_threads("""
import numpy as np, mlxffi as m
from mlxffi.blocks import DecoderBlock, Linear
rng = np.random.default_rng(0)
array = lambda *shape: m.Array(rng.normal(size=shape).astype(np.float32) / 16)
sizes = {"query": (512, 512), "key": (256, 512), "value": (256, 512), "output": (512, 512)}
sizes |= {"gate": (1200, 512), "up": (1200, 512), "down": (512, 1200)}
norms = {"attention_norm": array(512), "mlp_norm": array(512)}
options = {"heads": 8, "key_heads": 4, "eps": 1e-5, "attention_scale": 0.125}
block = DecoderBlock({name: Linear(array(*size)) for name, size in sizes.items()}, norms, **options)
y, _, _ = block(array(1, 2, 512), array(1, 4, 2000, 64), array(1, 4, 2000, 64), 1990)
print(np.array(y.tolist()).tobytes().hex())
""")


def test_wrong_arguments_are_named():
    case = Case("float32")
    x, keys = case.array(1, 1, WIDTH)[0], case.array(1, KEY_HEADS, ROOM, FEATURES)[0]
    assert "keys" in str(error_of(lambda: case.block(x, x, keys, 0)))
    assert "values" in str(error_of(lambda: case.block(x, keys, case.array(1, KEY_HEADS, ROOM, 2)[0], 0)))
    assert "from 9 on" in str(error_of(lambda: case.block(x, keys, keys, ROOM)))
    assert "gate" in str(error_of(lambda: case.block(case.array(1, 1, 8)[0], keys, keys, 0)))
    assert "layers" in str(error_of(lambda: DecoderBlock({}, case.norms, **OPTIONS)))
    lone = {**case.layers, "up": Linear(case.layers["up"].weight, a=m.zeros([WIDTH, 2]))}
    assert "up" in str(error_of(lambda: DecoderBlock(lone, case.norms, **OPTIONS)(x, keys, keys, 0)))
    wrong = {**case.layers, "down": case.layers["up"]}
    assert "down" in str(error_of(lambda: DecoderBlock(wrong, case.norms, **OPTIONS)(x, keys, keys, 0)))
