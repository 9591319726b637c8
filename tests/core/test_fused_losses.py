"""mlxffi.core.fast.cross_entropy runs on the fused kernels and gives what mlx.core gives, with less rounding."""

import numpy as np
import pytest

import mlxffi.core as ours

# isort: split
import mlx.core as theirs

LOGITS = np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32) * 4
TARGETS = np.array([0, 49, -1, -50, 7, 20])


def both(dtype):
    """Values and gradients of a weighted sum of losses, by each library; mlx.core's in float32."""
    found = []
    for mx, compute in ((ours, dtype), (theirs, "float32")):
        logits = mx.array(LOGITS).astype(getattr(mx, dtype)).astype(getattr(mx, compute))
        targets, weights = mx.array(TARGETS), mx.arange(6).astype(mx.float32)

        def loss(logits, mx=mx, targets=targets, weights=weights):
            losses = mx.fast.cross_entropy(logits, targets)
            return (losses * weights).sum(), losses

        (_, losses), gradient = mx.value_and_grad(loss)(logits)
        found.append((losses.dtype == mx.float32, np.array(losses), np.array(gradient.astype(mx.float32))))
    return found


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 1e-6), ("float16", 1e-3), ("bfloat16", 8e-3)])
def test_values_and_gradients(dtype, rounding):
    (single, values, gradient), (wanted_single, wanted, wanted_gradient) = both(dtype)
    assert single
    assert wanted_single
    np.testing.assert_allclose(values, wanted, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(gradient, wanted_gradient, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "uint8", "uint64"])
def test_targets_of_any_integer_dtype(kind):
    targets = np.minimum(np.abs(TARGETS) if kind.startswith("u") else TARGETS, 49).astype(kind)
    found, wanted = (np.array(mx.fast.cross_entropy(mx.array(LOGITS), mx.array(targets))) for mx in (ours, theirs))
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


def test_float64_logits_give_float32():
    logits = ours.array(LOGITS).astype(ours.float64, stream=ours.cpu)
    assert ours.fast.cross_entropy(logits, ours.array(TARGETS), stream=ours.cpu).dtype is ours.float32


def test_under_transforms():
    def total(logits):
        return ours.fast.cross_entropy(logits, ours.array(TARGETS)).sum()

    logits = ours.array(LOGITS)
    wanted = total(logits).item()
    assert ours.compile(total)(logits).item() == pytest.approx(wanted)
    assert ours.checkpoint(total)(logits).item() == pytest.approx(wanted)
    rows = ours.vmap(lambda row, target: ours.fast.cross_entropy(row, target))(logits, ours.array(TARGETS))
    assert rows.sum().item() == pytest.approx(wanted)
