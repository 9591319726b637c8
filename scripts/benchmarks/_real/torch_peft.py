"""PyTorch: transformers' model, PEFT's layers, PyTorch's loss and Adam."""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from benchmarks._real import common
from benchmarks._tuner_steps.torch_step import torch_step


def _prompt(model: Any) -> None:
    model(input_ids=torch.from_numpy(common.text_tokens()[None, : common.PROMPT]), logits_to_keep=1)


def _decode(model: Any) -> None:
    known = model(input_ids=torch.from_numpy(common.text_tokens()[None, : common.CONTEXT]), use_cache=True)

    def run() -> None:
        nonlocal known
        for _ in range(common.GENERATED):
            token = known.logits[:, -1:].argmax(-1)
            known = model(input_ids=token, past_key_values=known.past_key_values, use_cache=True)

    common.repeat(run, common.GENERATED)


def main() -> None:
    dtype = getattr(torch, common.FOLDER.name)
    model = AutoModelForCausalLM.from_pretrained(common.FOLDER, dtype=dtype)
    if common.TASK in common.STEPS:
        model = PeftModel.from_pretrained(model, common.FOLDER.parent / "peft", is_trainable=True)
        if common.CHECKPOINTED:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        common.train(torch_step(model))
        return
    with torch.no_grad():
        if common.TASK == "prompt":
            common.repeat(lambda: _prompt(model), common.PROMPT)
        else:
            _decode(model)


if __name__ == "__main__":
    main()
