"""Models that rule out tokens by logits of minus infinity, as in a vocabulary padded to a round size."""

import numpy as np
import pytest
import torch

import horizon_widget as hw
from horizon_widget.compute.gradient import Gradient
from horizon_widget.models import thread
from horizon_widget.models.backward import gradients
from horizon_widget.models.readout import VOCABULARY_SLICE
from horizon_widget.models.trial import PASSES
from horizon_widget.question.reading import read_query
from tests import reference
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT

pytestmark = pytest.mark.long

SHORT = PROMPT[:12]
FIRST_OUT = 240
METRICS = ("logprob", "logit", "centred_logit", "entropy", "kl")


def _masked(logits):
    kept = torch.arange(logits.shape[-1]) < FIRST_OUT
    return logits.masked_fill(~kept, -torch.inf)


def _hook_on_head(hf_model):
    hf_model.lm_head.register_forward_hook(lambda _module, _args, logits: _masked(logits))


def _hook_on_model(hf_model):
    def hook(_module, _args, output):
        output.logits = _masked(output.logits)
        return output

    hf_model.register_forward_hook(hook)


def _bias(hf_model):
    hf_model.lm_head.bias = torch.nn.Parameter(_masked(torch.zeros(hf_model.config.vocab_size)))


def _own_head(hf_model):
    class Padded(torch.nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.linear = linear

        def forward(self, states):
            return _masked(self.linear(states))

    hf_model.lm_head = Padded(hf_model.lm_head).eval()


BY = pytest.mark.parametrize("ruled_out_by", [_hook_on_head, _hook_on_model, _bias, _own_head])


def ruling_out(ruled_out_by, tokenizer, architecture="llama", dtype=torch.float32, **settings):
    hf_model = ARCHITECTURES[architecture](**settings).to(dtype)
    ruled_out_by(hf_model)
    return hw.load_model(hf_model, tokenizer=tokenizer)


@BY
@pytest.mark.parametrize("metric", METRICS)
def test_values_equal_plain_passes_over_the_possible_tokens(ruled_out_by, metric, byte_tokenizer):
    model = ruling_out(ruled_out_by, byte_tokenizer)
    hmap = hw.attribute(model, SHORT, layers=1, sources=3, baseline="zero", metric=metric, progress=False)
    zero = torch.zeros(model.d_model)
    expected = reference.ablated_row(model.hf_model, model.tokenize(SHORT), 1, 3, zero, metric=metric)
    assert np.abs(expected[3:]).max() > 0.1
    np.testing.assert_allclose(hmap.values.values[1, 3, 3:], expected[3:], atol=2e-5)
    assert hw.verify(model, hmap, 1, 3, 9).difference == pytest.approx(0, abs=2e-5)


@BY
def test_ruled_out_tokens_keep_the_fast_strategy(ruled_out_by, byte_tokenizer):
    """Two infinite logits agree. A hook on the whole model needs full passes."""
    model = ruling_out(ruled_out_by, byte_tokenizer)
    hw.attribute(model, SHORT, layers=1, sources=3, baseline="zero", progress=False)
    strategies = {_hook_on_head: "replay", _hook_on_model: "full"}
    assert {found for of, (_, found) in model.tried.items() if of != PASSES} == {strategies.get(ruled_out_by, "suffix")}


@BY
@pytest.mark.parametrize("metric", ["logprob", "centred_logit", "entropy"])
def test_gradients_equal_plain_passes(ruled_out_by, metric, byte_tokenizer):
    model = ruling_out(ruled_out_by, byte_tokenizer)
    got = hw.attribute(model, SHORT, targets=8, baseline="zero", metric=metric, method="gradient", progress=False)
    ids = model.tokenize(SHORT)
    by_state = reference.gradient_column(model.hf_model, ids, 8, range(model.n_layers), metric)
    states = torch.stack(reference.entering_states(model.hf_model, ids))
    expected = (by_state * states).sum(dim=-1).numpy()
    np.testing.assert_allclose(got.values.values[:, :8, 7], expected[:, :8], atol=1e-4)


@pytest.mark.parametrize("ruled_out_by", [_hook_on_head, _hook_on_model])
def test_the_gradient_of_entropy_equals_central_differences(ruled_out_by, byte_tokenizer):
    model = ruling_out(ruled_out_by, byte_tokenizer, "gpt2", torch.float64)
    ids, target, layer, step = model.tokenize(SHORT), 8, 1, 1e-5
    gradient = Gradient(model, read_query(model, SHORT, method="gradient", metric="entropy", baseline="zero"))

    def ours():
        run = gradient.experiment
        keep = {"strategy": run.strategy, "batched": False}
        return gradients(model, run.clean, run.site, [target - 1], run.scorer, lambda _layer, g: g, **keep)[layer, 0]

    by_state = thread.run(ours)
    states = reference.entering_states(model.hf_model, ids)[layer]
    direction = torch.randn(states.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for source in (0, 3, 7):

        def entropy(size, source=source):
            moved = states[source] + size * direction
            logits = reference.logits_with(model.hf_model, ids, [(layer, "residual", source, moved, None)])
            return reference.metric_values(logits, ids, "entropy")[target - 1]

        slope = (entropy(step) - entropy(-step)) / (2 * step)
        assert float(by_state[source] @ direction) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_a_slice_of_the_vocabulary_may_be_all_padding(byte_tokenizer):
    """The normaliser goes through the vocabulary slice by slice."""
    import transformers

    size = 3 * VOCABULARY_SLICE
    config = ARCHITECTURES["llama"]().config.to_dict() | {"vocab_size": size}
    torch.manual_seed(0)
    hf_model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**config)).eval()
    _bias(hf_model)
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    hmap = hw.attribute(model, SHORT, layers=1, sources=3, baseline="zero", progress=False)
    assert model.head.sliceable
    expected = reference.ablated_row(hf_model, model.tokenize(SHORT), 1, 3, torch.zeros(model.d_model))
    np.testing.assert_allclose(hmap.values.values[1, 3, 3:], expected[3:], atol=2e-5)


def test_predictions_give_a_ruled_out_token_no_probability(byte_tokenizer):
    model = ruling_out(_hook_on_head, byte_tokenizer)
    table = hw.predictions(model, SHORT, 1, 3, 9, baseline="zero", n=model.vocab_size)
    assert len(table) == model.vocab_size
    assert (table["kept"] == 0).sum() >= model.vocab_size - FIRST_OUT
    assert table["kept"].sum() == pytest.approx(1, abs=1e-5)
    assert table["removed"].sum() == pytest.approx(1, abs=1e-5)


def test_the_metric_of_a_ruled_out_token_is_refused(byte_tokenizer):
    model = ruling_out(_hook_on_head, byte_tokenizer)
    with pytest.raises(hw.ModelError, match="logprob of '. #250' is not finite on the unchanged prompt"):
        hw.attribute(model, SHORT, metric=("logprob", 250), progress=False)


def test_an_infinite_divergence_is_refused(byte_tokenizer):
    """A token is possible on the unchanged prompt, and the replaced state rules it out."""
    hf_model = ARCHITECTURES["llama"]()
    token = int(reference.clean_logits_of(hf_model, list(byte_tokenizer(SHORT)["input_ids"]))[8].argmax())

    def rules_out(_module, _args, logits):
        others = torch.arange(logits.shape[-1]) != token
        best = logits.argmax(dim=-1, keepdim=True) == token
        return logits.masked_fill(~(others | best), -torch.inf)

    hf_model.lm_head.register_forward_hook(rules_out)
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    with pytest.raises(hw.ModelError, match=r"layer 0, token 8 gives predictions that are not finite, from token 9"):
        hw.attribute(model, SHORT, layers=0, sources=8, baseline="zero", metric="kl", progress=False)
