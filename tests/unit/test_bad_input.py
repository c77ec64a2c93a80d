"""Each mistake gets a message that names the field and says what to do."""

import json
import re

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertLMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaModel,
    T5Config,
    T5ForConditionalGeneration,
)

import horizon_widget as hw
from horizon_widget.models import thread
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.result import schema
from horizon_widget.schedule.engine import Engine
from horizon_widget.schedule.parts import Part
from tests.conftest import PROMPT, tiny_llama


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "empty"),
        ("a", "1 token"),
        (None, "NoneType, not a text"),
        (42, "int, not a text"),
        (b"bytes", "bytes, not a text"),
        ("good \ud83d bad", "character 5 is a lone surrogate"),
        ("long " * 100, "500 tokens, and LlamaForCausalLM reads at most 64"),
    ],
)
@pytest.mark.parametrize("use", [hw.attribute, hw.HorizonWidget])
def test_prompts_that_cannot_be_read(model, use, prompt, says):
    with pytest.raises(hw.QueryError, match=f"prompt: .*{says}") as caught:
        use(model, prompt)
    assert caught.value.field == "prompt"
    assert caught.value.advice


def test_two_tokens_work_with_the_zero_baseline_and_say_so(model):
    hmap = hw.attribute(model, "ab", progress=False)
    assert hmap.done.all()
    assert set(hmap.dataset["baseline"].values) == {"zero"}
    assert hmap.window is None
    with pytest.raises(hw.QueryError, match="window"):
        hmap.own_share()
    with pytest.raises(hw.QueryError, match="baseline: a prompt of 2 tokens has no useful mean state"):
        hw.attribute(model, "ab", baseline="mean")


@pytest.mark.parametrize(
    "prompt", ["<img src=x onerror=alert(1)>", "שלום עולם", "a\x00\x07\x1b[31m\u202e\u200b b", "🎉🎉"]
)
def test_unusual_text_is_text(model, prompt):
    hmap = hw.attribute(model, prompt, layers=1, progress=False)
    assert hmap.done[1].all()
    whole = [token.text for token in hmap.tokens if token.piece is None or token.piece[0] == 1]
    assert "".join(whole) == prompt


@pytest.mark.parametrize("layers", [4, -5, [0, 99], "two", 1.5, [], [True]])
def test_layers_out_of_range(model, layers):
    with pytest.raises(hw.QueryError, match="^layers: "):
        hw.attribute(model, PROMPT, layers=layers)


@pytest.mark.parametrize(
    ("field", "value"), [("method", "magic"), ("metric", "loss"), ("baseline", "median"), ("site", "nowhere")]
)
def test_unknown_names_are_refused(model, field, value):
    with pytest.raises(hw.QueryError, match=re.escape(f"{field}: '{value}' is not offered")):
        hw.attribute(model, PROMPT, **{field: value})


def test_cells_out_of_range(model):
    hmap = hw.attribute(model, PROMPT, layers=0, progress=False)
    for layer, source, target, field in [
        (9, 0, 1, "layer"),
        (0, 99, 1, "source"),
        (0, 0, 0, "target"),
        (0, 0, 99, "target"),
    ]:
        with pytest.raises(hw.QueryError, match=f"^{field}: "):
            hmap.cell(layer, source, target)


@pytest.mark.parametrize("use", [hw.attribute, hw.HorizonWidget])
def test_an_object_that_is_not_a_loaded_model_is_refused(use):
    with pytest.raises(hw.QueryError, match="model: a str is not a loaded model"):
        use("demo", PROMPT)


@pytest.mark.parametrize("seed", [-1, 1.5, "x", True])
def test_seeds_are_whole_numbers(model, seed):
    with pytest.raises(hw.QueryError, match="seed: "):
        hw.attribute(model, PROMPT, seed=seed)


def test_a_tokenizer_of_another_model_is_noticed(byte_tokenizer):
    small = LlamaForCausalLM(LlamaConfig(**{**tiny_llama().config.to_dict(), "vocab_size": 60})).eval()
    with pytest.raises(hw.QueryError, match="tokenizer: it gives token"):
        hw.attribute(hw.load_model(small, tokenizer=byte_tokenizer), PROMPT)


def test_a_prompt_whose_map_would_not_fit_is_refused(model, monkeypatch):
    monkeypatch.setattr(schema, "LARGEST_MAP", 1000)
    with pytest.raises(hw.QueryError, match="prompt: the map of its 31 tokens"):
        hw.attribute(model, PROMPT)


def test_an_unknown_device_is_named():
    with pytest.raises(hw.ModelError, match="device: 'abacus'"):
        hw.load_model("anything", device="abacus")


def test_an_encoder_is_refused(byte_tokenizer):
    bert = BertLMHeadModel(
        BertConfig(vocab_size=256, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ).eval()
    with pytest.raises(hw.ModelError, match="not a decoder-only language model"):
        hw.load_model(bert, tokenizer=byte_tokenizer)


def test_an_encoder_decoder_is_refused(byte_tokenizer):
    t5 = T5ForConditionalGeneration(
        T5Config(vocab_size=256, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    ).eval()
    with pytest.raises(hw.ModelError, match="not a decoder-only language model"):
        hw.load_model(t5, tokenizer=byte_tokenizer)


def test_a_base_model_and_a_classifier_are_refused(byte_tokenizer):
    sizes = {"vocab_size": 256, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(**sizes, intermediate_size=16)
    for kind in (LlamaModel, LlamaForSequenceClassification):
        with pytest.raises(hw.ModelError, match="has no unembedding"):
            hw.load_model(kind(config).eval(), tokenizer=byte_tokenizer)


def test_a_compiled_model_gives_the_same_and_a_compiled_part_is_refused(byte_tokenizer):
    ask = {"layers": 1, "sources": 3, "baseline": "zero", "progress": False}
    expected = hw.attribute(hw.load_model(tiny_llama(), tokenizer=byte_tokenizer), PROMPT, **ask)
    compiled = hw.load_model(torch.compile(tiny_llama(), backend="eager"), tokenizer=byte_tokenizer)
    np.testing.assert_array_equal(hw.attribute(compiled, PROMPT, **ask).values, expected.values)
    hf_model = tiny_llama()
    hf_model.model.layers[1] = torch.compile(hf_model.model.layers[1], backend="eager")
    with pytest.raises(hw.ModelError, match=r"a compiled part, model\.layers\.1"):
        hw.load_model(hf_model, tokenizer=byte_tokenizer)


def test_a_model_made_in_inference_mode_has_no_gradients(byte_tokenizer):
    with torch.inference_mode():
        model = hw.load_model(tiny_llama(), tokenizer=byte_tokenizer)
    hw.attribute(model, PROMPT, layers=1, sources=3, progress=False)
    with pytest.raises(hw.QueryError, match=r"method: .* torch\.inference_mode"):
        hw.attribute(model, PROMPT, method="gradient", progress=False)


def test_autocast_is_said_to_have_no_effect(model):
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.warns(UserWarning, match="autocast has no effect"):
        hw.attribute(model, "An autocast prompt.", layers=1, sources=3, progress=False)


def test_a_model_of_transformer_lens_is_refused_by_name(byte_tokenizer):
    bridge = type("TransformerBridge", (torch.nn.Module,), {"__module__": "transformer_lens.model_bridge"})
    with pytest.raises(hw.ModelError, match="original_model"):
        hw.load_model(bridge(), tokenizer=byte_tokenizer)


def test_a_folder_with_an_adapter_alone_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(hw.ModelError, match="holds an adapter without its model"):
        hw.load_model(tmp_path)


def test_a_model_with_code_of_its_own_is_refused_without_a_question(tmp_path, monkeypatch):
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "code.MyConfig", "AutoModelForCausalLM": "code.MyModel"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text("raise RuntimeError('run')")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on standard input"))
    with pytest.raises(hw.ModelError, match="brings code of its own"):
        hw.load_model(tmp_path)


@pytest.mark.parametrize("rope_type", ["dynamic", "linear"])
def test_only_a_rotary_embedding_that_adapts_takes_longer_prompts(rope_type, byte_tokenizer):
    hf_model = tiny_llama(rope_parameters={"rope_type": rope_type, "rope_theta": 10000.0, "factor": 2.0})
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    assert model.context_length == (None if rope_type == "dynamic" else 64)


def test_an_unknown_model_name_is_refused():
    with pytest.raises(hw.ModelError, match="'no-such/model-anywhere' is neither a local folder"):
        hw.load_model("no-such/model-anywhere")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(hw.ModelError, match="neither a local folder with a model"):
        hw.load_model(tmp_path)


def test_unusable_models_in_memory_are_refused(byte_tokenizer):
    with pytest.raises(hw.ModelError, match="needs its tokenizer"):
        hw.load_model(tiny_llama())
    with pytest.raises(hw.ModelError, match="training mode"):
        hw.load_model(tiny_llama().train(), tokenizer=byte_tokenizer)
    with pytest.raises(hw.ModelError, match="not a language model"):
        hw.load_model(torch.nn.Linear(2, 2), tokenizer=byte_tokenizer)
    with pytest.raises(hw.ModelError, match="dtype, device and revision"):
        hw.load_model(tiny_llama(), tokenizer=byte_tokenizer, dtype="float32")


def test_values_that_are_not_finite_are_reported_with_their_place(model):
    with torch.no_grad():
        model.hf_model.model.layers[2].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(hw.ModelError, match="not finite from layer 3, token 0 on"):
        hw.attribute(model, PROMPT, progress=False)


def test_an_ablation_whose_result_is_not_finite_is_reported_with_its_place(model):
    def explodes(logits, input_ids):
        values = logits.logsumexp(-1)
        return torch.where(values > clean_max, float("inf"), values) if clean_max is not None else values

    clean_max = None
    query = Query(model.tokenize(PROMPT), baseline=Baseline("zero"), metric=Metric("function", function=explodes))
    engine = Engine(model, query)
    thread.run(engine.begin)
    clean_max = float(engine.map.dataset["clean_metric"].max())
    with pytest.raises(hw.ModelError, match=r"layer 2, token \d+ gives predictions that are not finite, from token"):
        thread.run(lambda: engine.compute(Part("rows", None, tuple((2, source) for source in range(20)))))
    assert not engine.map.done[2, :20].all()


def test_a_folder_and_an_nnsight_model_load_through_the_same_function(tmp_path, byte_tokenizer):
    import nnsight

    hf_model = tiny_llama()
    hf_model.save_pretrained(tmp_path / "tiny")
    byte_tokenizer.save_pretrained(tmp_path / "tiny")
    from_folder = hw.load_model(tmp_path / "tiny")
    assert from_folder.name == "tiny"
    from_nnsight = hw.load_model(nnsight.TransformersModel(hf_model, tokenizer=byte_tokenizer))
    maps = [hw.attribute(m, PROMPT, layers=1, progress=False) for m in (from_folder, from_nnsight)]
    np.testing.assert_allclose(maps[0].values, maps[1].values, atol=1e-5)
