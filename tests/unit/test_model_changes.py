"""If a user changes a model after loading it, values equal plain forward passes of the changed model."""

import copy
import dataclasses
import functools
import types

import nnsight
import numpy as np
import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaMLP

import horizon_widget as hw
from horizon_widget.question.reading import read_query
from horizon_widget.schedule.engine import compute, engine_for
from horizon_widget.schedule.plan import Interest
from tests import reference
from tests.conftest import PROMPT, tiny_llama

pytestmark = pytest.mark.long

SHORT = PROMPT[:12]
LAYER, SOURCE = 1, 3


def row(model, **arguments):
    arguments = {"layers": LAYER, "sources": SOURCE, "baseline": "zero", "progress": False} | arguments
    return hw.attribute(model, SHORT, **arguments).values.values[LAYER, SOURCE]


def plain_row(model):
    """The row by plain forward passes of the user's model with one hook."""
    zero = torch.zeros(model.d_model)
    return reference.ablated_row(model.hf_model, model.tokenize(SHORT), LAYER, SOURCE, zero)


def assert_follows(model, change):
    """After a change, values differ from before and equal plain forward passes, in every answer."""
    before = row(model)
    change(model.hf_model)
    after = row(model)
    assert not np.allclose(before, after, atol=1e-3)
    np.testing.assert_allclose(after[SOURCE:], plain_row(model)[SOURCE:], atol=1e-4)
    verified = hw.verify(model, SHORT, LAYER, SOURCE, 8, baseline="zero")
    assert verified.value == pytest.approx(after[7], abs=1e-5)
    assert verified.reference == pytest.approx(after[7], abs=1e-4)
    estimate = row(model, method="gradient")
    expected = row(hw.load_model(model.hf_model, tokenizer=model.tokenizer), method="gradient")
    np.testing.assert_allclose(estimate, expected, atol=1e-5)


# -- changes of a model --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Steering:
    strengths: list


class Steered(torch.nn.Module):
    """A block's MLP with a vector added to its output. The strength is in a list in an object."""

    def __init__(self, inner, strength):
        super().__init__()
        self.inner, self.steering = inner, Steering([strength])
        self.eval()

    def forward(self, states):
        return self.inner(states) + self.steering.strengths[0]


def scale_attention(hf_model):
    for block in hf_model.model.layers:
        block.self_attn.scaling *= 3


def replace_mlp(hf_model):
    hf_model.model.layers[2].mlp = Steered(hf_model.model.layers[2].mlp, 0.7)


def patch_method(hf_model):
    mlp = hf_model.model.layers[2].mlp
    mlp.forward = types.MethodType(lambda self, states: 2 * LlamaMLP.forward(self, states), mlp)


def patch_function(hf_model):
    mlp = hf_model.model.layers[2].mlp
    mlp.forward = lambda states: 2 * mlp.down_proj(torch.tanh(mlp.up_proj(states)))


def patch_partial(hf_model):
    mlp = hf_model.model.layers[2].mlp
    mlp.forward = functools.partial(LlamaMLP.forward, copy.deepcopy(mlp).apply(lambda part: None))
    mlp.forward.args[0].down_proj.weight.data *= 2


def use_another_parameter(hf_model):
    weight = hf_model.model.layers[2].mlp.down_proj.weight
    hf_model.model.layers[2].mlp.down_proj.weight = torch.nn.Parameter(2 * weight.detach())


def write_to_data(hf_model):
    hf_model.model.layers[2].mlp.down_proj.weight.data.mul_(2)


def another_class(hf_model):
    class Doubled(LlamaMLP):
        def forward(self, states):
            return 2 * super().forward(states)

    hf_model.model.layers[2].mlp.__class__ = Doubled


@pytest.mark.parametrize(
    "change",
    [
        scale_attention,
        replace_mlp,
        patch_method,
        patch_function,
        patch_partial,
        use_another_parameter,
        write_to_data,
        another_class,
    ],
)
def test_a_change_of_the_model_is_followed(model, change):
    assert_follows(model, change)


def test_a_method_patched_on_the_class_is_followed(model, monkeypatch):
    plain = LlamaMLP.forward
    assert_follows(
        model, lambda _: monkeypatch.setattr(LlamaMLP, "forward", lambda self, states: 2 * plain(self, states))
    )


def test_a_number_in_a_list_in_an_object_of_a_module_is_followed(model):
    replace_mlp(model.hf_model)

    def steer(hf_model):
        hf_model.model.layers[2].mlp.steering.strengths[0] = -1.5

    assert_follows(model, steer)


def test_a_hook_on_all_modules_of_the_process_is_followed(model):
    handles = []

    def hook_all(_hf_model):
        def double(module, _args, output):
            return 2 * output if isinstance(module, LlamaMLP) else None

        handles.append(torch.nn.modules.module.register_module_forward_hook(double))

    try:
        assert_follows(model, hook_all)
    finally:
        handles[0].remove()


def test_a_patched_method_is_followed_in_a_model_that_its_user_traces_too(byte_tokenizer):
    hf_model = tiny_llama()
    patch_method(hf_model)
    own = nnsight.TransformersModel(hf_model, tokenizer=byte_tokenizer)
    model = hw.load_model(own)
    np.testing.assert_allclose(row(model)[SOURCE:], plain_row(model)[SOURCE:], atol=1e-4)
    unpatched = hw.load_model(tiny_llama(), tokenizer=byte_tokenizer)
    assert not np.allclose(row(model), row(unpatched), atol=1e-3)


def test_another_dtype_is_followed(model):
    before = row(model)
    model.hf_model.double()
    np.testing.assert_allclose(row(model), before, atol=1e-4)
    assert hw.attribute(model, SHORT, layers=3, progress=False).dataset.attrs["dtype"] == "float64"


def test_a_model_that_has_lost_layers_is_refused_each_time(model):
    model.hf_model.model.layers = model.hf_model.model.layers[:3].eval()
    for _ in range(2):
        with pytest.raises(hw.ModelError, match=r"now has 3 layers.*It had 4 layers.*Load it again"):
            row(model)


def test_a_model_whose_layers_come_back_is_used_again(model):
    before, layers = row(model), model.hf_model.model.layers
    for change in (lambda: setattr(model.hf_model.model, "layers", layers[:3].eval()), lambda: delete_head(model)):
        head = model.hf_model.lm_head
        change()
        with pytest.raises(hw.ModelError):
            row(model)
        model.hf_model.model.layers, model.hf_model.lm_head = layers, head
        np.testing.assert_array_equal(row(model), before)
    assert model.n_layers == 4


def delete_head(model):
    del model.hf_model.lm_head


def test_a_change_that_affects_only_gradients_is_followed(model):
    class Detaching(torch.nn.Module):
        detaches = False

        def forward(self, states):
            return states.detach() if self.detaches else states

    mlp = model.hf_model.model.layers[2].mlp
    mlp.up_proj = torch.nn.Sequential(Detaching(), mlp.up_proj).eval()
    before = row(model, method="gradient")
    mlp.up_proj[0].detaches = True
    after = row(model, method="gradient")
    expected = row(hw.load_model(model.hf_model, tokenizer=model.tokenizer), method="gradient")
    np.testing.assert_allclose(after, expected, atol=1e-5)
    assert not np.allclose(before, after, atol=1e-3)


def test_links_of_an_old_map_are_not_mixed_with_values_of_a_changed_model(model):
    hmap = hw.attribute(model, SHORT, baseline="zero", progress=False)
    hw.direct_links(model, hmap, 5)
    scale_attention(model.hf_model)
    with pytest.raises(hw.ModelError, match="gives other values than this map has.*Compute the map anew"):
        hw.direct_links(model, hmap, 5)


def test_cyclic_and_changing_attributes_are_read(model):
    class Node:
        def __init__(self, next_one):
            self.next_one = next_one

    chain = None
    for _ in range(5000):
        chain = Node(chain)
    model.hf_model.model.layers[2].mlp.chain = chain
    np.testing.assert_allclose(row(model)[SOURCE:], plain_row(model)[SOURCE:], atol=1e-4)


def test_writing_on_and_the_map_are_of_the_same_model(model):
    written = []
    for strength in (0.0, 3.0):
        replace_mlp(model.hf_model)
        model.hf_model.model.layers[2].mlp.steering.strengths[0] = strength
        written.append(model.write_on(model.tokenize(SHORT), 1)[0])
        hmap = hw.attribute(model, SHORT, metric=("logprob", written[-1]), layers=3, sources=SOURCE, progress=False)
        best = reference.clean_logits_of(model.hf_model, model.tokenize(SHORT))[-1].log_softmax(-1).max()
        assert float(hmap.dataset["clean_metric"].values[-1]) == pytest.approx(float(best), abs=1e-4)


# -- maps that were begun before a change --------------------------------------------------------------------------


def attribute_after(model, n_passes, act):
    """Compute a map anew, with a change to the model in one forward pass. Returns the number of passes."""
    calls = 0

    def hook(_module, _args, _output):
        nonlocal calls
        calls += 1
        if calls == n_passes:
            act(model.hf_model)

    model.cache.clear()
    handle = model.hf_model.model.layers[1].mlp.register_forward_hook(hook)
    try:
        hw.attribute(model, SHORT, layers=[0, 1], baseline="zero", progress=False)
    finally:
        handle.remove()
    return calls


def test_values_computed_while_the_model_changed_are_dropped(model):
    def change(hf_model):
        hf_model.model.layers[2].self_attn.scaling *= 3

    last = attribute_after(model, 0, change)
    with pytest.raises(hw.ModelError, match=r"has changed \(model\.layers\.2\.self_attn\) since this map was begun"):
        attribute_after(model, last, change)
    np.testing.assert_allclose(row(model)[SOURCE:], plain_row(model)[SOURCE:], atol=1e-4)


def test_a_change_without_effect_keeps_computed_rows(model):
    row(model)
    query = read_query(model, SHORT, baseline="zero")
    engine = engine_for(model, query)
    computed = engine.operations
    model.hf_model.model.layers[2].mlp.note = "seen"
    row(model)
    assert engine_for(model, query) is engine
    assert engine.operations < 3 * computed, "only a known row is computed again, to compare"
    hw.attribute(model, SHORT, layers=LAYER, baseline="zero", progress=False)
    assert engine_for(model, query) is engine


def test_a_change_that_affects_only_replaced_states_outdates_the_map(model):
    class AtZero(torch.nn.Module):
        """Acts on states that are zero. No state of the unchanged prompt is zero."""

        added = 0.0

        def forward(self, states):
            return torch.where(states == 0, self.added, states)

    block = model.hf_model.model.layers[LAYER]
    block.input_layernorm = torch.nn.Sequential(block.input_layernorm, AtZero()).eval()

    def act(_hf_model):
        block.input_layernorm[1].added = 1.0

    assert_follows(model, act)


def test_an_undone_change_keeps_the_map(model):
    """Another query has traced the change meanwhile."""
    engine = engine_for(model, read_query(model, SHORT, baseline="zero"))
    list(compute(engine, Interest(layer=0, layers=[0])))
    for factor in (3, 1 / 3):
        for block in model.hf_model.model.layers:
            block.self_attn.scaling *= factor
        if factor == 3:
            row(model, metric="logit")
    list(compute(engine, Interest(layer=LAYER, layers=[LAYER])))
    np.testing.assert_allclose(engine.map.values.values[LAYER, SOURCE, SOURCE:], plain_row(model)[SOURCE:], atol=1e-4)


def test_slight_differences_between_runs_do_not_outdate_a_map(model):
    """On GPUs the order of some sums varies."""
    block = model.hf_model.model.layers[0]
    block.mlp.register_forward_hook(lambda _module, _args, output: output + 1e-6 * torch.randn_like(output))
    engine = engine_for(model, read_query(model, SHORT, baseline="zero"))
    for layer in range(3):
        list(compute(engine, Interest(layer=layer, layers=[layer])))
        engine.executor.distrust_model()
        model.thread.run(engine.executor.check_model)
    assert engine_for(model, engine.query) is engine
    write_to_data(model.hf_model)
    engine.executor.distrust_model()
    with pytest.raises(hw.ModelError, match="has changed since this map was begun"):
        model.thread.run(engine.executor.check_model)


def test_our_passes_do_not_change_what_a_module_records(model):
    mlp = model.hf_model.model.layers[2].mlp
    mlp.records = []

    def recording(self, states):
        self.records.append(states.shape)
        self.last = states
        return LlamaMLP.forward(self, states)

    mlp.forward = types.MethodType(recording, mlp)
    np.testing.assert_allclose(row(model)[SOURCE:], plain_row(model)[SOURCE:], atol=1e-4)
    recorded = len(mlp.records)
    hw.attribute(model, SHORT, baseline="zero", progress=False)
    assert len(mlp.records) == recorded
