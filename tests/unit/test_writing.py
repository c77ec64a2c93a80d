"""A model continues a prompt as transformers' own greedy generation does."""

from __future__ import annotations

import pytest
import torch

import horizon_widget as hw
from horizon_widget.models.writing import Writing
from tests import stand_ins
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT
from tests.vocabularies import gpt2_like, sized_for
from tests.widgets import OPEN, say, sent, settle


def generated(hf_model, ids, n):
    with torch.no_grad():
        got = hf_model.generate(torch.tensor([list(ids)]), max_new_tokens=n, do_sample=False)
    return tuple(got[0, len(ids) :].tolist())


def without_end(hf_model):
    for config in (hf_model.config, hf_model.generation_config):
        config.eos_token_id = None
    return hf_model


def test_writing_equals_greedy_generation(any_model):
    ids = any_model.tokenize(PROMPT)
    got = any_model.write_on(ids, 12)
    assert got == generated(any_model.hf_model, ids, 12)
    assert 1 <= len(got) <= 12


def test_writing_stops_after_an_end_of_text_token(model):
    ids = model.tokenize(PROMPT)
    whole = model.write_on(ids, 12)
    assert len(set(whole)) > 2
    end = whole[3]
    model.hf_model.generation_config.eos_token_id = [end, 999]
    got = model.write_on(ids, 12)
    assert got == whole[: whole.index(end) + 1] == generated(model.hf_model, ids, 12)


def test_writing_stops_at_the_end_of_the_context_and_refuses_a_full_one(byte_tokenizer):
    model = hw.load_model(without_end(ARCHITECTURES["gpt2"]("sdpa")), tokenizer=byte_tokenizer)
    assert model.context_length == 64
    ids = [*range(1, 61)]
    assert len(model.write_on(ids, 12)) == 4
    with pytest.raises(hw.QueryError, match="prompt: it fills the 64 tokens"):
        model.write_on([*range(1, 65)], 1)


def test_writing_keeps_keys_and_values(model, monkeypatch):
    lengths = []
    model.hf_model.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(args[0].shape[1]), with_kwargs=True
    )
    written = model.write_on(model.tokenize(PROMPT), 5)
    assert lengths == [len(PROMPT)] + [1] * (len(written) - 1)


def test_writing_can_be_stopped_between_tokens(model):
    without_end(model.hf_model)
    writing = Writing(model, model.tokenize(PROMPT), 50)
    assert writing.step()
    assert writing.step()
    writing.stop()
    assert not writing.step()
    assert len(writing.written) == 2
    assert writing.token_ids == (*model.tokenize(PROMPT), *writing.written)


def test_a_model_in_training_mode_is_refused(model):
    model.hf_model.train()
    with pytest.raises(hw.ModelError, match="training mode"):
        model.write_on(model.tokenize(PROMPT), 2)


def test_logits_that_are_nan_are_refused(model):
    with torch.no_grad():
        model.hf_model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(hw.ModelError, match="logits that are NaN"):
        model.write_on(model.tokenize(PROMPT), 2)


# -- a prompt that ends a text -----------------------------------------------------------------------------------------

TEXT = "the cat sat on the mat"


@pytest.fixture(params=["here", "on a host"])
def appending(request):
    """A model whose tokenizer appends ``<|endoftext|>`` to each text."""
    tokenizer = gpt2_like(append_eos=True)
    hf_model = sized_for(ARCHITECTURES["llama"](), tokenizer)
    for config in (hf_model.config, hf_model.generation_config):
        config.eos_token_id = tokenizer.eos_token_id
    if request.param == "here":
        return hw.load_model(hf_model, tokenizer=tokenizer)
    return stand_ins.remote_model(hf_model, tokenizer)


@pytest.fixture
def opened(appending, widget):
    made = hw.HorizonWidget(appending, TEXT, baseline="zero")
    made.sent = widget.sent
    made.sent.clear()
    yield made
    made.close()


def in_python(widget):
    widget.write_on(3)


def in_the_page(widget):
    say(widget, {"type": "write_on", "n_tokens": 3})
    settle(widget._model)


def in_the_page_s_editor(widget):
    say(widget, {**OPEN, "prompt": "the key", "n_tokens": 3})
    settle(widget._model)


@pytest.mark.parametrize("write", [in_python, in_the_page, in_the_page_s_editor])
def test_writing_continues_before_an_end_of_text_that_the_tokenizer_appended(opened, write):
    model, end = opened._model, opened._model.tokenizer.eos_token_id
    assert opened.map.query.token_ids[-1] == end
    write(opened)
    text = "the key" if write is in_the_page_s_editor else TEXT
    ids = tuple(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    assert opened.map.query.token_ids == (*ids, *model.write_on(ids, 3))
    assert opened.written_from == len(ids)
    assert opened.prompt.startswith(text)
    assert "<|endoftext|>" not in opened.prompt[: len(text) + 5]


def test_a_selection_of_the_appended_token_is_cleared(opened):
    last = len(opened.tokens) - 1
    opened.selected_source, opened.selected_target, opened.pinned_sources = last, last, [2, last]
    opened.write_on(3)
    assert (opened.selected_source, opened.selected_target, opened.pinned_sources) == (None, None, [2])


def test_nothing_is_written_after_an_end_of_text_of_the_user_or_the_model(appending, opened):
    ids = appending.tokenize(TEXT)
    with pytest.raises(hw.QueryError, match=r"prompt: it already ends with an end-of-text token \('<\|endoftext\|>'\)"):
        appending.write_on(ids, 3)
    opened.prompt = TEXT + "<|endoftext|>"
    with pytest.raises(hw.QueryError, match="it already ends with an end-of-text token"):
        opened.write_on(3)
    opened.prompt = list(ids)
    say(opened, {"type": "write_on", "n_tokens": 3})
    settle(appending)
    assert sent(opened, "failed")[0]["field"] == "prompt"
    assert opened.map.query.token_ids == ids


def test_a_lone_token_that_ends_and_begins_texts_can_be_continued(appending):
    assert len(appending.write_on([appending.tokenizer.bos_token_id], 3)) >= 1
