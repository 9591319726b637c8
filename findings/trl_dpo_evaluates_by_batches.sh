#!/usr/bin/env bash
# TRL 1.16.0, DPOTrainer.evaluate: rewards are means of batch means, so with three records in batches of two the
# last one counts twice as much as the others. eval_loss is the mean over records for any batch size.
#
#   eval_rewards/margins  batches of 1: -0.2896  batches of 2: -0.4053  batches of 3: -0.2896
#
# usage: findings/trl_dpo_evaluates_by_batches.sh      (exits with 1 if this has changed)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torch==2.13.0 transformers==5.24.0 trl==1.16.0
cat >"$work/evaluate.py" <<'PY'
import sys

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, PrinterCallback
from trl import DPOConfig, DPOTrainer

words = ["<pad>", "</s>", *"abcdefghij"]
backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<pad>"))
backend.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")
config = LlamaConfig(
    hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=12, pad_token_id=0
)


def model(seed):
    torch.manual_seed(seed)
    found = LlamaForCausalLM(config)
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return found


records = Dataset.from_list(
    [
        {"prompt": "a b", "chosen": " c", "rejected": " d"},
        {"prompt": "b a", "chosen": " e f", "rejected": " g"},
        {"prompt": "c a", "chosen": " h i j h i j", "rejected": " b"},
    ]
)


def evaluated(size):
    args = DPOConfig(
        output_dir=sys.argv[1],
        per_device_eval_batch_size=size,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = DPOTrainer(
        model=model(0), ref_model=model(1), args=args, train_dataset=records, eval_dataset=records,
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer.evaluate()


found = {size: evaluated(size) for size in (1, 2, 3)}
for name in ("eval_loss", "eval_rewards/margins", "eval_rewards/chosen"):
    print(name, *(f"batches of {size}: {told[name]:.4f}" for size, told in found.items()), sep="  ")
one, two, three = (found[size]["eval_rewards/margins"] for size in (1, 2, 3))
assert abs(one - three) < 1e-4
assert abs(one - two) > 1e-2
assert abs(found[1]["eval_loss"] - found[2]["eval_loss"]) < 1e-4
PY
HF_HUB_OFFLINE=1 "$work/venv/bin/python" "$work/evaluate.py" "$work/out" 2>"$work/log" || { cat "$work/log"; exit 1; }
