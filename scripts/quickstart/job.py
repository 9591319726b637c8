"""A training job: its state, and the compiled step that takes it forward."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import mlxffi
from mlxffi import Array
from mlxffi.transforms import CompiledFunction

from . import model, text
from .config import Config
from .optimizer import adamw, learning_rate

PARTS = ("parameters", "means", "squares")


@dataclass(frozen=True)
class State:
    """What a step reads and replaces, and all that a checkpoint has to keep of a run.

    Attributes:
      arrays: the parameters, the means of their gradients and those of the squares; one flat list, as in `names`.
      training: the loss of each step so far, in nats per byte.
      validation: the validation loss after some of the steps, by their number.
    """

    arrays: list[Array]
    training: list[float] = field(default_factory=list)
    validation: dict[int, float] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.training)

    @property
    def parameters(self) -> list[Array]:
        """The first part of the arrays."""
        return self.arrays[: len(self.arrays) // len(PARTS)]


def names(config: Config) -> list[str]:
    """A name for each of the arrays of a state."""
    return [f"{part}.{name}" for part in PARTS for name in model.parameter_shapes(config)]


def initial_state(config: Config) -> State:
    """Fresh parameters and no steps done."""
    parameters = model.initial_parameters(config)
    zeros = [mlxffi.zeros_like(parameter) for parameter in parameters]
    return State([*parameters, *zeros, *zeros])


def compiled_step(config: Config) -> CompiledFunction:
    """A function from [step, tokens, targets, *arrays] to [loss, *new arrays], which runs as one graph."""
    count = len(model.parameter_shapes(config))
    loss_and_gradients = mlxffi.value_and_grad(
        lambda inputs: [model.loss(inputs[:count], *inputs[count:], config)], *range(count)
    )

    def step_once(inputs: list[Array]) -> list[Array]:
        step, tokens, targets, *arrays = inputs
        parameters, moments = arrays[:count], arrays[count:]
        (loss,), gradients = loss_and_gradients(*parameters, tokens, targets)
        rate = learning_rate(step, config.learning_rate)
        parameters, moments = adamw(step, rate, parameters, gradients, moments)
        return [loss, *parameters, *moments]

    return mlxffi.compile(step_once)


def compiled_loss(config: Config) -> CompiledFunction:
    """A function from [tokens, targets, *parameters] to [loss]."""
    return mlxffi.compile(lambda inputs: [model.loss(inputs[2:], inputs[0], inputs[1], config)])


class Job:
    """A run of a configuration from a state on.

    Args:
      config: what fixes its numbers.
      state: where it begins.

    Raises:
      UsageError: the validation text is too short for one batch.
    """

    def __init__(self, config: Config, state: State):
        self.config = config
        self.state = state
        self.seconds = 0.0  # spent in steps
        training, validation = map(text.as_array, text.split(text.prose()))
        self._training = training
        self._validation = text.ordered_batches(validation, config.batch, config.context)
        self._step = compiled_step(config)
        self._loss = compiled_loss(config)

    def advance(self) -> float:
        """Do one step and give its loss."""
        began = time.perf_counter()
        config, state, step = self.config, self.state, self.state.step + 1
        batch = text.random_batch(self._training, config.batch, config.context, config.seed, step)
        loss, *arrays = self._step([Array(float(step)), *batch, *state.arrays])
        mlxffi.eval(loss, *arrays)
        # In one assignment, so that a run that is interrupted leaves a whole state to save.
        self.state = State(arrays, [*state.training, loss.item()], state.validation)
        self.seconds += time.perf_counter() - began
        return self.state.training[-1]

    def validate(self) -> float:
        """Measure the loss over the whole validation text and note it in the state."""
        parameters = self.state.parameters
        losses = [self._loss([*batch, *parameters])[0].item() for batch in self._validation]
        mean = sum(losses) / len(losses)
        self.state.validation[self.state.step] = mean
        return mean
