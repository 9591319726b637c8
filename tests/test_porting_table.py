"""The table of docs/porting.md from the names of the Go port and of the Rust port to those here."""

import json
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLES = (ROOT / "docs/porting.md").read_text().split("## From Go and Rust names")[1].split("\n## ")[0]
ROWS = [re.findall(r"(?<=\|)[^|]+(?=\|)", line) for line in TABLES.splitlines() if re.match(r"\| (?!Go|Rust)", line)]
ABI = json.loads((ROOT / "include/mlxffi/abi.json").read_text())

# What grad.go of the Go port declares and calls of its own package.
GO = """
    VJP JVP ValueAndGrad GradFn GradFn.Apply GradFn.Free Checkpoint CrossEntropyLoss MaskedCrossEntropyLoss
    MSELoss Log SumAll MeanAll OnesLike LogSumExp ExpandDims TakeAlongAxis Squeeze Subtract Mul Divide Square
    Reshape Sum Mean DefaultStream Array New Init checkError newClosure new_grad_closure goGradFunc gradFuncs
    gradNextID vectorToArrays
"""
# What the first page of the Rust port's `tuner` names.
RUST = """
    array::Array datasets datasets::TextDataset datasets::ChatDataset datasets::CompletionsDataset
    datasets::ConcatenatedDataset datasets::CacheDataset datasets::load_dataset trainer trainer::TrainingArgs
    trainer::TrainingArgs::acknowledge_no_real_gradients optimizers SGD RMSprop Adagrad AdaDelta Adam AdamW
    Adamax Lion Adafactor Muon MultiOptimizer clip_grad_norm losses losses::kl_div_loss losses::js_div_loss
    lm::lora
"""


def names(column):
    return [name for row in ROWS for name in re.findall(r"`([^`]+)`", row[column])]


def test_every_name_of_the_seeds_is_there():
    assert sorted(names(0)) == sorted((GO + RUST).split())


@pytest.mark.parametrize("name", sorted(set(names(1))))
def test_each_c_function_exists(name):
    headers = "".join(path.read_text() for path in (ROOT / "include").rglob("*.h"))
    assert re.search(rf"\b{name}\b", headers)
    assert re.search(rf"\b{name}\(", headers) or re.search(rf"}} {name};", headers)


@pytest.fixture(scope="module")
def missing():
    """The Python names that nothing has. Modules that make objects when they are imported do so before the test."""
    return [name for name in {*names(2), *names(3)} - {"mlx.optimizers"} if not is_there(name)]


def is_there(name):
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_each_python_name_can_be_imported(missing):
    assert missing == []
    assert not is_there("mlxffi.tuner.optimizers.Adamm")
