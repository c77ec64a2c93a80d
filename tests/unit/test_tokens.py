import pytest
from hypothesis import given
from hypothesis import strategies as st

from horizon_widget.question.tokens import Token, read_tokens, read_words, text_of
from tests.vocabularies import llama2_like


def decode_with(tokenizer):
    return lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def test_each_token_of_a_split_character_has_the_whole_character(byte_tokenizer):
    ids = byte_tokenizer("a🎉é")["input_ids"]
    tokens = read_tokens(ids, decode_with(byte_tokenizer))
    assert [token.text for token in tokens] == ["a", *["🎉"] * 4, *["é"] * 2]
    assert [token.piece for token in tokens] == [None, (1, 4), (2, 4), (3, 4), (4, 4), (1, 2), (2, 2)]
    assert [token.id for token in tokens] == ids


def test_the_texts_join_to_the_prompt(byte_tokenizer):
    prompt = "mixed: <b>&amp;</b> שלום 👩‍👩‍👧 \t\n\x00\x1b end"
    tokens = read_tokens(byte_tokenizer(prompt)["input_ids"], decode_with(byte_tokenizer))
    assert "".join(token.text for token in tokens if token.piece is None or token.piece[0] == 1) == prompt


def test_bytes_that_never_make_a_character_stay_tokens_of_their_own():
    # A lone continuation byte, then plain text.
    table = {0: b"\x80", 1: b"a"}
    tokens = read_tokens([0, 1, 0], lambda ids: b"".join(table[i] for i in ids).decode("utf-8", "replace"))
    assert [(token.text, token.piece) for token in tokens] == [("�", None), ("a", None), ("�", None)]


def test_the_replacement_character_itself_is_one_character(byte_tokenizer):
    tokens = read_tokens(byte_tokenizer("a\ufffdb")["input_ids"], decode_with(byte_tokenizer))
    assert [(token.text, token.piece) for token in tokens] == [
        ("a", None),
        *[("\ufffd", (k, 3)) for k in (1, 2, 3)],
        ("b", None),
    ]


def test_the_replacement_character_is_one_character_if_each_byte_is_a_token():
    """These vocabularies show three replacement characters until the last byte has arrived."""
    tokenizer = llama2_like()
    for text in ("the\ufffdcat", "\ufffd\ufffd", "é\ufffd🎉"):
        tokens = read_tokens(tokenizer(text, add_special_tokens=False)["input_ids"], decode_with(tokenizer))
        assert text_of(tokens) == text
        assert [token.piece for token in tokens if token.text == "\ufffd"][:3] == [(1, 3), (2, 3), (3, 3)]


def test_a_token_without_text_stays_a_token():
    texts = ["", "a", "", "b"]
    tokens = read_tokens(range(4), lambda ids: "".join(texts[i] for i in ids))
    assert [(token.text, token.piece) for token in tokens] == [(text, None) for text in texts]


def test_a_leading_space_dropped_at_the_start_of_a_text_is_kept_within_it():
    words = ["▁the", "▁cat"]

    def decode(ids):
        return "".join(words[i] for i in ids).replace("▁", " ").lstrip(" ")

    assert [token.text for token in read_tokens([0, 1], decode)] == ["the", " cat"]


def words_of(*texts):
    return [word.text for word in read_words([Token(0, text) for text in texts])]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["The", " un", "believ", "able", " cat"], ["The", " unbelievable", " cat"]),
        (["I", " don", "'t", " know", "."], ["I", " don't", " know", "."]),
        (["    ", " return"], ["     return"]),
        (["x", "_", "1", " =", " f", "(", "y", ")", ");"], ["x_1", " =", " f", "(", "y", "));"]),
        (["東", "京", "タワー"], ["東", "京", "タワー"]),
        ([" word", "\n", "\n", "next"], [" word", "\n", "\n", "next"]),
        ([" ", "word"], [" word"]),
        (["New York", "ers"], ["New Yorkers"]),
    ],
)
def test_tokens_are_grouped_into_words(texts, words):
    assert words_of(*texts) == words


@given(st.text(max_size=40).filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
def test_every_token_is_in_one_word_and_the_words_join_to_the_prompt(byte_tokenizer, text):
    tokens = read_tokens(byte_tokenizer(text)["input_ids"], decode_with(byte_tokenizer))
    words = read_words(tokens)
    assert [position for word in words for position in range(word.start, word.stop)] == list(range(len(tokens)))
    assert "".join(word.text for word in words) == text
