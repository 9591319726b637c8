"""The trainer's updates: those of mlx.optimizers on mean gradients, however the records are cut into batches."""

import math

import mlx.core as real
import mlx.nn
import mlx.optimizers
import numpy as np
import pytest
import training
from training import Recorder, arrays, examples

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.datasets import Batch
from mlxffi.tuner.models import decoder_model
from mlxffi.tuner.optimizers import SGD, AdamW
from mlxffi.tuner.trainer import FixedBatches, TrainingArgs, evaluate, train
from mlxffi.tuner.trees import flatten


def trained(batches, optimizer=None, model=None, **args):
    """A model after training, by path, and what was told."""
    told = Recorder()
    model = model or training.model()
    args = {"iters": len(batches), "steps_per_report": 1, **args}
    train(model, optimizer or SGD(0.5), batches, args=TrainingArgs(**args), callbacks=[told])
    return arrays(model), told


def assert_close(found, wanted, **tolerance):
    assert found.keys() == wanted.keys()
    for path, item in wanted.items():
        np.testing.assert_allclose(found[path], item, err_msg=path, **{"rtol": 1e-5, "atol": 1e-6, **tolerance})


def joined(batches):
    """One batch with the rows of several."""
    return Batch(*(mx.concatenate([getattr(batch, name) for batch in batches]) for name in ("tokens", "weights")))


def weighted(batch, factor):
    return batch._replace(weights=batch.weights * factor)


# --- updates ---


def mlx_losses(batches, optimizer):
    """The losses of the same training by mlx.core and mlx.optimizers, and the parameters after it."""
    params = {path: real.array(item) for path, item in arrays(training.model()).items()}

    def loss(params, tokens, weights):
        hidden = real.tanh(params["embedding"][tokens[:, :-1]] @ params["layers.0.weight"])
        losses = mlx.nn.losses.cross_entropy(hidden @ params["layers.1.weight"], tokens[:, 1:])
        return (losses * weights).sum() / weights.sum()

    losses = []
    for batch in batches:
        data = (real.array(np.array(item)) for item in batch[:2])
        value, grads = real.value_and_grad(loss)(params, *data)
        params = optimizer.apply_gradients(grads, params)
        losses.append(value.item())
    return losses, {path: np.array(item) for path, item in params.items()}


@pytest.mark.parametrize("compile", [True, False])
def test_training_is_that_of_mlx(compile):
    batches = training.batches(12)
    losses, wanted = mlx_losses(batches, mlx.optimizers.AdamW(0.01))
    found, told = trained(batches, AdamW(0.01), compile=compile)
    np.testing.assert_allclose(told.losses, losses, rtol=1e-5)
    assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert told.losses[-1] < told.losses[0] / 2


def test_accumulated_batches_weigh_what_their_targets_do():
    batches = [training.batch(np.random.default_rng(seed), rows=rows) for seed, rows in enumerate((1, 5, 2, 3, 4))]
    # The last window has two batches only.
    found, told = trained(batches, AdamW(0.01), grad_accumulation_steps=3, steps_per_report=3)
    wanted, large = trained([joined(batches[:3]), joined(batches[3:])], AdamW(0.01))
    assert_close(found, wanted)
    norms = [report.grad_norm for report in told.train]
    np.testing.assert_allclose(norms, [report.grad_norm for report in large.train], rtol=1e-5)
    assert told.train[-1].trained_tokens == sum(batch.weights.sum().item() for batch in batches)


def test_weights_may_be_fractions():
    batches = training.batches(2)
    found, told = trained([weighted(batch, 0.001) for batch in batches], AdamW(0.01))
    wanted, whole = trained(batches, AdamW(0.01))
    assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(told.losses, whole.losses, rtol=1e-5)


def test_large_gradients_are_scaled_down():
    batches, limit = training.batches(1), 0.125
    before = arrays(training.model())
    found, told = trained(batches, SGD(1.0), max_grad_norm=limit)
    moved = np.sqrt(sum(np.sum((found[path] - before[path]) ** 2) for path in before))
    assert moved == pytest.approx(limit, rel=1e-4)
    assert told.train[0].grad_norm > limit
    unlimited, _ = trained(batches, SGD(1.0))
    for path in before:
        step, whole = found[path] - before[path], unlimited[path] - before[path]
        np.testing.assert_allclose(step, whole * limit / told.train[0].grad_norm, atol=1e-6)


def test_parameters_keep_their_dtype():
    model, told = training.model(dtype=mx.bfloat16), Recorder()
    args = TrainingArgs(iters=4, grad_accumulation_steps=2, compile=False)
    train(model, AdamW(0.01), training.batches(2), args=args, callbacks=[told])
    assert {item.dtype for item in flatten(model.trainable()).values()} == {mx.bfloat16}
    assert told.losses[2] < told.losses[0]


# --- what is no update ---


def test_an_update_that_is_not_finite_is_an_error_that_names_the_iteration():
    good, model = training.batches(3), training.model()
    with pytest.raises(RuntimeError, match=r"iteration 3: expected a finite loss .* got the loss nan"):
        trained([*good[:2], weighted(good[2], np.inf)], AdamW(0.01), model)
    assert_close(arrays(model), trained(good[:2], AdamW(0.01))[0], rtol=0, atol=0)


@pytest.mark.parametrize("factor", [np.inf, np.nan])
def test_an_update_that_is_not_finite_can_be_skipped(factor):
    good = training.batches(4)
    found, told = trained(
        [*good[:2], weighted(good[2], factor), good[3]], AdamW(0.01), nan_guard="skip", steps_per_report=4
    )
    assert_close(found, trained([*good[:2], good[3]], AdamW(0.01))[0], rtol=0, atol=0)
    assert told.train[0].skipped_steps == 1
    assert told.train[0].trained_tokens == sum(good[index].weights.sum().item() for index in (0, 1, 3))


def test_a_gradient_that_is_not_finite_is_found_where_the_loss_is():
    def forward(parameters, tokens):
        # The root of 0 has no derivative; its value is of no account here.
        return training.forward(parameters, tokens) + mx.sqrt(0 * parameters["embedding"][0, 0])

    with pytest.raises(RuntimeError, match=r"iteration 1: .* the loss 18.8.* a gradient of norm nan"):
        trained(training.batches(1), model=training.model(forward=forward))


def test_a_batch_without_targets_changes_nothing():
    good = training.batches(3)
    empty = weighted(good[1], 0)
    found, told = trained([good[0], empty, good[2]], AdamW(0.01), steps_per_report=3)
    assert_close(found, trained([good[0], good[2]], AdamW(0.01))[0], rtol=0, atol=0)
    assert told.train[0].skipped_steps == 1
    assert told.steps[1] == (0, 0, 0, 0, 0, ())


@pytest.mark.parametrize("steps_per_report", [1, 2, 4])
def test_an_interval_without_targets_is_reported_as_such(steps_per_report):
    first, second, *rest = training.batches(4)
    batches = [weighted(first, 0), weighted(second, 0), *rest]
    found, told = trained(batches, AdamW(0.01), steps_per_report=steps_per_report)
    assert_close(found, trained(rest, AdamW(0.01))[0], rtol=0, atol=0)
    assert [math.isnan(report.train_loss) for report in told.train] == {
        1: [True, True, False, False],
        2: [True, False],
        4: [False],
    }[steps_per_report]


def test_a_validation_without_targets_is_told_and_is_never_the_best():
    told, model = Recorder(), training.model()
    empty = [weighted(batch, 0) for batch in training.batches(1)]
    args = TrainingArgs(iters=2, steps_per_eval=1, early_stop=1)
    result = train(model, SGD(0.5), training.batches(2), empty, args, callbacks=[told])
    assert [(math.isnan(report.val_loss), report.best) for report in told.val] == [(True, False)] * 3
    assert (result.iteration, result.val_loss, result.best_val_loss, result.stop) == (2, None, None, None)


def test_no_batches_of_a_validation_mean_no_validation():
    told = Recorder()
    args = TrainingArgs(iters=1, val_batches=0)
    train(training.model(), SGD(0.5), training.batches(1), training.batches(1), args, callbacks=[told])
    assert told.val == []


def test_no_target_at_all_is_an_error():
    empty = [weighted(batch, 0) for batch in training.batches(2)]
    with pytest.raises(RuntimeError, match="iterations 1 to 2: expected a batch with a target"):
        trained(empty, steps_per_report=2)
    with pytest.raises(ValueError, match="batches: expected one with a target, got none"):
        evaluate(training.model(), empty)


# --- traces ---


def test_the_model_is_traced_once_for_each_width():
    widths = []

    def forward(parameters, tokens):
        widths.append(tokens.shape[1])
        return training.forward(parameters, tokens)

    rng = np.random.default_rng(0)
    batches = [training.batch(rng, width=width) for width in (5, 9, 5, 9, 9, 5)]
    model = training.model(forward=forward)
    train(model, SGD(0.1), batches, batches, TrainingArgs(iters=12, steps_per_eval=2))
    # Training and validation have a trace each.
    assert sorted(widths) == [4, 4, 8, 8]


def test_a_step_waits_for_nothing(monkeypatch):
    """Results are read one step late, so that a batch is prepared while the last one is computed."""
    order = []

    class Watched(FixedBatches):
        def __next__(self):
            order.append("batch")
            return super().__next__()

    tolist = mx.array.tolist
    monkeypatch.setattr(mx.array, "tolist", lambda self: (order.append("read"), tolist(self))[1])
    train(training.model(), SGD(0.1), Watched(training.batches(4)), args=TrainingArgs(iters=4, steps_per_report=4))
    assert order == ["batch", "batch", "read", "batch", "read", "batch", "read", "read"]


# --- dropout ---


def test_dropout_follows_the_seed_and_leaves_other_random_numbers_alone():
    def losses(seed):
        return trained(training.batches(4), model=training.model(dropout=0.5), seed=seed)[1].losses

    mx.random.seed(3)
    first, after = losses(1), mx.random.uniform().item()
    mx.random.seed(3)
    assert mx.random.uniform().item() == after
    assert losses(1) == first
    assert losses(2) != first


def test_each_step_draws_its_own_dropout():
    batch = training.batches(1)
    told = trained(batch, SGD(0.0), training.model(dropout=0.5), iters=3)[1]
    assert len(set(told.losses)) == 3


# --- evaluation ---


def float64_loss(params, batches):
    """The mean cross-entropy per target by numpy."""
    total = count = 0.0
    for batch in batches:
        tokens, weights = np.array(batch.tokens), np.array(batch.weights)
        hidden = np.tanh(params["embedding"].astype(float)[tokens[:, :-1]] @ params["layers.0.weight"])
        logits = hidden @ params["layers.1.weight"]
        norms = np.log(np.exp(logits).sum(-1))
        chosen = np.take_along_axis(logits, tokens[:, 1:, None], -1)[..., 0]
        total, count = total + ((norms - chosen) * weights).sum(), count + weights.sum()
    return total / count


@pytest.mark.parametrize("num_batches", [-1, 2, 10])
def test_evaluation_weighs_targets_alike(num_batches):
    batches = [training.batch(np.random.default_rng(seed), rows=rows) for seed, rows in enumerate((1, 5, 2))]
    model = training.model(dropout=0.5)
    taken = batches if num_batches < 0 else batches[:num_batches]
    assert evaluate(model, batches, num_batches) == pytest.approx(float64_loss(arrays(model), taken), rel=1e-6)


def test_validation_comes_before_the_first_step_and_after_the_last_update():
    model, told = training.model(), Recorder()
    before = arrays(model)
    valid = training.batches(3, seed=5)
    args = TrainingArgs(iters=7, steps_per_eval=3, grad_accumulation_steps=2)
    result = train(model, SGD(0.5), training.batches(4), valid, args, callbacks=[told])
    assert [report.iteration for report in told.val] == [0, 3, 6, 7]
    losses = [report.val_loss for report in told.val]
    assert losses[0] == pytest.approx(float64_loss(before, valid), rel=1e-6)
    assert losses[-1] == pytest.approx(float64_loss(arrays(model), valid), rel=1e-6)
    assert result.val_loss == result.best_val_loss == losses[-1]


# --- examples ---


def test_training_on_examples_makes_batches_of_all_of_them():
    told, model = Recorder(), training.model()
    records = examples()
    args = TrainingArgs(batch_size=2, iters=11, steps_per_report=11, max_seq_length=64, val_batches=-1)
    train(model, AdamW(0.01), records, records, args, callbacks=[told])
    targets = sum(len(tokens) - max(offset, 1) for tokens, offset, _ in records)
    # Eleven batches of two are two epochs.
    assert told.train[0].trained_tokens == 2 * targets
    assert told.val[-1].val_loss < told.val[0].val_loss


def test_packed_rows_have_the_same_targets():
    # A model that sees one token at a time predicts alike in any row.
    def forward(parameters, tokens, *, segments=None):
        packed.append(segments is not None)
        return training.forward(parameters, tokens)

    packed, told, records = [], Recorder(), examples(12)
    for pack in (False, True):
        args = TrainingArgs(batch_size=2, iters=1, max_seq_length=64, val_batches=-1, pack=pack)
        train(training.model(forward=forward), SGD(0.0), records, records, args=args, callbacks=[told])
    alone, _, together, _ = (report.val_loss for report in told.val)
    assert together == pytest.approx(alone, rel=1e-6)
    assert packed == sorted(packed)
    assert len(set(packed)) == 2


def test_the_order_of_examples_follows_the_seed():
    def losses(seed):
        return trained(examples(), seed=seed, batch_size=2, iters=5)[1].losses

    assert losses(1) == losses(1) != losses(2)


# --- memory ---


def test_blocks_that_are_computed_again_train_alike():
    config, parameters = training.decoder()
    losses = []
    for grad_checkpoint in (False, True):
        mx.random.seed(0)
        adapter = lora.create_adapter(parameters, lora.LoRAConfig(rank=4, num_layers=-1))
        model = decoder_model(config, parameters, adapter)
        args = {"grad_checkpoint": grad_checkpoint, "iters": 4, "compile": False}
        losses.append(trained(training.batches(2), AdamW(0.01), model, **args)[1].losses)
    # In its first steps AdamW divides by gradients that may be near nothing, and so their rounding by as much.
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize(("threshold", "calls"), [(0, 0), (1, 3), (10**12, 0)])
def test_memory_kept_for_reuse_is_given_back_above_a_threshold(threshold, calls, monkeypatch):
    given, clear_cache = [], mx.clear_cache
    monkeypatch.setattr(mx, "clear_cache", lambda: given.append(clear_cache()))
    monkeypatch.setattr(mx, "get_cache_memory", lambda: 10**6)
    trained(training.batches(3), clear_cache_threshold=threshold)
    assert len(given) == calls


@pytest.mark.parametrize("fails", [False, True])
def test_memory_is_wired_for_the_time_of_a_run(fails, monkeypatch):
    limits = [7]
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": 100})
    monkeypatch.setattr(mx, "set_wired_limit", lambda limit: (limits.append(limit), limits[-2])[1])
    if fails:
        with pytest.raises(RuntimeError):
            trained([weighted(training.batches(1)[0], np.nan)])
    else:
        trained(training.batches(1))
    assert limits == [7, 100, 7]
