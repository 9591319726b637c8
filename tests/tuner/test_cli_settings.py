"""The settings of a job: from the command line, else from a YAML file, else defaults."""

import argparse

import pytest

from mlxffi.tuner.cli import settings

# The defaults of `mlx_lm.lora`, but for `model` and `data`, which name what would be downloaded.
MLX_LM_DEFAULTS = {
    "train": False,
    "fine_tune_type": "lora",
    "optimizer": "adam",
    "seed": 0,
    "num_layers": 16,
    "batch_size": 4,
    "iters": 1000,
    "val_batches": 25,
    "learning_rate": 1e-5,
    "steps_per_report": 10,
    "steps_per_eval": 200,
    "resume_adapter_file": None,
    "adapter_path": "adapters",
    "save_every": 100,
    "test": False,
    "test_batches": 500,
    "max_seq_length": 2048,
    "config": None,
    "grad_checkpoint": False,
    "grad_accumulation_steps": 1,
    "clear_cache_threshold": 0,
    "lr_schedule": None,
    "lora_parameters": {"rank": 8, "dropout": 0.0, "scale": 20.0},
    "mask_prompt": False,
    "report_to": None,
    "project_name": None,
    "trust_remote_code": False,
}


def given(*words):
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    settings.add_arguments(parser)
    return vars(parser.parse_args([str(word) for word in words]))


def found(*words):
    return settings.settings_of(given(*words))


def test_defaults_are_those_of_mlx_lm():
    values = found().by_name
    assert {name: values[name] for name in MLX_LM_DEFAULTS} == MLX_LM_DEFAULTS


def test_the_command_line_comes_before_the_file_and_the_file_before_defaults(tmp_path):
    path = tmp_path / "lora.yaml"
    path.write_text("iters: 7\nbatch_size: 2\nlearning_rate: 1e-4\nclear_cache_threshold: 2GB\ntrain: true\n")
    job, training, values = found("-c", path, "--iters", 9, "--no-train")
    assert (training.iters, training.batch_size, job.train) == (9, 2, False)
    assert job.learning_rate == 1e-4
    assert training.clear_cache_threshold == 2 * 10**9
    assert values["config"] == str(path)


def test_a_false_flag_in_the_file_holds(tmp_path):
    (tmp_path / "c.yaml").write_text("trust_remote_code: true\ncompile: false\n")
    job, training, _ = found("--config", tmp_path / "c.yaml")
    assert (job.trust_remote_code, training.compile) == (True, False)


def test_numbers_with_an_exponent_alone_are_numbers_everywhere(tmp_path):
    """As in mlx_lm's own example file; YAML 1.1 would take them for texts."""
    text = "lr_schedule: {name: cosine_decay, warmup: 10, warmup_init: 1e-7, arguments: [1e-5, 100, 1E-7]}\n"
    text += "optimizer_config: {adamw: {eps: +1e-6, weight_decay: .5e-1}}\nlora_parameters: {rank: 4, scale: 2e1}\n"
    (tmp_path / "c.yaml").write_text(f"{text}project_name: '1e5'\n")
    job = found("-c", tmp_path / "c.yaml").job
    assert job.lr_schedule["arguments"] == [1e-5, 100, 1e-7]
    assert (job.lr_schedule["warmup"], job.lr_schedule["warmup_init"]) == (10, 1e-7)
    assert job.optimizer_config == {"adamw": {"eps": 1e-6, "weight_decay": 0.05}}
    assert job.lora_parameters == {"rank": 4, "scale": 20.0}
    assert job.project_name == "1e5"


def test_what_only_files_have(tmp_path):
    text = "lora_parameters: {rank: 4, alpha: 8, dropout: 0.1, keys: [self_attn.q_proj]}\n"
    (tmp_path / "c.yaml").write_text(text + "lr_schedule: {name: cosine_decay, arguments: [1e-5, 100]}\n")
    job = found("-c", tmp_path / "c.yaml").job
    assert job.lora_parameters == {"rank": 4, "alpha": 8, "dropout": 0.1, "keys": ["self_attn.q_proj"]}
    assert job.lr_schedule["name"] == "cosine_decay"
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        given("--lora-parameters", "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("iters: many", "iters: expected int, got 'many'"),
        ("iters: true", "iters: expected int, got True"),
        ("iters: 1.5", "iters: expected int, got 1.5"),
        ("train: 1", "train: expected true or false, got 1"),
        ("learning_rate: fast", "learning_rate: expected float, got 'fast'"),
        ("optimizer: adm", "optimizer: expected one of adam, .*, got 'adm'"),
        ("lora_parameters: 8", "lora_parameters: expected a mapping, got 8"),
        ("clear_cache_threshold: 2 parsecs", "clear_cache_threshold: expected a size such as 2GB, got '2 parsecs'"),
        ("itres: 5\nlearning-rate: 1", "unknown settings: itres, learning-rate"),
        ("- iters", "expected settings by name, got list"),
        ("a: [", "expected YAML"),
        ("iters: 3\nseed: 1\niters: 4", "iters: expected once, got twice"),
        ("lora_parameters: {rank: 3, rank: 4}", "rank: expected once, got twice"),
        ("", "expected settings by name, got NoneType"),
        ("batch_size: 0", "batch_size: expected at least 1, got 0"),
        ("save_every: 0", "^save_every: expected at least 1, got 0"),
    ],
)
def test_what_a_file_gets_wrong_is_named(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        found("-c", tmp_path / "c.yaml")
    if not text.endswith(": 0"):
        assert str(caught.value).startswith(f"{tmp_path / 'c.yaml'}: ")


@pytest.mark.parametrize("words", [["--iters", "x"], ["--fine-tune-type", "all"], ["--optimizer", ""], ["--nonsense"]])
def test_what_an_option_gets_wrong_is_named(words):
    with pytest.raises((argparse.ArgumentError, SystemExit)) as caught:
        given(*words)
    assert isinstance(caught.value, SystemExit) or words[0] in str(caught.value)


def test_every_setting_has_a_help_text_and_a_value_of_its_type():
    for option in settings.options():
        assert option.field.metadata["help"]
        assert settings.checked(option, option.default) == option.default
