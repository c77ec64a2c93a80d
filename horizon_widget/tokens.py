"""Tokens as people read them."""

from __future__ import annotations

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
    tokens: list[Token] = []
    before: list[int] = []
    start = 0
    while start < len(ids):
        prefix = decode(before) if before else ""
        length, text = 1, ""
        for n in range(1, min(LONGEST_SPLIT, len(ids) - start) + 1):
            whole = decode([*before, *ids[start : start + n]])
            added = whole[len(prefix) :]
            if n == 1:
                text = added
            if REPLACEMENT not in added:
                length, text = n, added
                break
        group = list(ids[start : start + length])
        for k, token_id in enumerate(group):
            tokens.append(Token(int(token_id), text, None if length == 1 else (k + 1, length)))
        before = group
        start += length
    return tokens
