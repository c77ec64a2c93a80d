"""A model that its user trains, hooks into, changes or traces gives a clear error or the right result."""

import threading

import nnsight
import numpy as np
import pytest
import torch

import horizon_widget as hw
from horizon_widget.models import thread
from tests import reference
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT

pytestmark = pytest.mark.long

SHORT = PROMPT[:12]
LONG = 60


def row(model, layer=1, source=3, **arguments):
    arguments = {"layers": layer, "sources": source, "baseline": "zero", "progress": False} | arguments
    return hw.attribute(model, SHORT, **arguments).values.values[layer, source]


def expected_row(model, layer=1, source=3):
    zero = torch.zeros(model.d_model)
    return reference.ablated_row(model.hf_model, model.tokenize(SHORT), layer, source, zero)


def test_a_model_put_into_training_mode_is_refused_and_used_again_after_eval(model):
    before = row(model)
    model.hf_model.train()
    with pytest.raises(hw.ModelError, match=r"in training mode.*Call model\.eval\(\)"):
        row(model)
    model.hf_model.eval()
    np.testing.assert_array_equal(row(model), before)


def test_a_single_dropout_in_training_mode_is_named(byte_tokenizer):
    model = hw.load_model(ARCHITECTURES["gpt2"](), tokenizer=byte_tokenizer)
    model.hf_model.transformer.h[2].mlp.dropout.train()
    with pytest.raises(hw.ModelError, match=r"training mode \(transformer\.h\.2\.mlp\.dropout\)"):
        row(model)


def test_weights_changed_in_place_give_a_new_map(model):
    before = row(model)
    with torch.no_grad():
        model.hf_model.model.layers[2].mlp.down_proj.weight.mul_(1.5)
    after = row(model)
    assert not np.allclose(before, after, atol=1e-3)
    np.testing.assert_allclose(after[3:], expected_row(model)[3:], atol=1e-4)


def test_a_user_s_hooks_are_part_of_the_model(model):
    before = row(model)
    handle = model.hf_model.model.layers[2].register_forward_hook(lambda _module, _args, output: output * 1.5)
    hooked = row(model)
    np.testing.assert_allclose(hooked[3:], expected_row(model)[3:], atol=1e-4)
    assert not np.allclose(before, hooked, atol=1e-3)
    handle.remove()
    np.testing.assert_array_equal(row(model), before)


def _mixes(values):
    """A change that is not a mere factor, which a norm would hide."""
    return 1.5 * values + values.roll(1, dims=-1)


def _hooks_into(hf_model, path):
    """Hook into a module's output, or into its input if the path says so."""
    module = hf_model.get_submodule(path.removesuffix(", input"))
    if path.endswith(", input"):
        return module.register_forward_pre_hook(lambda _module, args: (_mixes(args[0]), *args[1:]))

    def hook(_module, _args, output):
        if isinstance(output, torch.Tensor):
            return _mixes(output)
        if isinstance(output, tuple):
            return (_mixes(output[0]), *output[1:])
        name = "logits" if hasattr(output, "logits") else "last_hidden_state"
        output[name] = _mixes(output[name])
        return output

    return module.register_forward_hook(hook)


HOOKED = ("", "model", "model.embed_tokens", "model.norm", "lm_head", "model.layers.1", "model.layers.3")
HOOKED += ("model.layers.2.self_attn", "model.layers.2.mlp")
HOOKED_INPUTS = ("model.layers.1, input", "model.layers.2, input", "model.norm, input", "lm_head, input")


@pytest.mark.parametrize("layer", [1, 3])
@pytest.mark.parametrize("path", [*HOOKED, *HOOKED_INPUTS])
def test_a_hook_on_any_module_is_part_of_the_model(model, path, layer):
    before = row(model, layer)
    handle = _hooks_into(model.hf_model, path)
    for metric in ("logprob", "entropy"):
        zero = torch.zeros(model.d_model)
        expected = reference.ablated_row(model.hf_model, model.tokenize(SHORT), layer, 3, zero, metric=metric)
        np.testing.assert_allclose(row(model, layer, metric=metric)[3:], expected[3:], atol=1e-4)
    ids = model.tokenize(SHORT)
    columns = row(model, layer, method="gradient")[3:]
    for target in (5, 10):
        by_state = reference.gradient_column(model.hf_model, ids, target, [layer])[0, 3]
        expected = float(by_state @ reference.entering_states(model.hf_model, ids)[layer][3])
        assert columns[target - 4] == pytest.approx(expected, abs=1e-4)
    handle.remove()
    np.testing.assert_array_equal(row(model, layer), before)


@pytest.mark.parametrize(
    ("site", "path"),
    [("attention_output", "self_attn"), ("mlp_output", "mlp"), ("value", "self_attn.v_proj")],
)
def test_a_site_has_the_values_after_its_hooks(model, site, path):
    _hooks_into(model.hf_model, f"model.layers.1.{path}")
    ids = model.tokenize(SHORT)
    states = reference.site_values(model.hf_model, ids, 1, site)
    mean = states[1:].mean(dim=0)
    expected = reference.ablated_row(model.hf_model, ids, 1, 3, mean, site=site)
    np.testing.assert_allclose(row(model, site=site, baseline="mean")[3:], expected[3:], atol=1e-4)
    assert hw.verify(model, SHORT, 1, 3, 9, site=site, baseline="mean").difference == pytest.approx(0, abs=1e-4)


def test_a_hook_that_a_trace_does_not_see_is_refused(byte_tokenizer):
    """A module that runs another's ``forward`` is traced itself, so its hooks run after the trace has read."""
    hf_model = ARCHITECTURES["llama"]()
    hf_model.model.norm.forward = type(hf_model.model.norm)(32).eval().forward
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    assert model._traced._module is hf_model
    assert np.isfinite(row(model)).all()
    handle = _hooks_into(hf_model, "")
    with pytest.raises(hw.ModelError, match="gives other predictions when it is traced"):
        row(model)
    handle.remove()
    assert np.isfinite(row(model)).all()


def test_a_hook_on_every_module_is_followed_or_refused(model):
    """torch calls these hooks after a module's own, so they run after a trace has read the whole model."""
    before = row(model)

    def hook(module, _args, output):
        if module is model.hf_model or module is model._traced._module:
            output.logits = _mixes(output.logits)

    handle = torch.nn.modules.module.register_module_forward_hook(hook)
    try:
        with pytest.raises(hw.ModelError, match="gives other predictions when it is traced"):
            row(model)
    finally:
        handle.remove()
    np.testing.assert_array_equal(row(model), before)


def test_a_hook_that_acts_on_one_position_acts_on_that_position(model):
    """In a pass over a part of the prompt it would act on another position."""

    def silences_token_5(_module, _args, output):
        output = output.clone()
        output[:, 5] = 0.0
        return output

    model.hf_model.model.layers[2].register_forward_hook(silences_token_5)
    np.testing.assert_allclose(row(model)[3:], expected_row(model)[3:], atol=1e-4)


def test_questions_from_several_threads_are_answered_one_by_one(model):
    expected = {source: row(model, source=source) for source in range(8)}
    model.cache.clear()
    got, errors = {}, []

    def ask(source):
        try:
            got[source] = row(model, source=source)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(source,)) for source in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(LONG)
    assert not errors
    for source, values in expected.items():
        np.testing.assert_allclose(got[source], values, atol=1e-5)


def test_the_user_s_own_traces_run_at_the_same_time(byte_tokenizer):
    """The traces are in another cell or thread, of the same transformers model."""
    hf_model = ARCHITECTURES["llama"]()
    own = nnsight.TransformersModel(hf_model, tokenizer=byte_tokenizer)
    ids = torch.tensor([byte_tokenizer(SHORT)["input_ids"]])
    with torch.no_grad():
        with own.trace(ids):
            before = nnsight.save(own.model.layers[2].output)
    model = hw.load_model(own)
    done = threading.Event()
    errors = []

    def fill():
        try:
            for metric in ("logprob", "logit", "entropy"):
                hw.attribute(model, PROMPT, metric=metric, progress=False)
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    filling = threading.Thread(target=fill)
    filling.start()
    traces = 0
    while not done.is_set() or traces < 3:
        with torch.no_grad():
            with own.trace(ids):
                seen = nnsight.save(own.model.layers[2].output)
        torch.testing.assert_close(seen, before)
        traces += 1
    filling.join(LONG)
    assert not errors
    np.testing.assert_allclose(row(model)[3:], expected_row(model)[3:], atol=1e-4)


def test_a_model_spread_over_devices_by_accelerate(tmp_path, byte_tokenizer):
    """Part of it is on disk, the rest in memory. accelerate's hooks fetch weights when a module is called."""
    from transformers import AutoModelForCausalLM

    hf_model = ARCHITECTURES["llama"]()
    hf_model.save_pretrained(tmp_path / "model")
    places = dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"), "cpu")
    places |= {f"model.layers.{layer}": "disk" if layer in (1, 2) else "cpu" for layer in range(4)}
    spread = AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", device_map=places, offload_folder=tmp_path / "offload"
    ).eval()
    assert spread.model.layers[1].mlp.up_proj.weight.device.type == "meta", "accelerate keeps this layer on disk"
    model = hw.load_model(spread, tokenizer=byte_tokenizer)
    expected = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    for site in ("residual", "value"):
        np.testing.assert_allclose(row(model, site=site), row(expected, site=site), atol=1e-4)
    np.testing.assert_allclose(row(model, method="gradient"), row(expected, method="gradient"), atol=1e-4)


def test_an_unused_model_is_freed(byte_tokenizer):
    import gc
    import weakref

    hf_model = ARCHITECTURES["llama"]()
    gone = weakref.ref(hf_model)
    model = hw.load_model(hf_model, tokenizer=byte_tokenizer)
    row(model)
    thread.run(lambda: None)
    del model, hf_model
    gc.collect()
    assert gone() is None
