"""An edited prompt keeps the ids of unedited tokens, and is shown as exactly the text that was asked for."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import horizon_widget as hw
from horizon_widget.models.editing import edited
from horizon_widget.question.tokens import read_tokens, text_of
from tests.vocabularies import VOCABULARIES

ALL = [*VOCABULARIES]
EVERY_CHARACTER = [name for name in ALL if name not in ("unigram", "unigram, <s>", "wordpiece")]
TOKENIZERS = {name: VOCABULARIES[name]() for name in ALL}
PIECES = ["the cat", " sat", " ", "  ", "Paris", ".", "\n", "s", "é", "🎉", "\ufffd", "<s>", "</s>", "<|endoftext|>"]

texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=8)


class Prompt:
    """Reads, shows and edits prompts with one tokenizer."""

    def __init__(self, name):
        self.tokenizer = TOKENIZERS[name]

    def ids(self, text):
        return tuple(self.tokenizer(text)["input_ids"])

    def pieces(self, *tokens):
        return tuple(self.tokenizer.convert_tokens_to_ids(list(tokens)))

    def read(self, ids):
        return read_tokens(ids, lambda part: self.tokenizer.decode(list(part), clean_up_tokenization_spaces=False))

    def shown(self, ids):
        return text_of(self.read(ids))

    def edit(self, ids, text):
        return edited(ids, text, tokenizer=self.tokenizer, read=self.read)


@st.composite
def prompts(draw, names, *, of_texts=False):
    """A tokenizer and a prompt of any ids, or of the ids of a text."""
    prompt = Prompt(draw(st.sampled_from(names)))
    any_ids = st.lists(st.integers(0, len(prompt.tokenizer) - 1), min_size=1, max_size=8).map(tuple)
    ids = draw(texts.map(prompt.ids) if of_texts else any_ids | texts.map(prompt.ids))
    assume(ids)
    return prompt, ids


@st.composite
def edits(draw, names, *, of_texts=False):
    """A prompt, the unedited beginning and end of its shown text, and a new middle."""
    prompt, ids = draw(prompts(names, of_texts=of_texts))
    shown = prompt.shown(ids)
    start = draw(st.integers(0, len(shown)))
    return prompt, ids, shown[:start], draw(texts), shown[draw(st.integers(start, len(shown))) :]


@given(prompts(ALL))
@settings(deadline=None)
def test_unedited_tokens_keep_their_ids(case):
    prompt, ids = case
    assume(prompt.shown(ids))
    assert prompt.edit(ids, prompt.shown(ids)) == ids


@given(edits(EVERY_CHARACTER))
@settings(deadline=None)
def test_an_edited_prompt_is_shown_as_the_text_asked_for(case):
    prompt, ids, before, new, after = case
    text = before + new + after
    assume(text)
    got = prompt.edit(ids, text)
    if (
        got is not None and got != ids[len(ids) - len(got) :]
    ):  # a text's first space is not shown if its first tokens are gone
        assert prompt.shown(got) == text


@given(edits(ALL))
@settings(deadline=None)
def test_a_text_that_no_tokens_are_shown_as_is_refused(case):
    prompt, ids, before, new, after = case
    text = before + new + after
    assume(text)
    got, refusal = None, ""
    try:
        got = prompt.edit(ids, text)
    except hw.QueryError as error:
        refusal = str(error)
    assert not refusal or "no tokens are shown as exactly this text" in refusal
    assert got is None or prompt.shown(got) in (text, text.removeprefix(" "))


@given(edits(EVERY_CHARACTER, of_texts=True))
@settings(deadline=None)
def test_tokens_before_and_after_an_edit_keep_their_ids(case):
    prompt, ids, before, new, after = case
    new = f"Ω{new}Ω"  # so that it differs from what is before and after
    groups = prompt.read(ids)
    whole = [i for i in range(1, len(ids)) if groups[i].piece is None or groups[i].piece[0] == 1]
    assume(groups[0].text.strip() and before.startswith(groups[0].text))  # the edit is after the first word
    got = prompt.edit(ids, before + new + after)
    n_before = max([i for i in [*whole, len(ids)] if before.startswith(prompt.shown(ids[:i]))], default=0)
    n_after = max([len(ids) - i for i in whole if len(text_of(groups[i:])) <= len(after)], default=0)
    assert got[:n_before] == ids[:n_before]
    assert got[len(got) - n_after :] == ids[len(ids) - n_after :]


LLAMAS = ["llama 2", "llama 2, not legacy"]


@pytest.mark.parametrize("name", LLAMAS)
def test_an_appended_text_gets_no_space_and_the_beginning_stays(name):
    prompt = Prompt(name)
    ids = prompt.ids("the cat sat")
    for more, pieces in ((".", ["."]), (" key", ["▁key"]), ("</s>", ["</s>"]), ("</s>Paris", ["</s>", "Paris"])):
        assert prompt.edit(ids, prompt.shown(ids) + more) == (*ids, *prompt.pieces(*pieces))


@pytest.mark.parametrize("name", LLAMAS)
def test_a_removed_first_token_is_gone_and_none_is_added(name):
    prompt = Prompt(name)
    ids = prompt.ids("the cat sat")
    assert prompt.shown(ids) == "<s> the cat sat"
    assert prompt.edit(ids, " the cat sat") == prompt.edit(ids, "the cat sat") == ids[1:]


def test_tokens_that_no_text_gives_stay_at_both_ends():
    prompt = Prompt("gpt2")
    (half,), letters = prompt.pieces("Ã"), prompt.pieces("t", "h", "e")
    ids = (*letters, half, *prompt.ids(" cat sat"), *letters, half)
    assert prompt.shown(ids) == "the\ufffd cat satthe\ufffd"
    got = prompt.edit(ids, "the\ufffd key satthe\ufffd")
    assert got == (*letters, half, *prompt.ids(" key sat"), *letters, half)
    assert prompt.edit(ids, "the cat satthe\ufffd") == (*letters, *prompt.ids(" cat sat"), *letters, half)


def test_tokens_between_two_places_that_are_edited_at_once_stay():
    prompt = Prompt("gpt2")
    (half,), letters = prompt.pieces("Ã"), prompt.pieces("t", "h", "e")
    between = (*letters, half, *prompt.ids(" end and "), half)
    ids = (*prompt.ids("the cat"), *between, *prompt.ids(" sat"))
    got = prompt.edit(ids, prompt.shown(ids).replace("cat", "key").replace("sat", "knew."))
    assert got == (*prompt.ids("the key"), *between, *prompt.ids(" knew."))


def test_a_character_typed_into_a_split_one_takes_its_place_as_a_whole():
    prompt = Prompt("gpt2")
    ids = prompt.ids("the 🎉 cat")
    assert prompt.edit(ids, "the 🎈 cat") == prompt.ids("the 🎈 cat")
    assert prompt.edit(ids, "the \ufffd cat") == prompt.ids("the \ufffd cat")


@pytest.mark.parametrize(
    ("name", "text", "is_edit"),
    [
        ("gpt2", "the key", True),
        ("gpt2", "Paris is old.", False),
        ("gpt2", "Paris", False),
        ("gpt2", "a cat sat on the key.", True),
        ("gpt2", "Paris is old. In Rome the librarian knew the cat sat on the mat.", True),
        ("gpt2", "mat.", True),
        ("llama 2", "<s> Paris is old.", True),
        ("llama 2", " the cat sat on the mat.", True),
        ("llama 2", "the cat sat on the mat.", True),
        ("llama 2", "Paris is old. <s> the cat sat on the mat.", True),
        ("llama 2", "a cat sat on the mat.", False),
        ("llama 2", "the cat sat on the key.", False),
    ],
)
def test_an_edit_begins_as_before_or_is_alike_and_replaces_no_special_token(name, text, is_edit):
    prompt = Prompt(name)
    assert (prompt.edit(prompt.ids("the cat sat on the mat."), text) is not None) == is_edit


def test_a_text_that_cannot_be_shown_is_refused():
    prompt = Prompt("unigram")
    ids = prompt.ids("the cat")
    with pytest.raises(hw.QueryError, match=r"^prompt: no tokens are shown as exactly this text: '東' becomes '<unk>'"):
        prompt.edit(ids, prompt.shown(ids) + " in 東")
    with pytest.raises(hw.QueryError, match="^prompt: it is empty"):
        prompt.edit(ids, "")
    with pytest.raises(hw.QueryError, match="^prompt: character 7 is a lone surrogate"):
        prompt.edit(ids, "the cat\ud800")
