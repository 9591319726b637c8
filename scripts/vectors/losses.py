"""Losses and their gradients, also of extreme logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .formula import Term, written
from .program import Case, Program
from .tensors import Array, F, I

REDUCTIONS = ("none", "sum", "mean")
KERNEL: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-6}


# --- what is right ---


def log_softmax(x: Array) -> Array:
    shifted = x - x.max(-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def cross_entropy(x: Array, targets: Array, counts: Array, smoothing: float) -> tuple[Array, Array]:
    """The loss of each row, and its gradient; 0 where `counts` is."""
    logs, classes = log_softmax(x), x.shape[-1]
    wanted = (1 - smoothing) * (np.arange(classes) == targets[..., None]) + smoothing / classes
    loss, gradient = -expectation(wanted, logs)[..., 0], np.exp(logs) - wanted
    counts = np.broadcast_to(counts, loss.shape)
    return np.where(counts != 0, loss * counts, 0), np.where(counts[..., None] != 0, gradient * counts[..., None], 0)


def expectation(probability: Array, of: Array) -> Array:
    """The sum over a row of probabilities times values; a probability of 0 contributes 0."""
    return np.asarray(weighted(probability, of).sum(-1, keepdims=True))


def weighted(probability: Array, values: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where(probability > 0, probability * values, 0)


def divergence(kind: str, q: Array, p: Array, temperature: float) -> list[Array]:
    """KL or JS of each row, and its gradients by q and by p."""
    log_q, log_p = log_softmax(q / temperature), log_softmax(p / temperature)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_m = np.logaddexp(log_q, log_p) - np.log(2)
        q_to_m, p_to_m, p_to_q = log_q - log_m, log_p - log_m, log_p - log_q
    q, p = np.exp(log_q), np.exp(log_p)

    def gradient(probability: Array, distance: Array) -> Array:
        return weighted(probability, distance - expectation(probability, distance)) / temperature

    if kind == "kl":
        return [expectation(p, p_to_q)[..., 0], (q - p) / temperature, gradient(p, p_to_q)]
    loss = (expectation(p, p_to_m) + expectation(q, q_to_m)) / 2
    return [loss[..., 0], gradient(q, q_to_m) / 2, gradient(p, p_to_m) / 2]


def reduced(loss: Array, gradients: list[Array], reduction: str, total: float) -> list[Array]:
    """Loss and gradients along a cotangent of ones."""
    if reduction == "none":
        return [loss, *gradients]
    divisor = total if reduction == "mean" else 1
    return [np.asarray(loss.sum() / divisor), *(each / divisor for each in gradients)]


# --- cases ---

INF = np.inf
ROWS = {
    "moderate": [[1, 2, 3, 4], [0.5, -1, 0, 2], [0, 0, 0, 0]],
    "large": [[1e4, -1e4, 0, 1], [1e4, 1e4, 1e4, 1e4], [-3e4, -3e4, -3e4, -2.9e4]],
    "apart": [[100, 0, -100, 50], [-88, 0, 88, 0], [0, 0, 0, -200]],
    "infinite": [[-INF, 1, 2, 3], [0, -INF, -INF, 1], [0, 1, 2, -INF]],
}  # fmt: skip
TARGETS = np.array([3, 0, 1], np.int32)


def cases() -> list[Case]:
    found = [
        case
        for name in ROWS
        for dtype in ("float32", "float16", "bfloat16")
        for case in _extreme(name, dtype)
        if _fits(name, dtype)
    ]
    return found + _options() + _divergences() + _composed()


def _fits(name: str, dtype: str) -> bool:
    return dtype == "float32" or name in ("moderate", "infinite")


def _rows(name: str, dtype: str = "float32") -> Array:
    from .tensors import dtype_of

    return np.array(ROWS[name]).astype(dtype_of(dtype))


def _loss_case(
    name: str, logits: Array, targets: Array, counts: Array, options: dict[str, Any], ignored: Array | None = None
) -> Case:
    """Cross-entropy and its gradient for the logits, along ones."""
    reduction, smoothing = options.get("reduction", "none"), options.get("label_smoothing", 0.0)
    loss, gradient = cross_entropy(logits.astype(np.float64), targets, counts, smoothing)
    right = reduced(loss, [gradient], reduction, counts.sum())
    program = Program([logits], [targets])
    weights = None
    if "weights" in options:
        weights = program.capture(options["weights"])
    args = [0, 1, weights, options.get("ignore_index"), smoothing, REDUCTIONS.index(reduction)]
    program.outputs = program.calls("mlxffi_cross_entropy", *args)
    values = {"logits": 0, "targets": 1, **({} if weights is None else {"weights": weights})}
    contract = {
        "name": "cross_entropy",
        "arguments": {"values": values, **{k: v for k, v in options.items() if k != "weights"}},
    }
    return _along_ones(name, program, right, contract)


def _along_ones(name: str, program: Program, right: list[Array], contract: dict[str, Any]) -> Case:
    dtype = program.inputs[0].dtype
    known = [right[0].astype(np.float32), *(each.astype(dtype) for each in right[1:])]
    ones = {"kind": "vjp", "cotangents": [np.ones(known[0].shape, np.float32)]}
    return Case(name, program, [ones], known=[known], contract=contract, **(KERNEL if dtype == np.float32 else HALF))


HALF: dict[str, Any] = {"rtol": 1e-2, "atol": 1e-3}


def _extreme(name: str, dtype: str) -> list[Case]:
    logits = _rows(name, dtype)
    targets = np.array([3, 0, 1], np.int32)
    return [_loss_case(f"cross_entropy/{name}/{dtype}", logits, targets, np.ones(3), {})]


def _options() -> list[Case]:
    logits = _rows("moderate")
    weights = np.array([1, 0.5, 0], np.float32)
    mask = np.array([True, False, True])
    options: dict[str, tuple[Array, dict[str, Any]]] = {
        "mean": (np.ones(3), {"reduction": "mean"}),
        "sum": (np.ones(3), {"reduction": "sum"}),
        "smoothed": (np.ones(3), {"label_smoothing": 0.125, "reduction": "mean"}),
        "weighted": (weights, {"weights": weights, "reduction": "mean"}),
        "masked": (mask.astype(float), {"weights": mask, "reduction": "mean"}),
        "ignored": (np.array([1.0, 0, 1]), {"ignore_index": 0, "reduction": "mean"}),
    }
    found = [
        _loss_case(f"cross_entropy/{name}", logits, TARGETS, counts, given) for name, (counts, given) in options.items()
    ]
    # What does not count has neither loss nor gradient, whatever its logits.
    bad = logits.copy()
    bad[1] = np.nan
    masked = _loss_case(
        "cross_entropy/masked_nan", bad, TARGETS, mask.astype(float), {"weights": mask, "reduction": "mean"}
    )
    refused = Program([logits], [np.zeros(2, np.int32)])
    refused.outputs = refused.calls("mlxffi_cross_entropy", 0, 1, None, None, 0.0, 0)
    return [*found, masked, Case("cross_entropy/shapes_differ", refused, outcome="error")]


def _divergences() -> list[Case]:
    moderate, apart = _rows("moderate"), _rows("apart")
    pairs: dict[str, tuple[Array, Array, dict[str, Any]]] = {
        "moderate": (moderate, apart, {}),
        "temperature": (moderate, apart, {"temperature": 2.0}),
        "mean": (moderate, apart, {"reduction": "mean"}),
        "teacher_gradient": (moderate, moderate[::-1].copy(), {"teacher_gradient": True, "temperature": 2.0}),
        "alike": (moderate, moderate, {}),
        "large": (_rows("large"), apart, {}),
        "teacher_impossible": (moderate, _rows("infinite"), {}),
    }
    return [_divergence_case(kind, name, *pair) for kind in ("kl", "js") for name, pair in pairs.items()]


def _divergence_case(kind: str, name: str, q: Array, p: Array, options: dict[str, Any]) -> Case:
    given = {"temperature": 1.0, "teacher_gradient": False, "reduction": "none", **options}
    loss, of_q, of_p = divergence(kind, q.astype(np.float64), p.astype(np.float64), given["temperature"])
    gradients = [of_q, of_p if given["teacher_gradient"] else np.zeros_like(of_p)]
    right = reduced(loss, gradients, given["reduction"], len(q))
    program = Program([q, p])
    args = [given["temperature"], given["teacher_gradient"], REDUCTIONS.index(given["reduction"])]
    program.outputs = program.calls(f"mlxffi_{kind}_div_loss", 0, 1, *args)
    contract = {"name": f"{kind}_div_loss", "arguments": {"values": {"logits_q": 0, "logits_p": 1}, **given}}
    return _along_ones(f"{kind}_div_loss/{name}", program, right, contract)


# --- of plain operations, which every mlx-c has ---


def _rows_of_loss(x: Term, targets: Term) -> Term:
    picked = x.call("take_along_axis", targets.call("expand_dims", -1), -1).call("squeeze_axis", -1)
    return x.call("logsumexp_axis", -1, False) - picked


def _composed() -> list[Case]:
    """As the Go port composes them."""
    return [*map(_composed_cross_entropy, ROWS), _composed_masked(), _composed_mse()]


def _contract(name: str, options: dict[str, Any], **values: int) -> dict[str, Any]:
    return {"name": name, "arguments": {"values": values, **options}}


MEAN = {"reduction": "mean"}


def _composed_cross_entropy(name: str) -> Case:
    program = written(lambda x, t: [_rows_of_loss(x, t).call("mean", False)], [_rows(name)], [TARGETS])
    loss, gradient = cross_entropy(_rows(name).astype(np.float64), TARGETS, np.ones(3), 0)
    right = reduced(loss, [gradient], "mean", 3)
    contract = _contract("cross_entropy", MEAN, logits=0, targets=1)
    case = _along_ones(f"composed/cross_entropy/{name}", program, right, contract)
    if name == "large":
        # Of exp(x - logsumexp(x)), float32 has three digits left at 1e4: what the fused loss avoids.
        case.rtol = case.atol = 1e-3
    return case


def _composed_masked() -> Case:
    mask = np.array([[1, 1, 0], [1, 0, 0]], np.float32)
    x, targets = F(2, 3, 5), I(2, 3, high=5)

    def masked(x: Term, t: Term, m: Term) -> list[Term]:
        return [(_rows_of_loss(x, t) * m).call("sum", False) / m.call("sum", False)]

    loss, gradient = cross_entropy(x.astype(np.float64), targets, mask, 0)
    right = reduced(loss, [gradient], "mean", mask.sum())
    contract = _contract("cross_entropy", MEAN, logits=0, targets=1, weights=2)
    return _along_ones("composed/masked_cross_entropy", written(masked, [x], [targets, mask]), right, contract)


def _composed_mse() -> Case:
    x, y = F(2, 3), F(2, 3, salt=1)
    error = x.astype(np.float64) - y
    program = written(lambda a, b: [(a - b).call("square").call("mean", False)], [x, y])
    right = [np.asarray((error**2).mean()), error / 3, -error / 3]
    return _along_ones("composed/mse", program, right, _contract("mse", {}, prediction=0, target=1))
