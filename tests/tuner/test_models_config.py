"""DecoderConfig: what the families leave unsaid, and the two ways in which transformers writes some fields."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import NAMES, config_dict, nested

from mlxffi import Error
from mlxffi.tuner.models import DecoderConfig
from mlxffi.tuner.models.config import FULL, SLIDING

read = DecoderConfig.from_dict


def without(config, *names):
    return {name: value for name, value in config.items() if name not in names}


def test_llama_leaves_heads_of_keys_and_their_size_unsaid():
    found = read(without(config_dict("llama"), "num_key_value_heads", "tie_word_embeddings"))
    assert (found.num_heads, found.num_kv_heads, found.head_dim) == (4, 4, 16)
    assert found.tied
    assert found.attention_scale == 16**-0.5
    assert set(found.layer_types) == {FULL}
    assert found.sliding_window is None


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "mistral", "llama"])
def test_null_is_unsaid(name):
    config = config_dict("llama", model_type=name)
    nulls = {"head_dim": None, "rope_scaling": None, "sliding_window": None, "layer_types": None, "mlp_bias": None}
    assert read({**config, **nulls}) == read(config)


def test_heads_of_qwen3_are_128_wide_where_nothing_is_said():
    assert read(config_dict("qwen3", head_dim=None, hidden_size=64, num_attention_heads=4)).head_dim == 128
    assert read(config_dict("llama", head_dim=None, hidden_size=64, num_attention_heads=4)).head_dim == 16


def test_rope_parameters_say_what_two_fields_said():
    scaling = {"rope_type": "linear", "factor": 2.0}
    old = config_dict("qwen3", rope_theta=5e5, rope_scaling=scaling)
    new = config_dict("qwen3", rope_theta=None, rope_parameters={"rope_theta": 5e5, **scaling})
    assert read(old) == read(new)
    assert read(old).rope.scale == 0.5


def test_rope_parameters_may_differ_by_type_of_layer():
    old = config_dict(
        "gemma3_text", rope_theta=1e6, rope_local_base_freq=1e4, rope_scaling={"rope_type": "linear", "factor": 8.0}
    )
    by_type = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    new = {**without(old, "rope_theta", "rope_local_base_freq", "rope_scaling"), "rope_parameters": by_type}
    assert read(old) == read(new)
    assert read(old).rope != read(old).local_rope


def test_gemmas_windows_are_a_pattern_or_a_list():
    pattern = config_dict("gemma3_text", num_hidden_layers=7, sliding_window_pattern=3)
    types = (SLIDING, SLIDING, FULL, SLIDING, SLIDING, FULL, SLIDING)
    assert read(pattern).layer_types == types
    bare = without(pattern, "sliding_window_pattern")
    assert read({**bare, "_sliding_window_pattern": 3}) == read(pattern)
    assert read({**bare, "layer_types": list(types)}) == read(pattern)
    assert [read(pattern).window(layer) for layer in (0, 2)] == [16, None]


@pytest.mark.parametrize("name", ["qwen2", "qwen3"])
def test_qwens_windows_begin_above_some_blocks(name):
    config = config_dict("llama", model_type=name, num_hidden_layers=3, sliding_window=8, max_window_layers=1)
    assert read({**config, "use_sliding_window": False}).layer_types == (FULL,) * 3
    assert read({**config, "use_sliding_window": True}).layer_types == (FULL, SLIDING, SLIDING)


def test_mistral_has_a_window_in_all_blocks_if_any():
    config = config_dict("llama", model_type="mistral")
    assert read({**config, "sliding_window": 8}).layer_types == (SLIDING, SLIDING)
    assert read({**config, "sliding_window": None}).layer_types == (FULL, FULL)


def test_gemma_fills_in_a_config_json_that_tells_the_difference_only():
    found = read({"model_type": "gemma3_text"})
    assert (found.num_layers, found.hidden_size, found.head_dim, found.sliding_window) == (26, 1152, 256, 512)
    assert (found.rope.theta, found.local_rope.theta) == (1e6, 1e4)
    assert found.activation == "gelu_tanh"
    assert found.attention_scale == 256**-0.5


def test_a_model_that_sees_has_its_decoder_in_a_part():
    plain = config_dict("gemma3_text")
    assert replace(read(nested(plain)), branch=None) == read(plain)
    assert read(nested(plain)).branch == "language_model"
    unsaid = read({"model_type": "gemma3", "text_config": {"hidden_size": 2560}})
    assert (unsaid.vocab_size, unsaid.num_heads, unsaid.num_kv_heads, unsaid.hidden_size) == (262208, 8, 4, 2560)
    with pytest.raises(ValueError, match=r"config\.json: text_config: expected an object, got None"):
        read({"model_type": "gemma3"})


def test_the_source_of_a_mistake_is_named():
    for name, value in (("num_hidden_layers", 0), ("head_dim", -1), ("intermediate_size", 1.5), ("vocab_size", True)):
        with pytest.raises(ValueError, match=rf"config\.json: {name}: expected an integer of at least 1, got {value}"):
            read(config_dict("qwen3", **{name: value}))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 200) | st.floats() | st.sampled_from(["", "linear", "llama3", SLIDING]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["factor", "type", FULL]), inner),
    max_leaves=6,
)


@given(name=st.sampled_from(NAMES), data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_value_in_a_config_json_is_read_or_refused(name, data):
    config = config_dict(name, rope_parameters=None, layer_types=None, mlp_bias=False, attention_bias=False)
    fields = data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=2))
    changed = {**config, **{field: data.draw(VALUES) for field in fields}}
    try:
        found = read(changed)
    except Error:
        with pytest.raises(ValueError, match=r"^config\.json: "):
            read(changed)
    else:
        assert found.num_layers == len(found.layer_types)
        hash(found)
