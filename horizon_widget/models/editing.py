"""Tokenise an edited prompt. Tokens that the edit does not touch keep their ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import accumulate, chain, product
from typing import Any

from horizon_widget.errors import QueryError
from horizon_widget.models.prompts import check_text, piece_ids
from horizon_widget.question.tokens import REPLACEMENT, Token, n_shared, text_of

# Texts that are tokenised together with a continuation, before it. The first is in no vocabulary, so nothing merges
# with it. Some tokenizers drop it and need one of the others.
ANCHORS = ("\ue000", "a", ".", "\n")
WORD = re.compile(r" ?\w+|\W")
ALIKE = 0.5  # least share of words that an edit with another beginning has in common with the prompt
UNCHANGED = 3  # fewest words between two changed places that are edited one by one
WIDER = 2  # most unchanged tokens on each side of an edit that are tokenised anew to get the text right


@dataclass(frozen=True)
class _Group:
    """Tokens that share a character; in most texts a single token."""

    ids: tuple[int, ...]
    text: str


def edited(
    ids: Sequence[int], text: str, *, tokenizer: Any, read: Callable[[Sequence[int]], list[Token]]
) -> tuple[int, ...] | None:
    """Token ids of an edited prompt: the old ids of what is unchanged, and new ids between them.

    A text is an edit if it begins with the prompt's first token, or if only its beginning was added or removed. A text
    with another beginning is an edit if it shares at least half of its words with the prompt and replaces no special
    token, such as ``<s>``. Any other text is a new prompt.

    Args:
        ids: The prompt's token ids.
        text: The prompt's text as it is shown, edited.
        tokenizer: The model's tokenizer.
        read: Gives the tokens of a prompt as they are shown.

    Returns:
        The ids, which are shown as ``text``; ``None`` if the text is a new prompt.

    Raises:
        QueryError: if the text is empty, or no ids are shown as this text.
    """
    check_text(text)
    groups = _groups(read(ids))
    shown = _text(groups)
    words, others = WORD.findall(shown), WORD.findall(text)
    matcher = SequenceMatcher(None, words, others)
    begins_alike = bool(_text(_unchanged(groups, text)[0])) or shown.endswith(text) or text.endswith(shown)
    if not begins_alike and (groups[0].ids[0] in tokenizer.all_special_ids or matcher.ratio() < ALIKE):
        return None
    # Edit one changed place at a time, the last one first.
    at, at_other = ([0, *accumulate(map(len, parts))] for parts in (words, others))
    for i, j, n in reversed(matcher.get_matching_blocks()):
        if n >= UNCHANGED:
            ids = _edited_in_one_place(ids, shown[: at[i]] + text[at_other[j] :], tokenizer, read)
    return _edited_in_one_place(ids, text, tokenizer, read)


def _edited_in_one_place(
    ids: Sequence[int], text: str, tokenizer: Any, read: Callable[[Sequence[int]], list[Token]]
) -> tuple[int, ...]:
    head, tail = _unchanged(_groups(read(ids)), text)
    misses: list[tuple[str, str]] = []
    for n_before, n_after in sorted(product(_kept(head), _kept(tail[::-1])), key=sum, reverse=True):
        before, after = head[:n_before], tail[len(tail) - n_after :]
        changed = text[len(_text(before)) : len(text) - len(_text(after))]
        for new in _continuations(changed, tokenizer):
            found = (*_ids(before), *new, *_ids(after))
            got = text_of(read(found))
            # Some vocabularies do not show a text's first space. It belongs to the token of the first word.
            if got == text or (not before and not changed and " " + got == text):
                return found
            misses.append(_difference(text, got))
    asked, nearest = min(misses, key=lambda miss: sum(map(len, miss)))
    raise QueryError(
        "prompt",
        f"no tokens are shown as exactly this text: {asked!r} becomes {nearest!r}.",
        advice="Change that part, or give token ids.",
    )


def _unchanged(groups: Sequence[_Group], text: str) -> tuple[Sequence[_Group], Sequence[_Group]]:
    """The first groups that the text begins with, and the last of the other groups that it ends with."""
    n_head = _shared(groups, text)
    head, rest = groups[:n_head], groups[n_head:]
    mirrored = [_Group(group.ids, group.text[::-1]) for group in reversed(rest)]
    return head, rest[len(rest) - _shared(mirrored, text[len(_text(head)) :][::-1]) :]


def _kept(groups: Sequence[_Group]) -> list[int]:
    """Numbers of groups that may keep their ids: all, or a few less. Adjacent broken characters stay together."""
    kept = [len(groups)]
    while kept[-1] and len(kept) <= WIDER:
        n = kept[-1] - 1
        while n and REPLACEMENT in groups[n - 1].text:
            n -= 1
        kept.append(n)
    return kept


def _continuations(text: str, tokenizer: Any) -> list[tuple[int, ...]]:
    """Ids that may stand for a text within a prompt or at its start. Many tokenizers put a space before each text."""
    if not text:
        return [()]
    # Added tokens are recognised anywhere in a text, and some tokenizers put a space after each.
    decoder = getattr(tokenizer, "added_tokens_decoder", {})
    added = sorted(filter(None, map(str, decoder.values())), key=len, reverse=True)
    first, *others = re.split(f"({'|'.join(map(re.escape, added))})", text) if added else [text]
    found = [piece_ids(text, tokenizer)]
    for anchor in ANCHORS:
        parts = [piece_ids(part, tokenizer) if part in added else _after(anchor, part, tokenizer) for part in others]
        for start in (_after(anchor, first, tokenizer), *(piece_ids(space + first, tokenizer) for space in ("", " "))):
            if start is not None and None not in parts:
                found.append(tuple(chain(start, *filter(None, parts))))
    return list(dict.fromkeys(found))


def _after(anchor: str, text: str, tokenizer: Any) -> tuple[int, ...] | None:
    """Ids of a text that follows an anchor; ``None`` if the two merge."""
    before, both = piece_ids(anchor, tokenizer), piece_ids(anchor + text, tokenizer)
    return both[len(before) :] if both[: len(before)] == before else None


def _groups(tokens: Sequence[Token]) -> list[_Group]:
    groups: list[_Group] = []
    for token in tokens:
        if token.piece is None or token.piece[0] == 1:
            groups.append(_Group((token.id,), token.text))
        else:
            groups[-1] = _Group((*groups[-1].ids, token.id), token.text)
    return groups


def _shared(groups: Sequence[_Group], text: str) -> int:
    """Number of first groups that the text begins with."""
    length = 0
    for number, group in enumerate(groups):
        if not text.startswith(group.text, length):
            return number
        length += len(group.text)
    return len(groups)


def _ids(groups: Sequence[_Group]) -> tuple[int, ...]:
    return tuple(token_id for group in groups for token_id in group.ids)


def _text(groups: Sequence[_Group]) -> str:
    return "".join(group.text for group in groups)


def _difference(one: str, other: str) -> tuple[str, str]:
    """Two texts without the beginning and the end that they share."""
    start = n_shared(one, other)
    end = n_shared(one[start:][::-1], other[start:][::-1])
    return one[start : len(one) - end], other[start : len(other) - end]
