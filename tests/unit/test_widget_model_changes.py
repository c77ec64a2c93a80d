"""Widgets whose model changes say so, and Resume opens a map of the changed model."""

import numpy as np
import pytest
import torch

import horizon_widget as hw
from tests import reference
from tests.conftest import PROMPT
from tests.widgets import LONG, say, settle

LAYER, SOURCE = 1, 3


def scale_attention(hf_model):
    for block in hf_model.model.layers:
        block.self_attn.scaling *= 3


def write_to_data(hf_model):
    hf_model.model.layers[2].mlp.down_proj.weight.data.mul_(2)


def assert_is_of(model, hmap):
    zero = torch.zeros(model.d_model)
    expected = reference.ablated_row(model.hf_model, model.tokenize(PROMPT), LAYER, SOURCE, zero)
    np.testing.assert_allclose(hmap.values[LAYER, SOURCE, SOURCE:], expected[SOURCE:], atol=1e-4)


def test_a_widget_whose_model_changes_says_so_and_resume_opens_a_new_map(model, widget):
    widget.wait("all", timeout=LONG)
    before = widget.map
    scale_attention(model.hf_model)
    widget.selected_layer, widget.selected_source = 0, 2
    say(widget, {"type": "inspect", "map_id": 1, "layer": 1, "source": 3, "target": 9, "aspects": ["predictions"]})
    settle()
    problem = next(content["problem"] for content, _ in widget.sent if content["type"] == "finding")
    assert "has changed (model.layers.0.self_attn) since this map was begun" in problem["title"]
    widget._cell_ends()
    widget.prompt = PROMPT + "s"  # another question uses the changed model
    widget.prompt = PROMPT
    after = widget.wait("all", timeout=LONG)
    assert not np.allclose(before.values, after.values, atol=1e-3)
    zero = torch.zeros(model.d_model)
    expected = reference.ablated_row(model.hf_model, model.tokenize(PROMPT), LAYER, SOURCE, zero)
    np.testing.assert_allclose(after.values[LAYER, SOURCE, SOURCE:], expected[SOURCE:], atol=1e-4)


@pytest.mark.parametrize("resume", [lambda widget: widget.resume(), lambda widget: say(widget, {"type": "resume"})])
def test_resume_begins_a_new_map_of_a_changed_model(model, widget, resume):
    widget.wait(timeout=LONG)
    write_to_data(model.hf_model)  # a change that no fingerprint sees is noticed after the cell
    widget._cell_ends()
    with pytest.raises(hw.HorizonError, match=r"has changed since this map was begun.*Resume begins a new map"):
        widget.wait("all", timeout=LONG)
    assert widget.state == "error"
    first = widget.map_id
    resume(widget)
    settle()
    after = widget.wait("all", timeout=LONG)
    assert widget.map_id > first
    assert widget.error is None
    zero = torch.zeros(model.d_model)
    expected = reference.ablated_row(model.hf_model, model.tokenize(PROMPT), LAYER, SOURCE, zero)
    np.testing.assert_allclose(after.values[LAYER, SOURCE, SOURCE:], expected[SOURCE:], atol=1e-4)


@pytest.mark.parametrize("change", [scale_attention, write_to_data])
def test_a_complete_map_of_a_model_that_a_cell_has_changed_is_said_to_be_outdated(model, widget, change):
    """No computation is left that would notice the change."""
    widget.wait("all", timeout=LONG)
    change(model.hf_model)
    widget._cell_ends()
    settle()
    assert widget.state == "error"
    assert "has changed" in widget.error["title"]
    widget.resume()
    assert_is_of(model, widget.wait("all", timeout=LONG))


def test_resume_works_where_only_a_cell_s_details_met_the_change(model, widget):
    widget.wait("all", timeout=LONG)
    scale_attention(model.hf_model)
    say(widget, {"type": "inspect", "map_id": 1, "layer": 1, "source": 3, "target": 9, "aspects": ["predictions"]})
    settle()
    assert "has changed" in widget.error["title"]
    say(widget, {"type": "resume"})
    settle()
    assert_is_of(model, widget.wait("all", timeout=LONG))


def test_another_dtype_is_a_change_too(model, widget):
    widget.wait(timeout=LONG)
    model.hf_model.double()
    widget.selected_source = 5
    with pytest.raises(hw.HorizonError, match="has changed"):
        widget.wait(timeout=LONG)
    widget.resume()
    assert_is_of(model, widget.wait("all", timeout=LONG))


def test_a_hook_that_does_nothing_ends_no_map(model):
    """This holds even if the known values are almost 0."""
    other = PROMPT[:20] + "zzzzzzzzzzz"
    widget = hw.HorizonWidget(model, PROMPT, baseline=("counterfactual", other), layers=[1])
    widget.selected_layer = 1
    widget.wait(timeout=LONG)
    model.hf_model.model.layers[2].mlp.register_forward_hook(lambda *_: None)
    widget.selected_layer = 3
    assert widget.wait("all", timeout=LONG).done[3].all()
    widget.close()
