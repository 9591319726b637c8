"""Losses of preferences: a model learns which of two completions is better, or which completions are good.

They are functions of the log-probabilities of completions, each a sum over its tokens. DPO, IPO and KTO compare these
with a reference, the model at the start of the run: the base model for a new adapter, the adapted model for one that is
trained further, and a copy for whole blocks. The loss of a batch is a sum over its records and their number, so that
every record has the same weight in all batches, windows and processes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import core as mx
from .._errors import ArgumentError
from ..core import array
from ..losses import Head, cross_entropy, linear_cross_entropy
from . import checks
from .distributed import World
from .losses import NO_TARGET, targets_where

if TYPE_CHECKING:
    from .datasets.examples import Batch, Groups
    from .models.functional import Tunable
    from .trees import Tree

__all__ = ["BY_NAME", "CPOLoss", "DPOLoss", "IPOLoss", "KTOLoss", "ORPOLoss", "PreferenceLoss", "SimPOLoss"]

# The sum of losses and the number of records, float32 [] each, and what `figures` makes numbers of, float32 [n].
Found: TypeAlias = tuple[array, array, array]


class PreferenceLoss(ABC):
    """The base of preference losses.

    Args:
      beta: the weight of differences of log-probabilities, above 0.
      options: the other settings of the loss.

    Raises:
      ValueError: beta is not above 0.
    """

    name: str
    # Whether it compares with the model as it was, whose parameters the trainer keeps for it.
    needs_reference = False
    # What is reported, in the order of `_of_tokens`.
    reported: tuple[str, ...] = (
        "rewards/chosen",
        "rewards/rejected",
        "rewards/accuracies",
        "logps/chosen",
        "logps/rejected",
    )

    def __init__(self, beta: float = 0.1, **options: float):
        self._beta = checks.positive(self.name, "beta", beta)
        self.settings: Mapping[str, Any] = {"loss": self.name, "beta": beta, **options}

    def prepared(self, model: Tunable, trained: Tree, reference: Tree | None, batch: Batch) -> Batch:
        """Add what the loss needs from the reference to a batch.

        Args:
          model: the model being trained.
          trained: its parameters, a tree like `trainable()`.
          reference: the parameters at the start of the run.
          batch: of groups.

        Returns:
          The batch.

        Raises:
          ValueError: the batch has no groups, or the loss needs a reference and there is none.
        """
        groups = _groups(batch)
        if not self.needs_reference:
            return batch
        if reference is None:
            raise ArgumentError(f"[{self.name}] reference: expected the parameters that the run began with, got none")
        return batch._replace(groups=groups._replace(reference=_sums(_tokens(model, reference, batch), batch)))

    def __call__(self, logits: array, batch: Batch) -> Found:
        """The loss by the logits; see `CrossEntropyLoss`.

        Returns:
          (sum, count, sums): the sum of the losses and the number of records with targets, each float32 []; and what
          `figures` makes numbers of, float32 [n].
        """
        targets = self._targets(batch)
        return self._of_tokens(-cross_entropy(logits, targets, ignore_index=NO_TARGET), batch)

    def of_hidden(self, hidden: array, head: Head, batch: Batch) -> Found:
        """The loss of hidden states, without the logits in memory.

        Args:
          hidden: floating point [rows, width - 1, features].
          head: the output layer.
          batch: as `prepared` returned it.

        Returns:
          As for logits.
        """
        targets = self._targets(batch)
        return self._of_tokens(-linear_cross_entropy(hidden, head, targets, ignore_index=NO_TARGET), batch)

    def figures(self, sums: Sequence[float]) -> dict[str, float]:
        """Means to report, by name: rewards in nats, how often the better completion has the higher one, and so on.

        Args:
          sums: those of any number of batches, added up.

        Returns:
          also "left_out", how many records had no target left in a sequence, where there are such.
        """
        *sums, left_out = sums
        means = (total / count if count else math.nan for total, count in zip(sums[::2], sums[1::2], strict=True))
        found = dict(zip(self.reported, means, strict=True))
        found["rewards/margins"] = found["rewards/chosen"] - found["rewards/rejected"]
        return {**found, "left_out": left_out} if left_out else found

    def _targets(self, batch: Batch) -> array:
        """The targets whose log-probabilities are needed, int32 [rows, width - 1]."""
        return targets_where(batch.weights, batch)

    @abstractmethod
    def _of_tokens(self, tokens: array, batch: Batch) -> Found:
        """The loss by the log-probabilities of targets, [rows, width - 1], 0 where there is none."""


# --- two completions ---


class PairLoss(PreferenceLoss):
    """The base of losses of a chosen and a rejected completion."""

    # Whether log-probabilities are means over the tokens of a completion.
    is_averaged = False
    # The weight of the negative log-likelihood of what was chosen.
    _likelihood = 0.0

    def _of_tokens(self, tokens: array, batch: Batch) -> Found:
        groups, counts = _groups(batch), batch.weights.sum(axis=1)
        lengths = mx.maximum(counts, 1)
        logps = _sums(tokens, batch) / lengths if self.is_averaged else _sums(tokens, batch)
        scores = logps - _reference(self.name, groups) if self.needs_reference else logps
        losses = self._losses(*_halves(scores), *_halves(lengths))
        is_whole = mx.minimum(*_halves(counts)) > 0
        chosen, rejected = _halves(self._beta * scores)
        reported = [chosen, rejected, (chosen > rejected).astype(mx.float32), *_halves(logps)]
        if self._likelihood:
            likelihood = self._mean_of_chosen(tokens, batch)
            losses, reported = losses - self._likelihood * likelihood, [*reported, -likelihood]
        total, count = mx.where(is_whole, losses, 0).sum(), is_whole.sum()
        left_out = (_halves(groups.lengths)[0] > 0).sum() - count
        return total, count, _summed(left_out, *((values, is_whole) for values in reported))

    @abstractmethod
    def _losses(self, chosen: array, rejected: array, chosen_length: array, rejected_length: array) -> array:
        """The loss of each pair, float32 [pairs], by scores and lengths of completions, each float32 [pairs]."""

    def _covered(self, batch: Batch) -> array:
        """Which tokens of the chosen rows the likelihood covers, float32 [pairs, width - 1]."""
        return _halves(batch.weights)[0]

    def _mean_of_chosen(self, tokens: array, batch: Batch) -> array:
        covered = self._covered(batch)
        return (_halves(tokens)[0] * covered).sum(axis=1) / mx.maximum(covered.sum(axis=1), 1)


class SigmoidLoss(PairLoss):
    """The base of losses of -log sigmoid(beta (difference of scores - margin))."""

    _smoothing = 0.0
    _margin = 0.0

    def _losses(self, chosen: array, rejected: array, chosen_length: array, rejected_length: array) -> array:
        return _sigmoid_loss(self._beta * (chosen - rejected - self._margin), self._smoothing)


class DPOLoss(SigmoidLoss):
    """Direct preference optimization; with label smoothing, conservative DPO.

    Args:
      beta: the weight of the log-ratio to the reference, above 0.
      label_smoothing: the probability that a label is wrong, at least 0 and below 0.5.

    Raises:
      ValueError: an option is out of range.

    Source: Rafailov et al. 2023, equation 7; Mitchell 2023, a note on DPO with noisy preferences.
    """

    name = "dpo"
    needs_reference = True

    def __init__(self, beta: float = 0.1, label_smoothing: float = 0.0):
        super().__init__(beta, label_smoothing=_smoothing(self.name, "label_smoothing", label_smoothing))
        self._smoothing = label_smoothing


class IPOLoss(PairLoss):
    """Identity preference optimization, on log-ratios that are means over the tokens of a completion.

    Args:
      beta: the target margin is 1 / (2 beta); above 0.

    Raises:
      ValueError: `beta` is not above 0.

    Source: Azar et al. 2023, equation 17; divided by lengths as in TRL, which follows its authors.
    """

    name = "ipo"
    needs_reference = True

    def __init__(self, beta: float = 0.1):
        super().__init__(beta)

    def _losses(self, chosen: array, rejected: array, chosen_length: array, rejected_length: array) -> array:
        return (chosen / chosen_length - rejected / rejected_length - 1 / (2 * self._beta)) ** 2


class CPOLoss(SigmoidLoss):
    """Contrastive preference optimization: DPO without a reference, plus the likelihood of the chosen completion.

    Args:
      beta: the weight of the log-probability, above 0.
      alpha: the weight of the chosen completion's negative log-likelihood, a mean over its tokens; at least 0.
      label_smoothing: as in `DPOLoss`.

    Raises:
      ValueError: an option is out of range.

    Source: Xu et al. 2024, equations 3 to 5.
    """

    name = "cpo"
    reported = (*PreferenceLoss.reported, "nll_loss")

    def __init__(self, beta: float = 0.1, alpha: float = 1.0, label_smoothing: float = 0.0):
        alpha = checks.non_negative(self.name, "alpha", alpha)
        super().__init__(beta, alpha=alpha, label_smoothing=_smoothing(self.name, "label_smoothing", label_smoothing))
        self._likelihood, self._smoothing = alpha, label_smoothing
        self.reported = CPOLoss.reported if alpha else PreferenceLoss.reported


class SimPOLoss(SigmoidLoss):
    """Simple preference optimization: a margin between mean log-probabilities.

    Args:
      beta: the weight of the mean log-probability of a completion's tokens, above 0.
      gamma: the margin that beta times the difference of the means should exceed; at least 0.
      label_smoothing: as in `DPOLoss`.

    Raises:
      ValueError: an option is out of range.

    Source: Meng et al. 2024, equation 6.
    """

    name = "simpo"
    is_averaged = True

    def __init__(self, beta: float = 2.0, gamma: float = 0.5, label_smoothing: float = 0.0):
        gamma = checks.non_negative(self.name, "gamma", gamma)
        super().__init__(beta, gamma=gamma, label_smoothing=_smoothing(self.name, "label_smoothing", label_smoothing))
        self._margin, self._smoothing = gamma / beta, label_smoothing


class ORPOLoss(PairLoss):
    """Odds ratio preference optimization: the likelihood of prompt and chosen completion, plus a ratio of odds.

    Args:
      beta: the weight of the ratio (lambda in the paper), above 0.

    Raises:
      ValueError: `beta` is not above 0.

    Source: Hong, Lee and Thorne 2024, equations 3 to 7.
    """

    name = "orpo"
    is_averaged = True
    reported = (*PreferenceLoss.reported, "nll_loss")
    _likelihood = 1.0

    def __init__(self, beta: float = 0.1):
        super().__init__(beta)

    def _losses(self, chosen: array, rejected: array, chosen_length: array, rejected_length: array) -> array:
        return self._beta * _softplus(_log_odds(rejected) - _log_odds(chosen))

    def _covered(self, batch: Batch) -> array:
        lengths = _halves(_groups(batch).lengths)[0]
        return (mx.arange(batch.weights.shape[1]) < lengths[:, None] - 1).astype(mx.float32)

    def _targets(self, batch: Batch) -> array:
        return targets_where(mx.concatenate([self._covered(batch), _halves(batch.weights)[1]]), batch)


# --- one completion ---


class KTOLoss(PreferenceLoss):
    """Kahneman-Tversky optimization: good completions should gain more than the model moves overall, and bad ones less.

    How far the model has moved is the mean log-ratio of completions paired with the prompts of other records, over a
    batch in all processes together, and at least 0.

    Args:
      beta: the weight of the log-ratio to the reference, above 0.
      desirable_weight, undesirable_weight: weights of the losses of good and bad completions, at least 0.

    Raises:
      ValueError: an option is out of range.

    Source: Ethayarajh et al. 2024, equations 7 and 8.
    """

    name = "kto"
    needs_reference = True
    reported = (*PreferenceLoss.reported, "kl")

    def __init__(self, beta: float = 0.1, desirable_weight: float = 1.0, undesirable_weight: float = 1.0):
        weights = {"desirable_weight": desirable_weight, "undesirable_weight": undesirable_weight}
        for name, weight in weights.items():
            checks.non_negative(self.name, name, weight)
        super().__init__(beta, **weights)
        self._desirable, self._undesirable = desirable_weight, undesirable_weight

    def prepared(self, model: Tunable, trained: Tree, reference: Tree | None, batch: Batch) -> Batch:
        """Add what the loss needs, and remove the other completions, which get no gradient; see `PreferenceLoss`."""
        own, others = _split(batch)
        own, others = (super(KTOLoss, self).prepared(model, trained, reference, part) for part in (own, others))
        ratios = _sums(_tokens(model, trained, others), others) - _reference(self.name, _groups(others))
        there = others.weights.sum(axis=1) > 0
        found = World().summed({"ratios": mx.where(there, ratios, 0).sum(), "count": there.sum().astype(mx.float32)})
        divergence = mx.maximum(found["ratios"] / mx.maximum(found["count"], 1), 0)
        return own._replace(groups=_groups(own)._replace(divergence=divergence))

    def _of_tokens(self, tokens: array, batch: Batch) -> Found:
        groups = _groups(batch)
        logps = _sums(tokens, batch)
        ratios, divergence = logps - _reference(self.name, groups), groups.divergence
        assert divergence is not None
        there, is_good = batch.weights.sum(axis=1) > 0, groups.labels > 0
        signs = mx.where(is_good, 1.0, -1.0)
        gains = signs * (ratios - divergence)
        losses = mx.where(is_good, self._desirable, self._undesirable) * mx.sigmoid(-self._beta * gains)
        good, bad = there & is_good, there & ~is_good
        rewards = self._beta * ratios
        reported = (rewards, good), (rewards, bad), ((gains > 0).astype(mx.float32), there), (logps, good), (logps, bad)
        whole = mx.broadcast_to(divergence, logps.shape), there
        left_out = (groups.lengths > 0).sum() - there.sum()
        return mx.where(there, losses, 0).sum(), there.sum(), _summed(left_out, *reported, whole)


BY_NAME: dict[str, type[PreferenceLoss]] = {
    loss.name: loss for loss in (DPOLoss, IPOLoss, ORPOLoss, SimPOLoss, CPOLoss, KTOLoss)
}


# --- log-probabilities ---


def _tokens(model: Tunable, parameters: Tree, batch: Batch) -> array:
    """The log-probabilities of targets by a model without dropout, [rows, width - 1], 0 where there is none."""
    targets, tokens = targets_where(batch.weights, batch), batch.inputs
    hidden: Callable[..., tuple[array, Head] | None] | None = getattr(model, "hidden", None)
    found = None if hidden is None else hidden(parameters, tokens)
    if found:
        return mx.negative(linear_cross_entropy(found[0], found[1], targets, ignore_index=NO_TARGET))
    return mx.negative(cross_entropy(model.logits(parameters, tokens), targets, ignore_index=NO_TARGET))


def _sums(tokens: array, batch: Batch) -> array:
    """The log-probabilities of the rows' targets, float32 [rows]."""
    return (tokens * batch.weights).sum(axis=1)


def _summed(left_out: array, *items: tuple[array, array]) -> array:
    """Sums of values where they count, each with how many those are; and how many records were left out."""
    sums = [part for values, mask in items for part in (mx.where(mask, values, 0).sum(), mask.sum())]
    return mx.stack([*sums, left_out])


# --- groups ---


def _groups(batch: Batch) -> Groups:
    if batch.groups is None:
        raise ArgumentError("[preferences] batch: expected one of records with several sequences, got one of texts")
    return batch.groups


def _reference(name: str, groups: Groups) -> array:
    if groups.reference is None:
        raise ArgumentError(f"[{name}] batch: expected one that was prepared with the reference, got another")
    return groups.reference


def _halves(rows: array) -> tuple[array, array]:
    """The rows of the first sequences, and those of the second ones."""
    count = rows.shape[0] // 2
    return rows[:count], rows[count:]


def _split(batch: Batch) -> list[Batch]:
    """The first sequences and the second ones, each as a batch of its own."""
    groups, parts = _groups(batch), (_halves(batch.tokens), _halves(batch.weights), _halves(_groups(batch).lengths))
    return [
        batch._replace(tokens=tokens, weights=weights, groups=groups._replace(lengths=lengths))
        for tokens, weights, lengths in zip(*parts, strict=True)
    ]


# --- numbers ---


def _softplus(x: array) -> array:
    """log(1 + exp(x)): the negative log of sigmoid(-x)."""
    return mx.logaddexp(x, 0.0)


def _sigmoid_loss(x: array, smoothing: float) -> array:
    """The negative log of sigmoid(x), and with a smoothing above 0 that of sigmoid(-x) in this part."""
    if not smoothing:
        return _softplus(-x)
    return (1 - smoothing) * _softplus(-x) + smoothing * _softplus(x)


# The difference between 1 and the largest float32 below it.
LEAST = 2.0**-24


def _log_odds(logp: array) -> array:
    """log(p / (1 - p)); a probability of 1, whose odds are infinite, counts as the largest below it."""
    logp = mx.minimum(logp, -LEAST)
    return logp - mx.log(-mx.expm1(logp))


_smoothing = checks.NumberCheck("a number of at least 0 and below 0.5", lambda value: 0 <= value < 0.5)
