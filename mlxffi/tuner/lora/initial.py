"""Factors that begin with a part of each weight, and what stands in files for them: the change since then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from ... import core as mx
from ..._errors import ArgumentError
from .. import layers
from ..layers import Kind, Node
from ..trees import Tree, unflatten
from .adapter import Adapter, adapted_layers, trained_whole
from .config import PISSA, LoRAConfig
from .targets import is_embedding, kind_of

# Factors as a layer multiplies its input by them: down [..., in, rank], up [..., rank, out].
Factors: TypeAlias = "tuple[mx.array, mx.array]"

# Directions beside the rank, with which an iteration finds those of the rank better.
SPARE = 8


def create_from_weights(parameters: Tree, config: LoRAConfig) -> tuple[Adapter, Adapter]:
    """A new adapter that begins with a part of each weight, and its negative, which is attached as a second adapter.

    Together they change nothing. The weights stay as they are, quantized ones, too, instead of being replaced by what
    is left of them.

    Args:
      parameters: the tree to adapt.
      config: whose `init_lora_weights` is "pissa", "pissa_niter_N" or "olora".

    Returns:
      (the adapter to train, its negative, which has no dropout).

    Raises:
      ValueError: no layer is chosen, a rank is larger than its layer's smaller side, or a scale is not above 0.

    Source: Meng et al. 2024, PiSSA; Büyükakyüz 2024, OLoRA.
    """
    nodes = adapted_layers(parameters, config)
    starts: dict[str, mx.array] = {}
    negative: dict[str, mx.array] = {}
    for path, node in nodes.items():
        kind = kind_of(path, node) or "linear"
        down, up = _begun(path, node, config)
        starts |= _at(path, named(kind, (down, up)))
        # Arrays of its own, as a compiled step must not capture what is its input.
        negative |= _at(path, named(kind, (down + 0, -up)))
    mx.eval(starts, negative)
    starts |= trained_whole(parameters, config, nodes)
    return Adapter(unflatten(starts), config), Adapter(unflatten(negative), replace(config, dropout=0.0))


def since(adapter: Adapter, start: Adapter) -> Adapter:
    """An adapter of twice the rank that makes the same change as an adapter made since its start.

    Args:
      adapter: as trained.
      start: as it was when training began; of the same layers and ranks.

    Returns:
      An adapter for the model without the negative of the start.
    """
    before, made = start.layers(), adapter.whole()
    for path, node in adapter.layers().items():
        kind = kind_of_factors(path, node)
        pairs = [layers.factors(node, kind), layers.factors(before[path], kind)]
        (down, up), (first_down, first_up) = pairs
        both = mx.concatenate([down, first_down], axis=-1), mx.concatenate([up, -first_up], axis=-2)
        made |= _at(path, named(kind, both))
    return Adapter(unflatten(made), _doubled(adapter.config, list(before)))


def begun(trained: Tree) -> Tree:
    """What `since` makes of parameters at their start: an adapter that changes nothing.

    Args:
      trained: an adapter's parameters, a tree.

    Returns:
      A tree of factors of twice the rank; the product of each pair is 0.
    """
    start = Adapter(trained, LoRAConfig())
    return since(start, start).parameters


def _doubled(config: LoRAConfig, paths: list[str]) -> LoRAConfig:
    """Of twice the rank, with the same scales."""
    plain = replace(
        config, rank=2 * config.rank, scale=config.scale_of(""), alpha=None, rslora=False, init_lora_weights=True
    )
    if not (config.rank_pattern or config.alpha_pattern):
        return plain
    ranks = {key: 2 * rank for key, rank in config.rank_pattern.items()}
    alphas = {path: config.scale_of(path) * 2 * config.rank_of(path) for path in paths}
    return replace(plain, rank_pattern=ranks, alpha=plain.scale * plain.rank, alpha_pattern=alphas)


def _begun(path: str, node: Node, config: LoRAConfig) -> Factors:
    weight, rank, scale = layers.dense_weight(node).astype(mx.float32), config.rank_of(path), config.scale_of(path)
    if rank > min(weight.shape[-2:]):
        most = min(weight.shape[-2:])
        raise ArgumentError(f"[LoRAConfig] rank: {path}: expected at most {most}, its smaller side, got {rank}")
    if scale <= 0:
        raise ArgumentError(f"[LoRAConfig] scale: {path}: expected a number above 0 for this start, got {scale}")
    pissa = PISSA.fullmatch(str(config.init_lora_weights))
    with mx.stream(mx.cpu):
        if pissa is None:
            return _orthogonal(weight, rank)
        u, values, vt = mx.linalg.svd(weight) if pissa[1] is None else _largest(weight, rank, int(pissa[1]))
        return _principal(u, values, vt, rank, scale)


def _largest(weight: mx.array, rank: int, rounds: int) -> tuple[mx.array, mx.array, mx.array]:
    """A singular value decomposition of about the rank: of what a few random directions become in the weight.

    Source: Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1.
    """
    transposed, columns = weight.swapaxes(-1, -2), min(rank + SPARE, *weight.shape[-2:])
    # Always the same directions: a run that goes on begins where it did.
    directions = mx.random.normal((*weight.shape[:-2], weight.shape[-1], columns), key=mx.random.key(0))
    q, _ = mx.linalg.qr(weight @ directions)
    for _ in range(rounds):
        back, _ = mx.linalg.qr(transposed @ q)
        q, _ = mx.linalg.qr(weight @ back)
    u, values, vt = mx.linalg.svd(q.swapaxes(-1, -2) @ weight)
    return q @ u, values, vt


def _principal(u: mx.array, values: mx.array, vt: mx.array, rank: int, scale: float) -> Factors:
    """The largest singular values, in equal parts."""
    roots = mx.sqrt(values[..., None, :rank] / scale)
    return vt[..., :rank, :].swapaxes(-1, -2) * roots, (u[..., :rank] * roots).swapaxes(-1, -2)


def _orthogonal(weight: mx.array, rank: int) -> Factors:
    """The beginning of a QR decomposition."""
    q, r = mx.linalg.qr(weight)
    return r[..., :rank, :].swapaxes(-1, -2), q[..., :rank].swapaxes(-1, -2)


# --- factors as adapters keep them ---


def kind_of_factors(path: str, adapter: Mapping[str, mx.array]) -> Kind:
    """The kind of the layer that factors belong to.

    Args:
      path: of the layer.
      adapter: its parts by name; with three axes where there is a pair for each expert.

    Returns:
      "switch", "embedding" or "linear".
    """
    return "switch" if adapter["lora_a"].ndim == 3 else "embedding" if is_embedding(path) else "linear"


def named(kind: Kind, factors: Factors) -> Node:
    """Factors under the names, and in the layout, of adapters: the inverse of `layers.factors`.

    Args:
      kind: of the layer.
      factors: (down [..., in, rank], up [..., rank, out]).

    Returns:
      `lora_a` and `lora_b`, in the shapes that `shapes` gives for the kind.
    """
    down, up = factors
    if kind == "linear":
        return {"lora_a": down, "lora_b": up}
    down, up = down.swapaxes(-1, -2), up.swapaxes(-1, -2)
    return {"lora_a": up, "lora_b": down} if kind == "embedding" else {"lora_a": down, "lora_b": up}


def _at(path: str, parts: Node) -> dict[str, mx.array]:
    return {f"{path}.{name}": part for name, part in parts.items()}
