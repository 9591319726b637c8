"""Several LoRA adapters as one, whose update of each weight is made of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ... import core as mx
from ..._errors import ArgumentError
from .. import checks, layers
from ..layers import Kind
from ..trees import unflatten
from .adapter import Adapter
from .config import LoRAConfig
from .initial import Factors, kind_of_factors, named
from .targets import is_embedding

METHODS = ("linear", "ties")


class Merged(NamedTuple):
    """An adapter that was made of several.

    Args:
      adapter: the adapter.
      kept: the part of the update's squares that its rank keeps; 1 where it keeps all.
    """

    adapter: Adapter
    kept: float


def merge(
    adapters: Sequence[Adapter],
    weights: Sequence[float],
    method: str = "linear",
    *,
    density: float = 0.2,
    rank: int | None = None,
) -> Merged:
    """One adapter made of several, each of which may have its own layers, rank and scale.

    Args:
      adapters: LoRA, without dropout from now on.
      weights: of each adapter's update.
      method: "linear" adds the weighted updates; their factors beside each other are exactly that. "ties" keeps the
        largest entries of each update, elects a sign for each entry, and takes the mean of the weighted ones of that
        sign; of the result, factors keep what their rank has room for.
      density: the part of an update's entries that "ties" keeps, 0 < density <= 1.
      rank: of the factors; None for the sum of all ranks of the layer that has most. Smaller ones keep the largest
        singular values.

    Returns:
      an adapter of one rank and a scale of 1, as mlx_lm and PEFT read it, and how much of the update is in it.

    Raises:
      ValueError: an option is not as above, an adapter is DoRA, or a layer has another shape in two of them.

    Source: "ties" is Yadav et al. 2023, section 4.2.
    """
    _require(adapters, weights, method, density)
    updates = [_updates(adapter, weight) for adapter, weight in zip(adapters, weights, strict=True)]
    by_layer: dict[str, list[Factors]] = {}
    for update in updates:
        for path, factors in update.items():
            by_layer.setdefault(path, []).append(factors)
    most = max(sum(down.shape[-1] for down, _ in found) for found in by_layer.values())
    wanted = most if rank is None else checks.count("merge", "rank", rank, 1)
    made: dict[str, mx.array] = {}
    kept = total = 0.0
    for path, found in by_layer.items():
        _require_shapes(path, found)
        whole = _ties(found, density) if method == "ties" else _beside(found)
        factors, squares = _of_rank(whole, wanted)
        kind: Kind = "switch" if whole[0].ndim == 3 else "embedding" if is_embedding(path) else "linear"
        made |= {f"{path}.{name}": item for name, item in named(kind, factors).items()}
        kept, total = kept + squares[0], total + squares[1]
    config = LoRAConfig(rank=wanted, scale=1.0, keys=tuple(by_layer))
    return Merged(Adapter(unflatten(made), config), kept / total if total else 1.0)


def _require(adapters: Sequence[Adapter], weights: Sequence[float], method: str, density: float) -> None:
    if len(adapters) < 2 or len(weights) != len(adapters):
        got = f"got {len(adapters)} and {len(weights)}"
        raise ArgumentError(f"[merge] adapters, weights: expected two adapters or more and a weight for each, {got}")
    for index, adapter in enumerate(adapters):
        checks.instance("merge", f"adapters[{index}]", adapter, Adapter)
    for index, weight in enumerate(weights):
        checks.finite("merge", f"weights[{index}]", weight)
    if method not in METHODS:
        raise ArgumentError(f"[merge] method: expected one of {', '.join(METHODS)}, got {method!r}")
    checks.share("merge", "density", density)
    if any(adapter.whole() for adapter in adapters):
        raise ArgumentError("[merge] adapters: expected factors alone; one has parameters of the model beside them")
    if any(adapter.config.use_dora for adapter in adapters):
        raise ArgumentError("[merge] adapters: expected LoRA; what DoRA changes depends on the weights of the model")


def _require_shapes(path: str, found: Sequence[Factors]) -> None:
    shapes = {(down.shape[:-1], up.shape[:-2], up.shape[-1]) for down, up in found}
    if len(shapes) > 1:
        raise ArgumentError(f"[merge] {path}: expected adapters of one model, got layers of other shapes: {shapes}")


# --- factors ---


def _updates(adapter: Adapter, weight: float) -> dict[str, Factors]:
    """The factors of each layer, float32, which multiply to weight * scale * (the adapter's product)."""
    found = {}
    for path, node in adapter.layers().items():
        down, up = (item.astype(mx.float32) for item in layers.factors(node, kind_of_factors(path, node)))
        found[path] = down, weight * node["scaling"].scale * up
    return found


def _beside(found: Sequence[Factors]) -> Factors:
    """Factors whose product is the sum of those of several."""
    downs, ups = zip(*found, strict=True)
    return mx.concatenate(downs, axis=-1), mx.concatenate(ups, axis=-2)


def _of_rank(factors: Factors, rank: int) -> tuple[Factors, tuple[float, float]]:
    """Factors of a rank, and the squares of the product's entries that are kept, and of all."""
    if factors[0].shape[-1] > rank:
        factors, squares = _truncated(factors, rank)
    else:
        squares = (_squares(factors),) * 2
    down, up = factors
    missing, none = rank - down.shape[-1], [(0, 0)] * (down.ndim - 2)
    return (mx.pad(down, [*none, (0, 0), (0, missing)]), mx.pad(up, [*none, (0, missing), (0, 0)])), squares


def _squares(factors: Factors) -> float:
    """The sum of the squares of a product's entries, without the product."""
    down, up = factors
    found: float = ((down.swapaxes(-1, -2) @ down) * (up @ up.swapaxes(-1, -2))).sum().item()
    return found


def _truncated(factors: Factors, rank: int) -> tuple[Factors, tuple[float, float]]:
    """Factors of the largest singular values of a product, which itself is never made."""
    down, up = factors
    with mx.stream(mx.cpu):
        q_down, r_down = mx.linalg.qr(down)
        q_up, r_up = mx.linalg.qr(up.swapaxes(-1, -2))
        u, values, vt = mx.linalg.svd(r_down @ r_up.swapaxes(-1, -2))
        kept = min(rank, values.shape[-1])
        roots, squares = mx.sqrt(values[..., None, :kept]), values.square()
        down, up = q_down @ u[..., :kept] * roots, q_up @ vt.swapaxes(-1, -2)[..., :kept] * roots
        return (down, up.swapaxes(-1, -2)), (squares[..., :kept].sum().item(), squares.sum().item())


# --- TIES ---


def _ties(found: Sequence[Factors], density: float) -> Factors:
    """Trim, elect signs, and merge: updates [..., in, out] to factors of full rank."""
    trimmed = mx.stack([_trimmed(down @ up, density) for down, up in found])
    elected = mx.sign(trimmed.sum(axis=0))
    agrees = (mx.sign(trimmed) == elected) & (trimmed != 0)
    count = mx.maximum(agrees.sum(axis=0), 1)
    merged = mx.where(agrees, trimmed, 0).sum(axis=0) / count
    inputs, outputs = merged.shape[-2:]
    unit = mx.broadcast_to(mx.eye(min(inputs, outputs)), (*merged.shape[:-2], *[min(inputs, outputs)] * 2))
    return (unit, merged) if inputs <= outputs else (merged, unit)


def _trimmed(update: mx.array, density: float) -> mx.array:
    """An update without all but its largest entries."""
    sizes = mx.abs(update)
    count = max(int(density * update.size), 1)
    least = mx.topk(sizes.reshape(-1), count).min()
    return mx.where(sizes < least, 0, update)
