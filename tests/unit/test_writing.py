"""The model writes on, as transformers' own greedy generation does."""

from __future__ import annotations

import pytest
import torch

import horizon_widget as hw
from horizon_widget.models.writing import Writing
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT


def generated(hf_model, ids, n):
    with torch.no_grad():
        got = hf_model.generate(torch.tensor([list(ids)]), max_new_tokens=n, do_sample=False)
    return tuple(got[0, len(ids) :].tolist())


def without_end(hf_model):
    for config in (hf_model.config, hf_model.generation_config):
        config.eos_token_id = None
    return hf_model


def test_it_writes_what_greedy_generation_writes(any_model):
    ids = any_model.tokenize(PROMPT)
    got = any_model.write_on(ids, 12)
    assert got == generated(any_model.hf_model, ids, 12)
    assert 1 <= len(got) <= 12


def test_it_stops_after_a_token_that_ends_the_text(model):
    ids = model.tokenize(PROMPT)
    whole = model.write_on(ids, 12)
    assert len(set(whole)) > 2
    end = whole[3]
    model.hf_model.generation_config.eos_token_id = [end, 999]
    got = model.write_on(ids, 12)
    assert got == whole[: whole.index(end) + 1] == generated(model.hf_model, ids, 12)


def test_it_stops_where_the_context_ends_and_says_so_where_there_is_no_room(byte_tokenizer):
    model = hw.load_model(without_end(ARCHITECTURES["gpt2"]("sdpa")), tokenizer=byte_tokenizer)
    assert model.context_length == 64
    ids = [*range(1, 61)]
    assert len(model.write_on(ids, 12)) == 4
    with pytest.raises(hw.QueryError, match="prompt: it fills the 64 tokens"):
        model.write_on([*range(1, 65)], 1)


def test_keys_and_values_are_kept(model, monkeypatch):
    lengths = []
    model.hf_model.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(args[0].shape[1]), with_kwargs=True
    )
    written = model.write_on(model.tokenize(PROMPT), 5)
    assert lengths == [len(PROMPT)] + [1] * (len(written) - 1)


def test_it_stops_between_tokens_when_told(model):
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


def test_what_is_no_number_is_not_written(model):
    with torch.no_grad():
        model.hf_model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(hw.ModelError, match="no number"):
        model.write_on(model.tokenize(PROMPT), 2)
