"""Tokens as people read them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_SPLIT = 8  # a character has at most 4 bytes; joined emoji tokens may carry a few more


@dataclass(frozen=True)
class Token:
    """One token of a prompt.

    Attributes:
        id: Its number in the vocabulary.
        text: The text it stands for. Where a character is split over several tokens, the whole character,
            in each of them.
        piece: ``None``, or ``(k, n)``: this token is the ``k``-th (from 1) of ``n`` that share a character.
    """

    id: int
    text: str
    piece: tuple[int, int] | None = None


def read_tokens(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[Token]:
    """Split a prompt's text into the text of each token.

    Byte-level vocabularies may cut a character into tokens that mean nothing alone; those are grouped until they
    decode. The text of a group is what it adds to the group before it, so that vocabularies which drop a leading
    space at the start of a text keep it here.

    Args:
        ids: The token ids, in order.
        decode: Turns token ids into text, special tokens included.

    Returns:
        One ``Token`` for each id; joined (each group once), their texts give the decoded prompt.
    """
    groups: list[tuple[int, str]] = []  # how many tokens, and their text
    before: list[int] = []  # from the last group that decoded on: what the text so far hangs on
    start = 0
    while start < len(ids):
        length, text, whole = _next_group(ids[start : start + LONGEST_SPLIT], before, decode)
        if not text and groups and REPLACEMENT in groups[-1][1]:
            groups[-1] = (groups[-1][0] + length, groups[-1][1])  # more bytes of what will never be a character
        else:
            groups.append((length, text))
        group = [int(token_id) for token_id in ids[start : start + length]]
        before = [*before, *group] if REPLACEMENT in text or not whole else group
        start += length
    sizes = [(length, text, k) for length, text in groups for k in range(length)]
    return [
        Token(int(token_id), text, None if length == 1 else (k + 1, length))
        for token_id, (length, text, k) in zip(ids, sizes, strict=True)
    ]


def _next_group(
    ids: Sequence[int], before: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> tuple[int, str, bool]:
    """How many of these tokens make whole characters, the text they add, and whether there is such a number."""
    prefix = decode(before) if before else ""
    first = ""
    for n in range(1, len(ids) + 1):
        added = decode([*before, *ids[:n]])[len(prefix) :]
        if n == 1:
            first = added
            if not added and REPLACEMENT in prefix:
                break
        if REPLACEMENT not in added:
            return n, added, True
    return 1, first, False


@dataclass(frozen=True)
class Word:
    """Neighbouring tokens that people read as one word; nothing is said of its influence.

    Attributes:
        text: With the space before it.
        start: Position of its first token.
        stop: One after its last.
    """

    text: str
    start: int
    stop: int


def read_words(tokens: Sequence[Token]) -> list[Word]:
    """Group tokens into words: runs of letters and digits, runs of punctuation, single ideographs.

    A token that spans several words belongs with all of them to one.

    Returns:
        Words in order; every token is in exactly one, and joined, their texts give the prompt's.
    """
    words: list[Word] = []
    for position, token in enumerate(tokens):
        inside_character = token.piece is not None and token.piece[0] > 1
        text = "" if inside_character else token.text
        if words and (inside_character or _continues(words[-1].text, text)):
            words[-1] = Word(words[-1].text + text, words[-1].start, position + 1)
        else:
            words.append(Word(text, position, position + 1))
    return words


def _continues(word: str, text: str) -> bool:
    if not text or not word:
        return True
    last, first = word[-1], text[0]
    if first.isspace() or last.isspace():
        # Spaces stand before a word; several of them, of one kind, are one.
        return not word.strip() and (last == first or not first.isspace()) and "\n" not in word
    if _is_ideograph(last) or _is_ideograph(first):
        return False
    if first in "'’" and len(text) > 1 and text[1].isalpha():
        return last.isalpha()
    return _is_of_word(last) == _is_of_word(first)


def _is_of_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def _is_ideograph(character: str) -> bool:
    return unicodedata.category(character) == "Lo" and unicodedata.east_asian_width(character) in "WF"
