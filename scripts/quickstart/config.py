"""What fixes the numbers of a run; the same configuration gives the same losses on the same machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Config:
    """The network and how it learns; each field is an option of the command line and is stored in the checkpoint."""

    layers: int = field(default=2, metadata={"help": "blocks of the transformer"})
    width: int = field(default=128, metadata={"help": "features of a byte"})
    heads: int = field(default=2, metadata={"help": "attention heads of a block"})
    context: int = field(default=128, metadata={"help": "bytes that the network sees at once"})
    batch: int = field(default=16, metadata={"help": "sequences in a step"})
    learning_rate: float = field(default=3e-3, metadata={"help": "the highest, reached after the warm-up"})
    seed: int = field(default=0, metadata={"help": "of the initial parameters, the batches and the sample"})

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "seed" and not 0 < value < float("inf"):
                raise UsageError(f"{option(name)} must be more than 0, but {value} was given")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed must be from 0 to 4294967295, but {self.seed} was given")
        # Rotary positions turn pairs of features, so that each head needs an even number of them.
        if self.width % (2 * self.heads):
            raise UsageError(
                f"--width must be a multiple of twice --heads, but the width is {self.width} with {self.heads} heads"
            )


def option(name: str) -> str:
    """The option of the command line for a field."""
    return "--" + name.replace("_", "-")
