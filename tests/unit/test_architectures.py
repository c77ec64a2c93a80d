"""Unknown architectures get a clear error, and a user can register one."""

import numpy as np
import pytest
import torch
from transformers import GenerationMixin, LlamaConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRMSNorm, LlamaRotaryEmbedding

import horizon_widget as hw
from horizon_widget.models import layout
from horizon_widget.models.parts import find_scaling
from horizon_widget.models.recording import Call, recorded_ids
from tests import reference
from tests.architectures import small_model
from tests.conftest import PROMPT

SHORT = PROMPT[:12]


class TowerConfig(LlamaConfig):
    model_type = "tower"


class Floor(torch.nn.Module):
    def __init__(self, config, index):
        super().__init__()
        self.before_reads, self.before_thinks = LlamaRMSNorm(config.hidden_size), LlamaRMSNorm(config.hidden_size)
        self.reads, self.thinks = LlamaAttention(config, index), LlamaMLP(config)

    def forward(self, hidden, mask, rotary, memory=None):
        read, _ = self.reads(self.before_reads(hidden), rotary, mask, past_key_values=memory)
        hidden = hidden + read
        return hidden + self.thinks(self.before_thinks(hidden))


class TowerModel(PreTrainedModel, GenerationMixin):
    """A decoder-only model whose parts have unusual names."""

    config_class = TowerConfig

    def __init__(self, config):
        super().__init__(config)
        self.words = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.floors = torch.nn.ModuleList(Floor(config, index) for index in range(config.num_hidden_layers))
        self.roof = LlamaRMSNorm(config.hidden_size)
        self.voice = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.rotary = LlamaRotaryEmbedding(config)
        self.post_init()

    n_rounds = 1
    between = staticmethod(lambda hidden: hidden)

    def forward(self, input_ids, past_key_values=None, use_cache=False, **_):
        hidden = self.words(input_ids)
        n_tokens = input_ids.shape[1]
        mask = torch.full((n_tokens, n_tokens), -1e9, dtype=hidden.dtype).triu(1)[None, None]
        rotary = self.rotary(hidden, torch.arange(n_tokens)[None])
        for floor in [*self.floors] * self.n_rounds:
            hidden = floor(self.between(hidden), mask, rotary, memory=past_key_values)
        return CausalLMOutput(logits=self.voice(self.roof(hidden)))


TOWER = hw.Layout(
    blocks="floors",
    norm="roof",
    head="voice",
    attention_output=hw.Place("reads"),
    mlp_output=hw.Place("thinks"),
    key=hw.Place("reads.k_proj", hw.separate_heads),
    value=hw.Place("reads.v_proj", hw.separate_heads),
)


@pytest.fixture
def tower():
    config = TowerConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    return TowerModel(config).eval()


@pytest.fixture
def registered():
    hw.register_architecture("tower", TOWER)
    yield
    del layout._REGISTERED["tower"]


def test_blocks_that_run_more_than_once_are_refused(tower, byte_tokenizer):
    tower.n_rounds = 2
    with pytest.raises(hw.ModelError, match="the blocks in floors run more than once") as caught:
        hw.load_model(tower, tokenizer=byte_tokenizer)
    advice = caught.value.advice.split("\n", 1)[1]
    assert len(advice.strip().splitlines()) <= 5
    try:
        exec(advice, {})
        assert layout._REGISTERED["tower"].blocks == "model.layers"
        hw.register_architecture("tower", TOWER)  # which makes it no better
        with pytest.raises(hw.ModelError, match="the blocks in floors run more than once"):
            hw.load_model(tower, tokenizer=byte_tokenizer)
    finally:
        layout._REGISTERED.pop("tower", None)


def test_blocks_that_do_not_follow_each_other_are_refused(tower, byte_tokenizer):
    tower.between = lambda hidden: hidden.roll(1, dims=-1)
    with pytest.raises(hw.ModelError, match=r"floors.1 does not take what floors.0 returned"):
        hw.load_model(tower, tokenizer=byte_tokenizer)


def test_an_unknown_architecture_agrees_with_a_hook(tower, byte_tokenizer, monkeypatch):
    _assert_agrees(tower, "residual", byte_tokenizer, monkeypatch)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("site", ["residual", "value", "mlp_output"])
def test_a_registered_architecture_agrees_with_a_hook(tower, site, byte_tokenizer, monkeypatch):
    _assert_agrees(tower, site, byte_tokenizer, monkeypatch)


def _assert_agrees(tower, site, byte_tokenizer, monkeypatch):
    model = hw.load_model(tower, tokenizer=byte_tokenizer)
    hmap = hw.attribute(model, SHORT, baseline="zero", site=site, progress=False)
    monkeypatch.setattr(reference, "BLOCKS", ("floors",))
    module = {"residual": "", "value": "reads.v_proj", "mlp_output": "thinks"}[site]
    for layer, source in ((0, 3), (2, 5)):
        block = tower.floors[layer]

        def zero(values, source=source):
            values = values.clone()
            values[:, source] = 0.0
            return values

        if site == "residual":
            handle = block.register_forward_pre_hook(lambda _module, args: (zero(args[0]), *args[1:]))
        else:
            handle = block.get_submodule(module).register_forward_hook(lambda _module, _args, output: zero(output))
        clean = reference.logprobs
        try:
            ablated = clean(tower, model.tokenize(SHORT))
        finally:
            handle.remove()
        expected = clean(tower, model.tokenize(SHORT)) - ablated
        np.testing.assert_allclose(hmap.values.values[layer, source, source:], expected[source:], atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "site"),
    [
        ({"value": hw.Place("reads.k_proj", hw.separate_heads)}, "value"),
        ({"key": hw.Place("reads.v_proj", hw.separate_heads)}, "key"),
        ({"key": hw.Place("reads.k_proj", np.arange(16).reshape(2, 8)[:, ::-1].copy())}, "key"),
        ({"mlp_output": hw.Place("reads")}, "mlp_output"),
        ({"attention_output": hw.Place("before_thinks")}, "attention_output"),
    ],
)
def test_a_wrong_registration_is_refused(tower, wrong, site, byte_tokenizer):
    from dataclasses import replace

    hw.register_architecture("tower", replace(TOWER, **wrong))
    try:
        model = hw.load_model(tower, tokenizer=byte_tokenizer)
        with pytest.raises(hw.QueryError, match=f"site: '{site}' of TowerModel .* is not where its layout says"):
            hw.attribute(model, SHORT, site=site, progress=False)
    finally:
        del layout._REGISTERED["tower"]


def test_a_registration_that_does_not_fit_is_refused(tower, byte_tokenizer):
    from dataclasses import replace

    hw.register_architecture("tower", replace(TOWER, blocks="stairs"))
    try:
        with pytest.raises(hw.ModelError, match="does not have the parts that are registered"):
            hw.load_model(tower, tokenizer=byte_tokenizer)
    finally:
        del layout._REGISTERED["tower"]


def test_a_registered_module_that_is_not_called_is_refused(tower, byte_tokenizer):
    from dataclasses import replace

    tower.attic = torch.nn.Identity()
    hw.register_architecture("tower", replace(TOWER, norm=("roof", "attic")))
    try:
        with pytest.raises(hw.ModelError, match="attic, which is registered, is not called"):
            hw.load_model(tower, tokenizer=byte_tokenizer)
    finally:
        del layout._REGISTERED["tower"]


def test_a_registered_site_is_checked_where_none_is_found(byte_tokenizer):
    given = hw.Layout(
        "backbone.layers", "backbone.norm_f", attention_output=hw.Place("norm"), mlp_output=hw.Place("mixer")
    )
    hw.register_architecture("mamba", given)
    try:
        model = hw.load_model(small_model("mamba"), tokenizer=byte_tokenizer)
        with pytest.raises(
            hw.QueryError, match="'attention_output' of MambaForCausalLM .* is not where its layout says"
        ):
            hw.attribute(model, SHORT, site="attention_output", progress=False)
    finally:
        del layout._REGISTERED["mamba"]


def test_weights_that_are_not_finite_are_reported_with_the_prompt(byte_tokenizer):
    hf_model = small_model("llama")
    with torch.no_grad():
        hf_model.model.layers[1].mlp.down_proj.weight.fill_(float("inf"))
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    with pytest.raises(hw.ModelError, match="not finite from layer 2"):
        hw.attribute(model, SHORT, progress=False)


@pytest.mark.parametrize("vocab_size", [8, 40, 50_000])
def test_recorded_tokens_differ(vocab_size):
    ids = recorded_ids(vocab_size)
    assert 0 <= int(ids.min()) <= int(ids.max()) < vocab_size
    assert len(set(ids[:, 0].tolist())) == min(len(ids), vocab_size - 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("factor", "softcap"), [(1.0, None), (1 / 1.05, None), (0.8333, None), (1.0, 30.0), (0.5, 15.0)]
)
def test_scaling_is_found_with_the_numbers_of_the_configuration(factor, softcap, dtype):
    numbers = {"logits_scaling": 1.05, "logit_scale": 0.8333, "cap": 30.0, "other_cap": 15.0, "half": 0.5, "wide": 64}
    config = LlamaConfig(hidden_size=32, **numbers)
    torch.manual_seed(0)
    states, head = torch.randn(7, 5, 32, dtype=dtype), 8 * torch.randn(7, 5, 256, dtype=dtype)
    logits = head * factor
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    normed, called = (Call("", torch.nn.Identity(), (), {}, 0, entered=states, left=left) for left in (states, head))
    found = find_scaling(config, normed, called, logits)
    assert (found.before, found.softcap) == (1.0, softcap)
    assert found.after == pytest.approx(factor)


@pytest.mark.parametrize(("field", "site"), [("head", "key"), (None, "attention_output")])
def test_a_site_that_an_architecture_lacks_is_refused_by_name(field, site, byte_tokenizer):
    from tests.architectures import ARCHITECTURES

    mamba = hw.load_model(ARCHITECTURES["mamba"](), tokenizer=byte_tokenizer)
    with pytest.raises(hw.QueryError, match=f"'{site}'.*mamba"):
        hw.attribute(mamba, SHORT, site=site, **({field: 0} if field else {}))
