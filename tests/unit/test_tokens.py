from horizon_widget.tokens import read_tokens


def decode_with(tokenizer):
    return lambda ids: tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)


def test_a_character_split_over_tokens_is_named_in_each_of_them(byte_tokenizer):
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


def test_a_leading_space_dropped_at_the_start_of_a_text_is_kept_within_it():
    words = ["▁the", "▁cat"]

    def decode(ids):
        return "".join(words[i] for i in ids).replace("▁", " ").lstrip(" ")

    assert [token.text for token in read_tokens([0, 1], decode)] == ["the", " cat"]
