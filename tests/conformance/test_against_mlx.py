"""What is right in the vectors is what mlx.core gives, where it has the function by the same name and arguments."""

import json
from pathlib import Path

import mlx.core as mx
import mlx.optimizers
import numpy as np
import pytest

(FOLDER,) = Path(__file__).parent.glob("vectors/*/")
# Derivatives that mlx.core lacks: see docs/differences.md.
MISSING = ["jvp/cumprod", "vjp/inv", "jvp/inv", "vjp/solve", "jvp/solve"]
# Functions whose arguments mean something else.
OTHER = {"softmax", "contiguous", "sort", "argsort", "cholesky", "cholesky_inv", "tri_inv"}
# By class: the call of mlx.core for a function and its arguments.
CALLS = {
    "Aas": lambda f, x: f(x),
    "Aaas": lambda f, x, y: f(x, y),
    "Aaaas": lambda f, x, y, z: f(x, y, z),
    "Aabs": lambda f, x, keep: f(x, keepdims=keep),
    "Aaibs": lambda f, x, axis, keep: f(x, axis=axis, keepdims=keep),
    "Aanbs": lambda f, x, axes, keep: f(x, axis=axes, keepdims=keep),
    "Aaibbs": lambda f, x, axis, reverse, inclusive: f(x, axis=axis, reverse=reverse, inclusive=inclusive),
    "Aaais": lambda f, x, y, axis: f(x, y, axis),
}


DTYPES = {
    "BOOL": mx.bool_, "U8": mx.uint8, "U16": mx.uint16, "U32": mx.uint32, "U64": mx.uint64, "I8": mx.int8,
    "I16": mx.int16, "I32": mx.int32, "I64": mx.int64, "F16": mx.float16, "BF16": mx.bfloat16, "F32": mx.float32,
    "C64": mx.complex64,
}  # fmt: skip


def read(name):
    """The cases of a set, and its tensors; mx.load knows no F64, of which there are few here."""
    data = (FOLDER / f"{name}.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for key, entry in json.loads(data[8:start]).items():
        first, last = (start + offset for offset in entry["data_offsets"])
        if entry["dtype"] in DTYPES:
            array = mx.array(np.frombuffer(data[first:last], np.uint8)).view(DTYPES[entry["dtype"]])
            tensors[key] = array.reshape(entry["shape"])
    return json.loads((FOLDER / f"{name}.json").read_text())["cases"], tensors


def function_of(step):
    for module in (mx.linalg, mx):
        name = step["call"].removeprefix("mlx_").removeprefix("linalg_").removesuffix("_axis").removesuffix("_axes")
        if hasattr(module, name) and step["class"] in CALLS and name not in OTHER:
            return getattr(module, name)
    return None


def program(case, captured):
    """The function of a case of one call; nothing when mlx.core has no such call."""
    if len(case.get("steps", [])) != 1 or case["outcome"] != "required":
        return None
    (step,) = case["steps"]
    function, letters = function_of(step), [letter for letter in step["class"] if letter not in "As"]

    def call(*inputs):
        values = [*inputs, *captured]
        args = [values[arg] if letter == "a" else arg for letter, arg in zip(letters, step["args"], strict=True)]
        with mx.stream(mx.cpu):
            return CALLS[step["class"]](function, *args)

    return call if function and None not in step["args"] else None


def as_numpy(array):
    with mx.stream(mx.cpu):
        return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)


def close(got, right, output):
    options = {"rtol": output.get("rtol", 0), "atol": output.get("atol", 0)}
    same = got.dtype == right.dtype and got.shape == right.shape
    return same and np.allclose(as_numpy(got), as_numpy(right), **options, equal_nan=True)


def test_operations():
    cases, tensors = read("operations")
    compared, wrong = 0, []
    for case in cases:
        call = program(case, [tensors[name] for name in case.get("captured", [])])
        if call is None:
            continue
        got = call(*(tensors[name] for name in case["inputs"]))
        compared += 1
        if not close(got, tensors[case["expected"][0][0]["tensor"]], case["expected"][0][0]):
            wrong.append(case["name"])
    assert wrong == []
    assert compared > 300


def test_derivatives():
    cases, tensors = read("transforms")
    compared, wrong = 0, []
    for case in cases:
        call = program(case, [tensors[name] for name in case.get("captured", [])])
        kinds = [transform["kind"] for transform in case.get("transforms", [])]
        if call is None or kinds not in (["vjp"], ["jvp"]):
            continue
        transform = mx.vjp if kinds == ["vjp"] else mx.jvp
        (given,) = ([tensors[name] for name in each] for key, each in case["transforms"][0].items() if key != "kind")
        compared += 1
        try:
            outputs, products = transform(call, [tensors[name] for name in case["inputs"]], given)
        except (RuntimeError, ValueError):
            wrong.append(case["name"])
            continue
        for got, output in zip([*outputs, *products], case["expected"][0], strict=True):
            if not close(got, tensors[output["tensor"]], output):
                wrong.append(case["name"])
    assert wrong == MISSING
    assert compared > 60


OPTIMIZERS = {
    "sgd": mlx.optimizers.SGD, "adam": mlx.optimizers.Adam, "adamw": mlx.optimizers.AdamW,
    "adamax": mlx.optimizers.Adamax, "rmsprop": mlx.optimizers.RMSprop, "adagrad": mlx.optimizers.Adagrad,
    "adadelta": mlx.optimizers.AdaDelta, "lion": mlx.optimizers.Lion, "muon": mlx.optimizers.Muon,
    "adafactor": mlx.optimizers.Adafactor,
}  # fmt: skip


@pytest.mark.parametrize("case", [case for case in read("optimizers")[0] if case["name"].startswith("optimizer/")],
                         ids=lambda case: case["name"])  # fmt: skip
def test_optimizers(case):
    tensors = read("optimizers")[1]
    arguments = {key: value for key, value in case["contract"]["arguments"].items() if key != "values"}
    optimizer = OPTIMIZERS[case["contract"]["name"]](**arguments)
    parameter, *gradients = (tensors[name] for name in case["inputs"])
    with mx.stream(mx.cpu):
        for gradient in gradients:
            parameter = optimizer.apply_gradients({"w": gradient}, {"w": parameter})["w"]
    output = case["expected"][0][0]
    assert close(parameter, tensors[output["tensor"]], output)
