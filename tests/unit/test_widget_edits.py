"""Edits of the prompt, in Python and in the page: a prompt of tokens stays tokens, a text stays a text."""

from __future__ import annotations

import pytest

import horizon_widget as hw
from horizon_widget.question.tokens import n_shared
from tests.architectures import ARCHITECTURES
from tests.vocabularies import gpt2_like, llama2_like, sized_for, unigram_like
from tests.widgets import LONG, OPEN, say, sent, settle

CHAT = "<s>{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}<|start|>assistant\n"


def loaded(tokenizer, architecture="llama"):
    hf_model = sized_for(ARCHITECTURES[architecture](), tokenizer)
    for config in (hf_model.config, hf_model.generation_config):
        config.eos_token_id = tokenizer.eos_token_id
    return hw.load_model(hf_model, tokenizer=tokenizer)


def in_python(widget, text):
    widget.prompt = text


def in_the_page(widget, text):
    say(widget, {**OPEN, "prompt": text, "metric": widget.asked["metric"]})
    settle()


STRATEGIES = pytest.mark.parametrize("edit", [in_python, in_the_page])


@pytest.fixture
def opened(monkeypatch):
    """Opens a widget that records messages to the browser in ``sent``."""
    made = []
    monkeypatch.setattr(
        hw.HorizonWidget, "send", lambda self, content, buffers=None: self.sent.append((content, buffers or []))
    )
    monkeypatch.setattr(hw.HorizonWidget, "sent", property(lambda self: self.__dict__.setdefault("_sent", [])), False)

    def open_one(model, prompt):
        made.append(hw.HorizonWidget(model, prompt, baseline="zero"))
        return made[-1]

    yield open_one
    for widget in made:
        widget.close()


@pytest.fixture(scope="module")
def llama():
    return loaded(llama2_like())


def ids_of(widget):
    return widget.map.query.token_ids


@STRATEGIES
def test_a_text_appended_to_token_ids_follows_them(llama, opened, edit):
    ids = llama.tokenize("the cat sat")
    widget = opened(llama, list(ids))
    edit(widget, widget.prompt + ".")
    assert ids_of(widget) == (*ids, llama.tokenizer.convert_tokens_to_ids("."))
    assert ids_of(opened(llama, widget.asked["token_ids"] or widget.prompt)) == ids_of(widget)
    edit(widget, widget.prompt.removesuffix("."))
    assert ids_of(widget) == ids
    assert widget.wait(timeout=LONG).done[2].all()


@STRATEGIES
def test_a_text_is_tokenised_as_a_whole_however_often_it_is_edited(llama, opened, edit):
    widget = opened(llama, "the cat sat")
    for text in ("the cat sat.", "the cat sa", "Paris in the"):
        edit(widget, text)
        assert ids_of(widget) == llama.tokenize(text)
        assert widget.asked["token_ids"] is None


@STRATEGIES
def test_another_text_is_one_of_its_own(llama, opened, edit):
    widget = opened(llama, list(llama.tokenize("the cat sat on the mat.")))
    edit(widget, "Paris is old.")
    assert ids_of(widget) == llama.tokenize("Paris is old.")
    edit(widget, "Paris is older.")
    assert ids_of(widget) == llama.tokenize("Paris is older.")


@STRATEGIES
def test_chat_messages_keep_the_template_s_tokens_on_both_sides_of_an_edit(opened, edit):
    tokenizer = llama2_like()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|start|>", "<|end|>"]})
    tokenizer.chat_template = CHAT
    model = loaded(tokenizer)
    (end,) = tokenizer.convert_tokens_to_ids(["<|end|>"])
    widget = opened(model, [{"role": "user", "content": "Is the key in Paris?"}])
    ids, shown = ids_of(widget), widget.prompt
    edit(widget, shown.replace("key", "cat<|end|>Paris"))
    assert widget.prompt == shown.replace("key", "cat<|end|>Paris")
    got = ids_of(widget)
    first, last = n_shared(ids, got), n_shared(ids[::-1], got[::-1])
    assert list(got[first : len(got) - last]) == tokenizer.convert_tokens_to_ids(["▁cat", "<|end|>", "Paris"])
    assert got.count(end) == 2
    edit(widget, shown)
    assert ids_of(widget) == ids


@STRATEGIES
def test_tokens_that_no_text_gives_stay_where_they_are(opened, edit):
    model = loaded(gpt2_like())
    half, *letters = model.tokenizer.convert_tokens_to_ids(["Ã", "t", "h", "e"])
    ids = [*letters, half, *model.tokenize(" cat sat"), half, *letters]
    widget = opened(model, ids)
    edit(widget, widget.prompt.replace("cat", "key") + ".")
    assert ids_of(widget) == (*letters, half, *model.tokenize(" key sat"), half, *letters, *model.tokenize("."))
    assert widget.asked["token_ids"] == list(ids_of(widget))


@STRATEGIES
def test_written_tokens_stay_and_count_as_written_while_the_first_of_them_stays(llama, opened, edit):
    widget = opened(llama, "the cat sat")
    first = len(ids_of(widget))
    widget.write_on(4)
    written = ids_of(widget)
    assert written != llama.tokenize(widget.prompt), "the written tokens give no text that could be tokenised again"
    edit(widget, widget.prompt + " key")
    assert ids_of(widget) == (*written, *llama.tokenizer.convert_tokens_to_ids(["▁key"]))
    assert widget.written_from == first
    edit(widget, widget.prompt.replace("cat", "mat", 1))
    assert ids_of(widget)[first:-1] == written[first:]
    assert widget.written_from is None, "after another text the model would have written something else"


def test_written_tokens_can_be_removed(llama, opened):
    widget = opened(llama, [*llama.tokenize("the cat sat")])
    ids, shown = ids_of(widget), widget.prompt
    widget.write_on(3)
    widget.prompt = shown
    assert (ids_of(widget), widget.written_from) == (ids, None)


@STRATEGIES
def test_another_metric_changes_nothing_else(llama, opened, edit):
    widget = opened(llama, [*llama.tokenize("the cat sat")])
    edit(widget, widget.prompt + ".")
    ids = ids_of(widget)
    widget.metric = "entropy"
    assert (ids_of(widget), widget.query["metric"]) == (ids, "entropy")
    edit(widget, widget.prompt + ".")
    assert (ids_of(widget), widget.query["metric"]) == ((*ids, ids[-1]), "entropy")


def test_a_text_without_tokens_is_refused_and_the_map_stays(opened):
    model = loaded(unigram_like(bos=True))
    widget = opened(model, list(model.tokenize("the cat")))
    ids = ids_of(widget)
    with pytest.raises(hw.QueryError, match="^prompt: no tokens are shown as exactly this text: '東' becomes '<unk>'"):
        widget.prompt += " in 東"
    say(widget, {**OPEN, "prompt": widget.prompt + " in 東"})
    (failed,) = sent(widget, "failed")
    assert failed["field"] == "prompt"
    with pytest.raises(hw.QueryError, match="^prompt: it is empty"):
        widget.prompt = ""
    with pytest.raises(hw.QueryError, match="^prompt: it has 65 tokens"):
        widget.prompt += "." * (65 - len(ids))
    assert (ids_of(widget), widget.map_id) == (ids, 1)
