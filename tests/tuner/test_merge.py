"""Adapters merged into one: its update of each weight, against float64."""

import json

import numpy as np
import pytest
from end_to_end import command
from lora_cases import Numbers, model, near, trained, wide
from tuner_helpers import message_of

import mlxffi.core as mx
from mlxffi.tuner import lora
from mlxffi.tuner.lora import Adapter, LoRAConfig, create_adapter, fuse, merge, save_adapter
from mlxffi.tuner.trees import unflatten

LINEAR = ("self_attn.q_proj", "self_attn.o_proj", "mlp.up")
TREE = model(blocks=2)


def adapter(seed, keys=LINEAR, **options):
    mx.random.seed(seed)
    return trained(create_adapter(TREE, LoRAConfig(keys=keys, **options)), seed)


def adapters():
    """Of other ranks, scales and layers; of linear layers, expert layers, and embeddings."""
    ranks = {"rank_pattern": {"q_proj": 5}, "alpha": 6.0}
    return [
        adapter(1, (*LINEAR, "model.embed_tokens"), rank=2, scale=3.0),
        adapter(2, (*LINEAR, "switch_mlp.up"), rank=3, rslora=True, **ranks),
        adapter(3, (*LINEAR[:1], "model.embed_tokens", "switch_mlp.up"), rank=1, scale=-0.5),
    ]


def updates(adapter):
    """What an adapter adds to each weight, in float64."""
    found = {}
    for path, node in adapter.layers().items():
        a, b, scale = wide(node["lora_a"]), wide(node["lora_b"]), node["scaling"].scale
        product = b @ a if a.ndim == 3 else a @ b if "embed" in path else (a @ b).T
        found[path] = scale * product
    return found


WEIGHTS = [0.7, 0.3, -1.5]


def linear(path, found):
    return sum(weight * update[path] for weight, update in zip(WEIGHTS, found, strict=True) if path in update)


def ties(path, found, density):
    """Trim, elect, merge, entry by entry; Yadav et al. 2023."""
    parts = []
    for weight, update in zip(WEIGHTS, found, strict=True):
        if path in update:
            sizes = np.sort(np.abs(update[path]).ravel())
            least = sizes[-max(int(density * sizes.size), 1)]
            parts.append(weight * np.where(np.abs(update[path]) < least, 0, update[path]))
    signs = np.sign(sum(parts))
    agreeing = [np.where((np.sign(part) == signs) & (part != 0), part, 0) for part in parts]
    return sum(agreeing) / np.maximum(sum(part != 0 for part in agreeing), 1)


def test_linear_is_the_weighted_sum_of_what_each_adds():
    given = adapters()
    found = merge(given, WEIGHTS)
    wanted = [updates(adapter) for adapter in given]
    assert found.kept == 1
    assert set(updates(found.adapter)) == set().union(*wanted)
    for path, update in updates(found.adapter).items():
        expected = linear(path, wanted)
        np.testing.assert_allclose(update, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    # One rank for all, as mlx_lm has it: 2 + 5 + 1 of the queries.
    assert {node["lora_a"].shape for path, node in found.adapter.layers().items() if "q_proj" in path} == {(64, 8)}
    assert (found.adapter.config.rank, found.adapter.config.scale) == (8, 1.0)


@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
def test_ties_is_that_of_the_formula(density):
    given = adapters()
    # As many ranks as the narrowest side of a layer has: nothing is lost.
    found = merge(given, WEIGHTS, "ties", density=density, rank=32)
    wanted = [updates(adapter) for adapter in given]
    assert found.kept == pytest.approx(1)
    for path, update in updates(found.adapter).items():
        expected = ties(path, wanted, density)
        np.testing.assert_allclose(update, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["linear", "ties"])
@pytest.mark.parametrize("rank", [1, 3])
def test_a_smaller_rank_keeps_the_largest_singular_values(method, rank):
    given = adapters()
    found = merge(given, WEIGHTS, method, rank=rank)
    wanted, kept, total = [updates(adapter) for adapter in given], 0.0, 0.0
    for path, update in updates(found.adapter).items():
        whole = linear(path, wanted) if method == "linear" else ties(path, wanted, 0.2)
        u, values, vt = np.linalg.svd(whole, full_matrices=False)
        expected = (u[..., :rank] * values[..., None, :rank]) @ vt[..., :rank, :]
        np.testing.assert_allclose(update, expected, rtol=0, atol=2e-5 * np.abs(whole).max())
        kept, total = kept + (values[..., :rank] ** 2).sum(), total + (values**2).sum()
    assert found.kept == pytest.approx(kept / total, rel=1e-3)


def test_a_merged_adapter_fuses_as_its_parts_do_one_after_the_other():
    given = adapters()[:2]
    found = fuse(TREE, merge(given, [1.0, 1.0]).adapter)
    wanted = fuse(TREE, *given)
    for path in ("q_proj", "o_proj"):
        near(*(tree["model"]["layers"][0]["self_attn"][path]["weight"] for tree in (found, wanted)), factor=4)


MISTAKES = {
    "one adapter": (lambda one, two: merge([one], [1.0]), "expected two adapters or more and a weight for each"),
    "a weight too few": (lambda one, two: merge([one, two], [1.0]), "got 2 and 1"),
    "a weight that is none": (
        lambda one, two: merge([one, two], [1.0, float("nan")]),
        "weights[1]: expected",
    ),
    "no such method": (lambda one, two: merge([one, two], [1, 1], "mean"), "method: expected one of linear, ties"),
    "density": (lambda one, two: merge([one, two], [1, 1], "ties", density=0), "density: expected a number above 0"),
    "rank": (lambda one, two: merge([one, two], [1, 1], rank=-1), "rank: expected an int of at least 1, got -1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    call, message = MISTAKES[name]
    assert message in message_of(lambda: call(adapter(1), adapter(2)))


def test_dora_and_other_models_are_refused():
    dora = adapter(2, use_dora=True)
    assert "expected LoRA; what DoRA changes depends on" in message_of(lambda: merge([adapter(1), dora], [1, 1]))
    draw = Numbers()
    parts = {"lora_a": draw(16, 2), "lora_b": draw(2, 32)}
    path = "model.layers.0.self_attn.q_proj"
    other = Adapter(unflatten({f"{path}.{name}": part for name, part in parts.items()}), LoRAConfig(rank=2))
    assert f"{path}: expected adapters of one model" in message_of(lambda: merge([adapter(1), other], [1, 1]))


def test_the_command_line_merges_folders(tmp_path):
    given = adapters()[:2]
    for name, one in zip("ab", given, strict=True):
        save_adapter(tmp_path / name, one)
    out, _ = command("merge", f"{tmp_path / 'a'}:0.7", f"{tmp_path / 'b'}:0.3", "--save-path", tmp_path / "c")
    assert out == f"adapter of rank 7 in {tmp_path / 'c'}\n"
    found, wanted = lora.load_adapter(tmp_path / "c", TREE), merge(given, [0.7, 0.3]).adapter
    for path, update in updates(wanted).items():
        np.testing.assert_array_equal(updates(found)[path], update)
    about = json.loads((tmp_path / "c/adapter_config.json").read_text())["lora_parameters"]
    assert (about["rank"], about["scale"]) == (7, 1.0)
    words = [tmp_path / "a", f"{tmp_path / 'b'}:2", "--save-path", tmp_path / "d", "--method", "ties", "--rank", "2"]
    out, _ = command("merge", *words)
    assert "% of what the adapters change is left in this rank" in out


def test_mistakes_of_the_command_line_write_nothing(tmp_path):
    save_adapter(tmp_path / "a", adapter(1))
    target = ["--save-path", tmp_path / "c"]
    for words, message in [
        ((tmp_path / "a", f"{tmp_path / 'a'}:much"), "expected a folder, or a folder, a colon and a weight"),
        ((tmp_path / "a", f"{tmp_path / 'nowhere'}:1"), "nowhere"),
        ((tmp_path / "a",), "expected two adapters or more"),
    ]:
        _, err = command("merge", *words, *target, status=2)
        assert message in err
        assert not (tmp_path / "c").exists()
    _, err = command("merge", tmp_path / "a", tmp_path / "a", "--save-path", tmp_path / "a", status=2)
    assert "save_path: expected a new or empty folder" in err


@pytest.mark.leaks
def test_peft_merges_the_same(tmp_path):
    """Its "cat" puts factors beside each other, too."""
    torch, peft = pytest.importorskip("torch"), pytest.importorskip("peft")
    rng = np.random.default_rng(0)

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.q_proj = torch.nn.Linear(16, 8, bias=False)

        def forward(self, x):
            return self.q_proj(x)

    net, x = Net(), torch.tensor(rng.normal(size=(3, 16)), dtype=torch.float32)
    net.q_proj.weight.data = torch.tensor(rng.normal(size=(8, 16)), dtype=torch.float32)
    wrapped, given = None, []
    for index, (rank, alpha) in enumerate([(2, 6), (3, 1)]):
        config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=["q_proj"], init_lora_weights=False)
        if wrapped is None:
            wrapped = peft.get_peft_model(net, config, adapter_name=str(index))
        else:
            wrapped.add_adapter(str(index), config)
        wrapped.save_pretrained(tmp_path, selected_adapters=[str(index)])
        given.append(lora.read_adapter(tmp_path / str(index)))
    wrapped.add_weighted_adapter(["0", "1"], [0.7, 0.3], "both", combination_type="cat")
    wrapped.set_adapter("both")
    weight = wrapped.base_model.model.q_proj.base_layer.weight.detach().numpy()
    tree = {"q_proj": {"weight": mx.array(weight)}}
    found = fuse(tree, merge(given, [0.7, 0.3]).adapter)["q_proj"]["weight"]
    wanted = wrapped(x).detach().numpy()
    np.testing.assert_allclose(x.numpy() @ np.array(found).T, wanted, rtol=0, atol=1e-5)
