"""Tokens as people read them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_SPLIT = 8  # tokens; a character has at most 4 bytes, and joined emoji tokens may carry a few more
WITH_ID = re.compile(r"(.*) #([0-9]{1,9})", re.DOTALL)  # a token's text and its id
AT_ONCE = 64  # number of tokens decoded together

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Token:
    """One token of a prompt.

    Attributes:
        id: Its number in the vocabulary.
        text: The text it stands for. If several tokens share a character, each has the whole character.
        piece: ``(k, n)`` for the ``k``-th (from 1) of ``n`` tokens that share a character; else ``None``.
    """

    id: int
    text: str
    piece: tuple[int, int] | None = None


def text_of(tokens: Iterable[Token]) -> str:
    """The joined text of some tokens, with each character once."""
    return "".join(token.text for token in tokens if token.piece is None or token.piece[0] == 1)


def n_shared(one: Sequence[object], other: Sequence[object]) -> int:
    """Number of items that two sequences share at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def read_tokens(ids: Sequence[int], decode: Decode) -> list[Token]:
    """Split a prompt's text into the text of each token.

    Byte-level vocabularies may cut a character into tokens that have no text alone. They are grouped until they decode.
    The text of a group is what it adds to the group before it. So a leading space stays, even if the vocabulary drops
    it at the start of a text.

    Args:
        ids: The token ids, in order.
        decode: Turns token ids into text, special tokens included.

    Returns:
        One ``Token`` for each id. Their joined texts (each group once) are the decoded prompt.
    """
    groups: list[tuple[int, str]] = []  # number of tokens and their text
    before: list[int] = []  # the context that the next group is decoded in: from the last group that decoded
    start = 0
    while start < len(ids):
        length, text, whole = _next_group(ids[start : start + LONGEST_SPLIT], before, decode)
        if not text and groups and REPLACEMENT in groups[-1][1]:
            groups[-1] = (groups[-1][0] + length, groups[-1][1])  # more bytes that make no character
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


def _next_group(ids: Sequence[int], before: Sequence[int], decode: Decode) -> tuple[int, str, bool]:
    """Number of first tokens that make whole characters (1 if no number does), their text, and whether one does."""
    prefix = decode(before) if before else ""
    first, longest = "", 0
    for n in range(1, len(ids) + 1):
        added = decode([*before, *ids[:n]])[len(prefix) :]
        if n == 1:
            first = added
            if not added and REPLACEMENT in prefix:
                break
        # A vocabulary with a token for each byte shows U+FFFD itself as three, until its last byte is there.
        if REPLACEMENT not in added or len(added) < longest:
            return n, added, True
        longest = len(added)
    return 1, first, False


class Vocabulary:
    """How each token is shown on its own, and which token a text names.

    A token's text is what it adds to a text that it continues. Several tokens may have the same text, such as single
    bytes of a character. A name tells them apart.

    Args:
        size: Number of tokens; ids are ``0 .. size-1``.
        decode: Turns token ids into text, special tokens included.
        before: An ordinary token that other tokens are decoded after, or none.
        opening: The special tokens that the tokenizer puts at the start of a text.
    """

    def __init__(self, size: int, decode: Decode, *, before: Sequence[int] = (), opening: Sequence[int] = ()) -> None:
        self.size = size
        self.decode, self._before, self._opening = decode, tuple(before), tuple(opening)

    def text(self, token: int) -> str:
        """The text that a token adds to a text."""
        return self._added(self._before, token)

    def name(self, token: int) -> str:
        """The token's text, followed by ``" #"`` and its id if the text alone does not name it; see ``find``."""
        text = self.text(token)
        return text if self.find(text) == ((token,), ()) else with_id(text, token)

    def find(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens that a text may name.

        Args:
            name: A token's text, or its text, ``" #"`` and its id.

        Returns:
            The tokens with this text, and the tokens that have this text only at the start of a text.
        """
        match = WITH_ID.fullmatch(name)
        if match and int(match[2]) < self.size and self.text(int(match[2])) == match[1]:
            return (int(match[2]),), ()
        if not name:
            return (), ()
        found = tuple(token for token, text in enumerate(self._texts) if text == name)
        spaced = (
            token for token, text in enumerate(self._texts) if text.endswith(name) and text[: -len(name)].isspace()
        )
        return found, tuple(token for token in spaced if self._added(self._opening, token) == name)

    def _added(self, before: Sequence[int], token: int) -> str:
        return self._text_of([*before, token])[len(self._text_of(before)) :]

    def _text_of(self, ids: Sequence[int]) -> str:
        try:
            return self.decode(list(ids)) if ids else ""
        except Exception:  # a tokenizer may raise anything for an id without a token
            return ""

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        """The text of every token. Many are decoded together, which takes a quarter of the time."""
        texts: list[str] = []
        for start in range(0, self.size, AT_ONCE):
            ids = range(start, min(start + AT_ONCE, self.size))
            texts += self._apart(ids) or [self.text(token) for token in ids]
        return tuple(texts)

    def _apart(self, ids: Sequence[int]) -> list[str]:
        """The texts of some tokens, decoded together with ``before`` between them; empty if they cannot be split."""
        first = self._text_of(self._before)
        between = self._added(self._before, self._before[0]) if self._before else ""
        if not between or between.count(between[0]) > 1:  # its occurrences might overlap
            return []
        joined = self._text_of([*(part for token in ids for part in (*self._before, token)), *self._before])
        texts = joined[len(first) :].split(between)
        return texts[:-1] if len(texts) == len(ids) + 1 and joined.startswith(first) else []


def with_id(text: str, token: int) -> str:
    """The name of a token by its text and its id."""
    return f"{text} #{token}"


def tell_apart(ids: Sequence[int], texts: Sequence[str]) -> list[str]:
    """Texts of tokens for a table, with the id if different tokens have the same text, or if the text is empty."""
    ids_of: dict[str, set[int]] = {"": {-1}}
    for token, text in zip(ids, texts, strict=True):
        ids_of.setdefault(text, set()).add(token)
    return [with_id(text, token) if len(ids_of[text]) > 1 else text for token, text in zip(ids, texts, strict=True)]


def label_tokens(tokens: Sequence[Token]) -> list[str]:
    """The text of each token of a prompt, with its id if a different token has the same text."""
    return tell_apart([token.id for token in tokens], [token.text for token in tokens])


@dataclass(frozen=True)
class Word:
    """Neighbouring tokens that people read as one word.

    Attributes:
        text: The word's text, with the space before it.
        start: Position of its first token.
        stop: Position after its last token.
    """

    text: str
    start: int
    stop: int


def read_words(tokens: Sequence[Token]) -> list[Word]:
    """Group tokens into words: runs of letters and digits, runs of punctuation, single ideographs.

    A token that spans several words makes them one word.

    Returns:
        Words in order. Every token is in exactly one, and their joined texts are the prompt's.
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
        # Spaces stand before a word. Several spaces of one kind are grouped.
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
