"""The sites of a model are found by their values in one forward pass, whatever its modules are called."""

import numpy as np
import pytest
import torch

from horizon_widget.models import layout
from horizon_widget.models.edits import LayerEdits
from horizon_widget.models.layout import PLACES
from horizon_widget.models.places import find_places, how_to_register
from horizon_widget.models.recording import record, recorded_ids
from horizon_widget.models.sites import Site
from tests.architectures import ARCHITECTURES, small_model
from tests.sweep import plain

SOURCE = 3
IDS = tuple(3 + 17 * i % 200 for i in range(12))
ADDED = ("attention_output", "mlp_output")


def found(hf_model):
    recording = record(hf_model, recorded_ids(hf_model.config.get_text_config().vocab_size))
    return find_places(plain.Parts(hf_model).modules, recording.calls, recording.cache)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("bloom", "mamba")])
def test_what_is_found_is_what_the_table_says(name):
    hf_model = ARCHITECTURES[name]()
    places, _ = found(hf_model)
    table = layout.known_places(hf_model.config.model_type)
    for site in PLACES if name != "opt, projected" else ("key", "value"):  # its norms come after what is added
        expected, place = table[site], places[site]
        assert (place.module, place.heads_first) == (expected.module, expected.heads_first)
        np.testing.assert_array_equal(place.columns(None), expected.columns(hf_model.config))


EVERY = {*PLACES}
OTHERS = {
    # a norm after what is added, and keys with a norm
    "olmo3": EVERY,
    "exaone4": EVERY,
    # what is added is scaled
    "granite": EVERY,
    "glm4": EVERY,
    # fused projections in orders of their own, and one key-value head
    "bloom": EVERY,
    "codegen": EVERY,
    "mpt": EVERY,
    "gpt_bigcode": EVERY,
    "dbrx": EVERY,
    # experts
    "qwen3_moe": EVERY,
    "gpt_oss": EVERY,
    # attention and MLP side by side
    "cohere": EVERY,
    # keys get their norm after the rotary embedding, and are nowhere before it
    "llama4_text": EVERY - {"key"},
    "hunyuan_v1_dense": EVERY - {"key"},
    # attention keeps something that keys and values are made from
    "deepseek_v3": EVERY - {"key", "value"},
    # some layers have no attention
    "qwen3_next": {"mlp_output"},
    "bailing_hybrid": {"mlp_output"},
    # heads differ between layers
    "mimo_v2_flash": EVERY - {"key", "value"},
    "mamba": set(),
}


@pytest.mark.parametrize("name", OTHERS)
def test_overwriting_what_is_found_changes_what_attention_reads_and_blocks_add(name):
    hf_model = small_model(name)
    places, lacks = found(hf_model)
    assert set(places) == OTHERS[name]
    assert set(lacks) == EVERY - OTHERS[name]
    blocks, layer = plain.Parts(hf_model).modules, 1
    clean = plain.logits(hf_model, IDS)
    for site, place in places.items():
        with zeros_at(site, place, blocks[layer], hf_model.config):
            got = plain.logits(hf_model, IDS)
        assert (got - clean).abs().max() > 1e-3
        if site in ADDED:
            with plain.leaving(blocks[layer].get_submodule(place.module), SOURCE, len(IDS)):
                expected = plain.logits(hf_model, IDS)
        else:
            with plain.attention_reads_zeros(hf_model, layer, SOURCE, site) as called:
                expected = plain.logits(hf_model, IDS)
            if layer not in called:  # an attention that is not transformers' own
                assert name in ("bloom", "codegen", "gpt_oss", "mpt")
                continue
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def zeros_at(site, place, block, config):
    columns = place.columns(config)
    width = config.hidden_size if columns is None else columns.size
    at = Site(site, place, None if columns is None else torch.from_numpy(columns).flatten())
    edits = LayerEdits(torch.tensor([0]), torch.tensor([SOURCE]), torch.zeros(1, width))
    return at.overwriting(block, edits, 0, len(IDS))


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt2", "granite", "qwen3_moe", "falcon, new decoder", "glm4"])
def test_rounding_hides_no_place(name):
    hf_model = small_model(name)
    expected, _ = found(hf_model)
    for dtype in (torch.bfloat16, torch.float16):
        places, _ = found(hf_model.to(dtype))
        assert {site: place.module for site, place in places.items()} == {
            site: place.module for site, place in expected.items()
        }
        for site in ("key", "value"):
            np.testing.assert_array_equal(places[site].heads, expected[site].heads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "phi3"])
def test_keys_are_found_where_a_rotary_embedding_scales_them(name, dtype):
    scaled = {"rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 16}
    if name == "llama":
        hf_model = small_model(name, rope_parameters={**scaled, "rope_type": "yarn"})
    else:  # only half of each head
        scaled |= {"short_factor": [1.0, 1.0], "long_factor": [2.0, 2.0], "partial_rotary_factor": 0.5}
        hf_model = small_model(name, rope_parameters={**scaled, "rope_type": "longrope"}, partial_rotary_factor=0.5)
    assert hf_model.model.rotary_emb.attention_scaling > 1.1
    places, _ = found(hf_model.to(dtype))
    first = 0 if name == "llama" else 32
    np.testing.assert_array_equal(places["key"].heads, first + np.arange(16).reshape(2, 8))


def test_zeros_at_one_layer_hide_no_place():
    hf_model = small_model("llama")
    expected, _ = found(hf_model)
    with torch.no_grad():
        hf_model.model.layers[0].mlp.down_proj.weight.zero_()
        for projection in (hf_model.model.layers[0].self_attn.k_proj, hf_model.model.layers[0].self_attn.v_proj):
            projection.weight[:8] = 0.0
    places, _ = found(hf_model)
    assert {site: place.module for site, place in places.items()} == {
        site: place.module for site, place in expected.items()
    }
    np.testing.assert_array_equal(places["key"].heads, expected["key"].heads)


def test_where_some_layers_lack_a_site_they_are_named():
    _, lacks = found(small_model("qwen3_next"))
    assert lacks["key"] == "layers 0, 2 put no keys of their own into attention's cache"
    assert lacks["attention_output"] == "it is in linear_attn at layers 0, 2 and in self_attn at layers 1, 3"
    _, lacks = found(small_model("bailing_hybrid"))
    assert lacks["attention_output"] == "layers 0, 2 put no keys into a cache, so they may have no attention"
    _, lacks = found(small_model("mamba"))
    assert lacks["mlp_output"] == "at layer 0 one module alone adds to the residual stream, mixer"


def test_the_message_for_a_missing_site_can_be_completed(monkeypatch):
    monkeypatch.setattr(layout, "_REGISTERED", {})
    block = small_model("gpt_neox").gpt_neox.layers[0]
    given = layout.Layout("gpt_neox.layers", "gpt_neox.final_layer_norm", "embed_out")
    advice = how_to_register("gpt_neox", given, "value", block)
    assert "attention.query_key_value" in advice.splitlines()[-1]
    exec("\n".join(advice.splitlines()[1:-1]).replace("PATH", "attention.query_key_value"), {})
    assert layout._REGISTERED["gpt_neox"].blocks == "gpt_neox.layers"
    assert layout._REGISTERED["gpt_neox"].value.module == "attention.query_key_value"
