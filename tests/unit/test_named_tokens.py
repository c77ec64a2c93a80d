"""A token is named as it is shown, with every tokenizer. Two tokens never look the same in a table."""

from __future__ import annotations

import re

import numpy as np
import pytest
from transformers import ByT5Tokenizer

import horizon_widget as hw
from horizon_widget.models.prompts import vocabulary_of
from horizon_widget.question.metric import Metric
from horizon_widget.question.tokens import Vocabulary
from tests.architectures import ARCHITECTURES
from tests.vocabularies import VOCABULARIES, gpt2_like, llama2_like, sized_for, unigram_like, wordpiece_like

pytestmark = pytest.mark.long

PROMPT = "the key of Rome and the key"


def loaded(tokenizer):
    return hw.load_model(sized_for(ARCHITECTURES["llama"](), tokenizer), tokenizer=tokenizer)


def id_of(tokenizer, piece):
    return tokenizer.get_vocab()[piece]


@pytest.fixture(params=VOCABULARIES)
def any_tokenizer(request):
    return VOCABULARIES[request.param]()


@pytest.fixture
def llama2():
    return loaded(llama2_like())


def test_every_token_has_a_unique_name(any_tokenizer):
    vocabulary = vocabulary_of(any_tokenizer, len(any_tokenizer) + 3)  # a model may know more than its tokenizer
    names = [vocabulary.name(token) for token in range(vocabulary.size)]
    assert len({*names}) == len(names)
    for token, name in enumerate(names):
        assert vocabulary.find(name) == ((token,), ())
        assert name in (vocabulary.text(token), f"{vocabulary.text(token)} #{token}")


def test_a_text_names_the_only_token_shown_so_or_an_error_lists_all(any_tokenizer):
    model = loaded(any_tokenizer)
    shown = {}
    for token in range(model.vocab_size):
        shown.setdefault(model.vocabulary.text(token), []).append(token)
    for text, tokens in shown.items():
        if len(tokens) == 1 and text and not model.vocabulary.find(text)[1]:
            assert model.token_id(text) == tokens[0]
            continue
        with pytest.raises(hw.QueryError) as caught:
            model.token_id(text)
        assert all(repr(f"{text} #{token}") in caught.value.message for token in tokens[:12] if text)


def test_what_a_map_shows_names_its_token(any_tokenizer):
    model = loaded(any_tokenizer)
    ids = model.tokenize(PROMPT)
    unclear = 0
    for token in model.read_tokens(ids)[1:]:
        try:
            assert model.token_id(token.text) == token.id
        except hw.QueryError:
            unclear += 1
    assert unclear < len(ids) / 2


@pytest.mark.parametrize(
    ("tokenizer", "pieces"),
    [
        (gpt2_like(), {" Paris": "ĠParis", "Paris": "Paris", "\n": "Ċ", "<|endoftext|>": "<|endoftext|>"}),
        (llama2_like(), {" Paris": "▁Paris", "Paris": "Paris", "\n": "<0x0A>", "<s>": "<s>"}),
        (llama2_like(legacy=False), {" Paris": "▁Paris", "Paris": "Paris", "\n": "<0x0A>", "<s>": "<s>"}),
        (llama2_like(prefix_space=False), {" Paris": "▁Paris", "Paris": "Paris", "\n": "<0x0A>"}),
        (llama2_like(bos=False), {" Paris": "▁Paris"}),
        (llama2_like(added=["[INST]"]), {"[INST]": "[INST]"}),
        (unigram_like(), {" Paris": "▁Paris", " key": "▁key"}),
        (unigram_like(bos=True), {" Paris": "▁Paris", "Paris": "Paris"}),
        (wordpiece_like(), {" paris": "paris", "is": "##is"}),
    ],
)
def test_a_space_before_a_word_belongs_to_its_name(tokenizer, pieces):
    model = loaded(tokenizer)
    assert {text: model.token_id(text) for text in pieces} == {
        text: id_of(tokenizer, piece) for text, piece in pieces.items()
    }


@pytest.mark.parametrize(
    ("tokenizer", "text", "pieces"),
    [
        (llama2_like(), "A", ["<0x41>", "A"]),
        (llama2_like(added=[" Paris"]), " Paris", ["▁Paris", " Paris"]),
        (llama2_like(bos=False), "Paris", ["Paris", "▁Paris"]),  # both, at the start of a text
        (unigram_like(), "key", ["▁key"]),  # only at the start of a text
    ],
)
def test_an_ambiguous_name_lists_all_its_tokens(tokenizer, text, pieces):
    model = loaded(tokenizer)
    with pytest.raises(hw.QueryError) as caught:
        model.token_id(text)
    for piece in pieces:
        named = re.search(rf"'([^']* #{id_of(tokenizer, piece)})' \({re.escape(piece)} in the", caught.value.message)
        assert named is not None
        assert model.token_id(named[1]) == id_of(tokenizer, piece)


def test_many_tokens_that_look_the_same_are_not_all_listed(byte_tokenizer):
    model = loaded(byte_tokenizer)
    with pytest.raises(hw.QueryError, match=r"128 tokens are shown as '�': '� #\d+' .* and 116 more"):
        model.token_id("�")


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_a_name_that_no_token_has_is_refused(llama2, text):
    with pytest.raises(hw.QueryError, match="metric: no token is shown as"):
        llama2.token_id(text)


def test_a_text_read_as_another_token_is_refused():
    model = loaded(wordpiece_like())
    with pytest.raises(hw.QueryError, match="no token is shown as ' Paris'. The tokenizer reads it as ' paris #5'"):
        model.token_id(" Paris")


def test_a_token_that_only_the_tokenizer_has_is_refused():
    tokenizer = gpt2_like(added=["<new>"])
    model = hw.load_model(sized_for(ARCHITECTURES["llama"](), gpt2_like()), tokenizer=tokenizer)
    with pytest.raises(hw.QueryError, match="metric: no token is shown as '<new>'"):
        model.token_id("<new>")


def test_a_metric_s_token_is_the_one_that_the_map_shows(llama2):
    paris = id_of(llama2.tokenizer, "▁Paris")
    ids = llama2.tokenize("the capital is Paris")
    assert [(token.id, token.text) for token in llama2.read_tokens(ids)][-1] == (paris, " Paris")
    by_text = hw.attribute(llama2, PROMPT, layers=1, metric=("logprob", " Paris"), progress=False)
    by_id = hw.attribute(llama2, PROMPT, layers=1, metric=("logprob", paris), progress=False)
    assert by_text.query == by_id.query
    assert by_text.query.metric == Metric("logprob", (paris,), label="logprob of ' Paris'")
    np.testing.assert_array_equal(by_text.values, by_id.values)


def test_labels_tell_tokens_of_the_same_text_apart(llama2):
    byte, letter = id_of(llama2.tokenizer, "<0x41>"), id_of(llama2.tokenizer, "A")
    query = hw.attribute(llama2, PROMPT, layers=0, sources=1, metric=("contrast", byte, letter), progress=False).query
    assert str(query.metric) == f"contrast 'A #{byte}' - 'A #{letter}'"


def test_a_metric_of_another_model_s_map_is_labelled_by_this_model(llama2):
    other = loaded(gpt2_like())
    metric = hw.attribute(other, PROMPT, layers=0, sources=1, metric=("logit", " Paris"), progress=False).query.metric
    again = hw.attribute(llama2, PROMPT, layers=0, sources=1, metric=metric, progress=False).query.metric
    assert again.tokens == metric.tokens
    assert str(again) == f"logit of {llama2.vocabulary.name(metric.tokens[0])!r}"


# -- tables --------------------------------------------------------------------------------------------------------


def test_predictions_show_tokens_as_the_map_does_and_no_two_alike(llama2):
    table = hw.predictions(llama2, PROMPT, 1, 2, 4, n=llama2.vocab_size)
    assert len({*table["token"]}) == len(table) == llama2.vocab_size
    byte, letter = id_of(llama2.tokenizer, "<0x41>"), id_of(llama2.tokenizer, "A")
    assert {" Paris", "Paris", f"A #{byte}", f"A #{letter}"} <= {*table["token"]}
    actual = table[table["actual"]].iloc[0]
    assert actual["token"] == llama2.read_tokens(llama2.tokenize(PROMPT))[4].text


def test_a_map_s_labels_tell_tokens_of_the_same_text_apart(llama2, tmp_path):
    byte, letter = id_of(llama2.tokenizer, "<0x41>"), id_of(llama2.tokenizer, "A")
    key = id_of(llama2.tokenizer, "▁key")
    hmap = hw.attribute(llama2, [1, byte, key, letter, key], layers=1, progress=False)
    labels = ["<s>", f"A #{byte}", " key", f"A #{letter}", " key"]
    assert [token.text for token in hmap.tokens] == ["<s>", "A", " key", "A", " key"]
    assert hmap.values["source_token"].values.tolist() == labels
    assert hmap.values["target_token"].values.tolist() == labels[1:]
    assert {*hmap.to_dataframe()["target_token"]} == {*labels[1:]}
    hmap.save(tmp_path / "map.nc")
    assert hw.HorizonMap.load(tmp_path / "map.nc").dataset.identical(hmap.dataset)
    assert hmap.select(source="A")["source"].values.tolist() == [1, 3]
    assert hmap.select(target=f"A #{letter}")["target"].values.tolist() == [3]


def test_pieces_of_a_character_are_distinguished(llama2):
    ids = [token for token in llama2.tokenize("the é") if token != 1]
    labels = hw.attribute(llama2, ids, layers=1, progress=False).values["source_token"].values.tolist()
    assert labels[-2:] == [f"é #{ids[-2]}", f"é #{ids[-1]}"]


# -- the page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [["<0x41>", "A"], ["▁Paris", "Paris"], ["<0x0A>", "<0xC3>"]])
def test_the_page_can_ask_for_the_metric_that_it_shows(llama2, pieces):
    tokens = [id_of(llama2.tokenizer, piece) for piece in pieces]
    widget = hw.HorizonWidget(llama2, PROMPT, metric=("contrast", *tokens), baseline="zero")
    told = widget.asked["metric"]
    widget.metric = "entropy"
    widget.metric = told
    assert widget.map.query.metric.tokens == tuple(tokens)
    assert widget.asked["metric"] == told
    widget.close()


def test_the_page_gets_the_id_of_a_token_that_looks_like_another(llama2):
    byte, letter = id_of(llama2.tokenizer, "<0x41>"), id_of(llama2.tokenizer, "A")
    two_bytes = llama2.tokenize("the é")[-2:]
    widget = hw.HorizonWidget(llama2, [1, byte, letter, letter, *two_bytes], baseline="zero")
    assert [token["text"] for token in widget.tokens] == ["<s>", "A", "A", "A", "é", "é"]
    assert [token["id"] for token in widget.tokens] == [None, byte, letter, letter, None, None]
    widget.close()


def test_ids_without_a_token_have_no_text():
    tokenizer = ByT5Tokenizer()  # written in Python; it refuses ids without a token
    vocabulary = vocabulary_of(tokenizer, len(tokenizer) + 5)
    assert vocabulary.find("A") == ((68,), ())
    assert vocabulary.name(len(tokenizer) + 2) == f" #{len(tokenizer) + 2}"


# -- vocabularies --------------------------------------------------------------------------------------------------


def plain(texts):
    return lambda ids: "".join(texts[i] for i in ids)


def test_a_token_whose_text_looks_like_a_name_with_an_id_has_its_own_name():
    vocabulary = Vocabulary(3, plain(["A", "A", "A #0"]))
    names = [vocabulary.name(token) for token in range(3)]
    assert [vocabulary.find(name) for name in names] == [((0,), ()), ((1,), ()), ((2,), ())]
    assert names == ["A #0", "A #1", "A #0 #2"]


@pytest.mark.parametrize("between", ["a", "aa", "ana", " the", "b"])
def test_tokens_decoded_together_have_the_same_texts_as_alone(between):
    texts = [between, "", "an", "a", "aa", "nana", " the", "the", "b", "x" + between, between + "x", between * 2]
    vocabulary = Vocabulary(len(texts), plain(texts), before=[0])
    for token, text in enumerate(texts):
        assert vocabulary.text(token) == text
        assert token in vocabulary.find(text)[0] or text == ""
