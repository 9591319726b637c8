"""A training job: its state, and the compiled step that takes it forward."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

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

    def loss_of(inputs: list[Array]) -> list[Array]:
        *parameters, tokens, targets = inputs
        return [model.loss(parameters, tokens, targets, config)]

    loss_and_gradients = mlxffi.value_and_grad(loss_of, *range(count))

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
        training, validation = text.split(text.prose())
        self._training = training
        self._validation = text.ordered_batches(validation, config.batch, config.context)
        self._step = compiled_step(config)
        self._loss = compiled_loss(config)

    def compile(self) -> None:
        """Trace the step and build its kernels, by a step of which nothing is kept: those that follow can be timed."""
        mlxffi.eval(*self._next())

    def advance(self) -> float:
        """Do one step and give its loss."""
        loss, *arrays = self._next()
        mlxffi.eval(loss, *arrays)
        # In one assignment, so that a run that is interrupted has a whole state to save.
        self.state = replace(self.state, arrays=arrays, training=[*self.state.training, loss.item()])
        return self.state.training[-1]

    def _next(self) -> list[Array]:
        """The loss and the arrays of the next step, yet to be evaluated."""
        config, step = self.config, self.state.step + 1
        tokens, targets = text.random_batch(self._training, config.batch, config.context, config.seed, step)
        return self._step([Array(float(step)), tokens, targets, *self.state.arrays])

    def validate(self) -> float:
        """Measure the loss over the whole validation text and note it in the state."""
        parameters = self.state.parameters
        losses: list[float] = [self._loss([*batch, *parameters])[0].item() for batch in self._validation]
        mean = sum(losses) / len(losses)
        self.state = replace(self.state, validation={**self.state.validation, self.state.step: mean})
        return mean
