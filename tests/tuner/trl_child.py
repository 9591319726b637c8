"""What TRL's trainers tell of a few steps on a model with an adapter, for test_preferences_trl.

usage: trl_child.py FOLDER     reads FOLDER/model, FOLDER/peft, FOLDER/<kind>.jsonl, writes FOLDER/<kind>.json
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

TRAINERS = {
    "dpo": (DPOTrainer, DPOConfig, {"beta": 0.3}),
    "ipo": (DPOTrainer, DPOConfig, {"beta": 0.3, "loss_type": "ipo"}),
    "orpo": (ORPOTrainer, ORPOConfig, {"beta": 0.3}),
    "cpo": (CPOTrainer, CPOConfig, {"beta": 0.3, "cpo_alpha": 0.7, "label_smoothing": 0.1}),
    "simpo": (CPOTrainer, CPOConfig, {"beta": 2.0, "loss_type": "simpo", "simpo_gamma": 0.4, "cpo_alpha": 0.0}),
    "kto": (KTOTrainer, KTOConfig, {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.5}),
}


def trained(folder, kind):
    """The reports of each step, and the factors that they led to."""
    trainer, config, options = TRAINERS[kind]
    name = "labelled" if kind == "kto" else "pairs"
    records = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    about = json.loads((folder / "run.json").read_text())
    base = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, folder / "peft", is_trainable=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "model/tokenizer.json"), eos_token="</s>", pad_token="<pad>"
    )
    args = config(
        output_dir=str(folder / f"trl-{kind}"),
        per_device_train_batch_size=len(records),
        max_steps=about["steps"],
        learning_rate=about["rate"],
        optim="sgd",
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
        **options,
    )
    run = trainer(model=model, args=args, train_dataset=Dataset.from_list(records), processing_class=tokenizer)
    run.train()
    told = [line for line in run.state.log_history if "rewards/margins" in line]
    factors = {
        key: item.tolist() for key, item in run.model.state_dict().items() if "lora_" in key and ".ref." not in key
    }
    return {"told": told, "factors": factors, "options": options}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for kind in sys.argv[2:] or TRAINERS:
        (folder / f"{kind}.json").write_text(json.dumps(trained(folder, kind)))
