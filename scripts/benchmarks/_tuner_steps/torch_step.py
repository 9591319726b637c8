"""PyTorch: transformers' model, PEFT's layers, PyTorch's loss and Adam."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import Qwen3ForCausalLM

from benchmarks._tuner_steps.common import RATE, VOCABULARY, measure

folder = Path(sys.argv[1])
base = Qwen3ForCausalLM.from_pretrained(folder / "model", dtype=torch.float32, use_cache=False)
model = PeftModel.from_pretrained(base, folder / "peft", is_trainable=True)
model.train()
optimizer = torch.optim.Adam([item for item in model.parameters() if item.requires_grad], RATE)


def train(tokens: Any) -> float:
    """One step."""
    found = torch.from_numpy(tokens)
    logits = model(input_ids=found[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), found[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.item())


measure(train)
