"""The table of adapters and their readers in docs/tuner.md: each cell is a bound that holds, or a refusal."""

import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from gguf_cases import LlamaCpp, bytes_tokenizer, log_probabilities, model
from lm_models import MODELS
from model_cases import theirs
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.models import load_model, save_model
from mlxffi.tuner.models.gguf.model import export_adapter, export_model
from mlxffi.tuner.trees import flatten, tree_map

mx.random.seed(0)

CONFIG = {**MODELS["llama"], "model_type": "qwen2"}
TOKENS = np.random.default_rng(4).integers(2, 500, 40).tolist()
LINEAR = ("self_attn.q_proj", "mlp.down_proj")
KINDS = {
    "LoRA": {"keys": LINEAR, "scale": 3.0},
    "rsLoRA": {"keys": LINEAR, "alpha": 6.0, "rslora": True},
    "ranks and alphas by pattern": {
        "target_modules": ("q_proj", "down_proj"),
        "alpha": 8.0,
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"down_proj": 12.0},
    },
    "DoRA": {"keys": LINEAR, "scale": 3.0, "use_dora": True},
    "LoRA of the output layer": {"keys": (*LINEAR, "lm_head"), "scale": 3.0},
    "LoRA of the embedding": {"keys": (*LINEAR, "model.embed_tokens"), "scale": 3.0},
}
TEXT = (Path(__file__).resolve().parents[2] / "docs/tuner.md").read_text(encoding="utf-8")
HEAD, *ROWS = re.search(r"\| adapter \|.*?(?=\n\n)", TEXT, re.S)[0].splitlines()
READERS = [cell.strip() for cell in HEAD.strip("|").split("|")][1:]
CELLS = [
    (kind.strip(), reader, bound.strip())
    for kind, *bounds in (row.strip("|").split("|") for row in ROWS[1:])
    for reader, bound in zip(READERS, bounds, strict=True)
]


def test_the_table_has_every_kind_and_reader():
    assert {kind for kind, _, _ in CELLS} == KINDS.keys()
    assert set(READERS) == READ.keys()


@pytest.fixture(scope="module", autouse=True)
def libraries():
    """Imported before it is seen whether a test leaks: what an import keeps of its callers' frames would count."""
    for name in ("mlx_lm.tuner.utils", "torch", "transformers.models.qwen2.modeling_qwen2", "peft"):
        with suppress(ImportError):
            import_module(name)


@pytest.fixture(scope="module")
def parameters():
    return model(CONFIG)[1]


@pytest.mark.parametrize(("kind", "reader", "bound"), CELLS)
def test_what_a_reader_makes_of_an_adapter(kind, reader, bound, parameters, tmp_path):
    # Before there are arrays, which a skipped test would keep alive.
    for library in NEEDED.get(reader, ()):
        pytest.importorskip(library)
    architecture, _ = model(CONFIG)
    made = lora.create_adapter(parameters, lora.LoRAConfig(rank=4, **KINDS[kind]))
    adapter = lora.Adapter(
        tree_map(lambda value: value + 0.1 * mx.random.normal(value.shape), made.parameters), made.config
    )
    expected = log_probabilities(architecture, parameters, TOKENS, adapter)
    assert np.abs(log_probabilities(architecture, parameters, TOKENS) - expected).max() > 0.1
    if bound.startswith("refused"):
        assert re.search(REFUSALS[reader], message_of(lambda: READ[reader](parameters, adapter, tmp_path), Exception))
    else:
        found = READ[reader](parameters, adapter, tmp_path)
        assert max(abs(expected[token] - value) for token, value in found.items()) < float(bound)


# --- the readers: log-probabilities by token ---


def by_token(logits):
    logits = np.array(logits, np.float64)
    return dict(enumerate(logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()))


def written(parameters, folder):
    save_model(folder, parameters, {**CONFIG, "architectures": ["Qwen2ForCausalLM"]})
    bytes_tokenizer().save(folder)
    return folder


def by_us(parameters, adapter, folder):
    lora.save_adapter(folder / "a", adapter)
    found, _, _ = load_model(written(parameters, folder / "m"), folder / "a")
    return by_token(np.array(found(mx.array([TOKENS])))[0, -1])


def by_mlx_lm(parameters, adapter, folder):
    real, utils = import_module("mlx.core"), import_module("mlx_lm.tuner.utils")
    lora.save_adapter(folder, adapter)
    module = theirs(CONFIG, {name: np.array(value) for name, value in flatten(parameters).items()})
    return by_token(utils.load_adapters(module, str(folder))(real.array([TOKENS]))[0, -1])


def by_peft(parameters, adapter, folder):
    torch, transformers, peft = map(import_module, NEEDED["PEFT"])
    base = transformers.AutoModelForCausalLM.from_pretrained(written(parameters, folder / "m"), dtype=torch.float32)
    lora.export_peft(adapter, folder / "a", str(folder / "m"))
    with torch.no_grad():
        return by_token(
            peft.PeftModel.from_pretrained(base, str(folder / "a")).eval()(torch.tensor([TOKENS])).logits[0, -1].numpy()
        )


def by_llama_cpp(parameters, adapter, folder):
    export_adapter(folder / "a.gguf", adapter, model(CONFIG)[0])
    export_model(folder / "m.gguf", parameters, CONFIG, bytes_tokenizer(), "F32")
    found = LlamaCpp(folder / "m.gguf", folder / "a.gguf").log_probabilities(TOKENS)
    assert len(found) == 512
    return found


NEEDED = {
    "mlx_lm": ("mlx.core", "mlx_lm.tuner.utils"),
    "PEFT": ("torch", "transformers", "peft"),
    "llama.cpp": ("xllamacpp",),
}
READ = {"mlxffi": by_us, "mlx_lm": by_mlx_lm, "PEFT": by_peft, "llama.cpp": by_llama_cpp}
REFUSALS = {"mlx_lm": "scale|not support|convert layer", "llama.cpp": "neither DoRA nor embeddings"}
