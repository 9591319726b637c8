"""PyTorch: transformers' model, PEFT's layers, PyTorch's loss and Adam."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import Qwen3ForCausalLM

from benchmarks._tuner_steps.common import RATE, measure


def torch_step(model: Any) -> Callable[[Any], float]:
    """One step with tokens, which gives its loss."""
    model.train()
    optimizer = torch.optim.Adam([item for item in model.parameters() if item.requires_grad], RATE)

    def train(tokens: Any) -> float:
        found = torch.from_numpy(tokens)
        logits = model(input_ids=found[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), found[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return train


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    base = Qwen3ForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    measure(torch_step(PeftModel.from_pretrained(base, folder / "peft", is_trainable=True)))
