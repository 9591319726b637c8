"""A LoRA step of a decoder of Qwen3's kind in PyTorch, timed, for `gpu_tuner.py` to compare with.

usage: python -m gpu.torch_step CONFIG BATCH LENGTH [--eager] [--full]      (CONFIG: the JSON of a config.json)

For each line that comes in, prints one of JSON: milliseconds, the median of seven steps, and the peak of memory in
bytes. Three steps come before all others. Weights and activations are bfloat16, factors float32 and multiplied in
bfloat16, as in mlxffi.tuner.
"""

# mypy: disable-error-code="misc"

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .asked import Answer, answer

RANK, SCALE, RATE = 8, 20.0, 1e-4


class LoRALinear(nn.Module):
    """x weight^T + scale (x a) b."""

    def __init__(self, inputs: int, outputs: int, is_full: bool):
        super().__init__()
        weight = torch.randn(outputs, inputs, dtype=torch.bfloat16) * inputs**-0.5
        self.weight = nn.Parameter(weight, requires_grad=is_full)
        self.a: Any = None if is_full else nn.Parameter(torch.randn(inputs, RANK) * inputs**-0.5)
        self.b: Any = None if is_full else nn.Parameter(torch.zeros(RANK, outputs))

    def forward(self, x: Any) -> Any:
        """[..., inputs] to [..., outputs]."""
        y = x @ self.weight.T
        return y if self.a is None else y + (x @ self.a.to(x.dtype)) @ (SCALE * self.b).to(x.dtype)


class Norm(nn.Module):
    """RMSNorm over the last axis."""

    def __init__(self, width: int, is_full: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, dtype=torch.bfloat16), requires_grad=is_full)

    def forward(self, x: Any) -> Any:
        """Of the shape of x."""
        return F.rms_norm(x, x.shape[-1:], self.weight, 1e-6)


class Block(nn.Module):
    """Attention with norms of queries and keys, then a gated unit."""

    def __init__(self, config: dict[str, Any], is_full: bool):
        super().__init__()
        width, size = config["hidden_size"], config["intermediate_size"]
        self.head, heads, kept = config["head_dim"], config["num_attention_heads"], config["num_key_value_heads"]
        sizes = {"q": (width, heads * self.head), "k": (width, kept * self.head), "v": (width, kept * self.head)}
        sizes |= {"o": (heads * self.head, width), "gate": (width, size), "up": (width, size), "down": (size, width)}
        self.layers = nn.ModuleDict({name: LoRALinear(*pair, is_full) for name, pair in sizes.items()})
        norms = {"before": width, "after": width, "q": self.head, "k": self.head}
        self.norms = nn.ModuleDict({name: Norm(count, is_full) for name, count in norms.items()})

    def forward(self, x: Any, rotation: Any) -> Any:
        """[batch, length, width] to the same."""
        y = self.norms["before"](x)
        q, k, v = (self.layers[name](y).unflatten(-1, (-1, self.head)).transpose(1, 2) for name in "qkv")
        q, k = _rotated(self.norms["q"](q), rotation), _rotated(self.norms["k"](k), rotation)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.layers["o"](y.transpose(1, 2).flatten(2))
        y = self.norms["after"](x)
        return x + self.layers["down"](F.silu(self.layers["gate"](y)) * self.layers["up"](y))


class Decoder(nn.Module):
    """From tokens to the sum of losses, with an embedding that is the output layer, too."""

    def __init__(self, config: dict[str, Any], is_full: bool):
        super().__init__()
        table = torch.randn(config["vocab_size"], config["hidden_size"], dtype=torch.bfloat16) * 0.02
        self.table = nn.Parameter(table, requires_grad=is_full)
        self.blocks = nn.ModuleList(Block(config, is_full) for _ in range(config["num_hidden_layers"]))
        self.norm = Norm(config["hidden_size"], is_full)
        self.head, self.base = config["head_dim"], config["rope_theta"]

    def forward(self, tokens: Any) -> Any:
        """int64 [batch, length + 1] to a scalar."""
        x = F.embedding(tokens[:, :-1], self.table)
        frequencies = self.base ** (-torch.arange(0, self.head, 2, device=x.device) / self.head)
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * frequencies
        rotation = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        for block in self.blocks:
            x = block(x, rotation)
        logits = self.norm(x) @ self.table.T
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def _rotated(x: Any, rotation: Any) -> Any:
    cos, sin = rotation
    left, right = x.chunk(2, -1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def main() -> None:
    config, batch, length = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = Decoder(config, "--full" in sys.argv)
    optimizer = torch.optim.AdamW([item for item in model.parameters() if item.requires_grad], RATE, fused=True)
    loss = model if "--eager" in sys.argv else torch.compile(model)

    def measured(count: int) -> Answer:
        torch.cuda.reset_peak_memory_stats()
        times = [_timed(loss, optimizer, config["vocab_size"], batch, length) for _ in range(count)]
        return {"milliseconds": statistics.median(times) * 1e3, "peak": torch.cuda.max_memory_allocated()}

    measured(3)
    answer(lambda: measured(7))


def _timed(loss: Any, optimizer: Any, vocabulary: int, batch: int, length: int) -> float:
    tokens = torch.randint(vocabulary, (batch, length + 1), device="cuda")
    torch.cuda.synchronize()
    start = time.perf_counter()
    optimizer.zero_grad()
    loss(tokens).backward()
    optimizer.step()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
