"""An edited prompt: tokens that the edit does not touch keep their ids."""

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

# Texts to put before a continuation. The first is in no vocabulary, so that nothing merges with it; some tokenizers
# drop it, and have one of the others.
ANCHORS = ("\ue000", "a", ".", "\n")
WORD = re.compile(r" ?\w+|\W")
ALIKE = 0.5  # the share of words that an edit with another beginning has in common with what it is an edit of
UNCHANGED = 3  # so many words at least between two places that were edited
WIDER = 2  # so often are more tokens beside an edit tokenised anew, until the text is right


@dataclass(frozen=True)
class _Group:
    """Tokens that share a character; in most texts one token."""

    ids: tuple[int, ...]
    text: str


def edited(
    ids: Sequence[int], text: str, *, tokenizer: Any, read: Callable[[Sequence[int]], list[Token]]
) -> tuple[int, ...] | None:
    """Token ids of an edited prompt: those of what is unchanged, and new ones between them.

    An edit begins with the first token as it was shown, or only adds or leaves out something at the beginning. One that
    begins otherwise shares at least half of its words, and takes the place of no special token, such as ``<s>``. Any
    other text has nothing to do with the prompt.

    Args:
        ids: The prompt.
        text: What its shown text was changed to.
        tokenizer: The model's.
        read: Gives the tokens of a prompt as they are shown.

    Returns:
        The ids, which are shown as ``text``; ``None`` where it is another text and not an edit.

    Raises:
        QueryError: if it is empty, or no ids are shown as this text.
    """
    check_text(text)
    groups = _groups(read(ids))
    shown = _text(groups)
    words, others = WORD.findall(shown), WORD.findall(text)
    matcher = SequenceMatcher(None, words, others)
    begins_alike = bool(_text(_unchanged(groups, text)[0])) or shown.endswith(text) or text.endswith(shown)
    if not begins_alike and (groups[0].ids[0] in tokenizer.all_special_ids or matcher.ratio() < ALIKE):
        return None
    # A changed place at a time, the last one first.
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
            # Some vocabularies do not show a text's first space. It belongs to the first word's token, which stays.
            if got == text or (not before and not changed and " " + got == text):
                return found
            misses.append(_difference(text, got))
    asked, nearest = min(misses, key=lambda miss: sum(map(len, miss)))
    raise QueryError(
        "prompt",
        f"no tokens are shown as exactly this text: {asked!r} becomes {nearest!r}.",
        advice="Change that part of it, or give token ids.",
    )


def _unchanged(groups: Sequence[_Group], text: str) -> tuple[Sequence[_Group], Sequence[_Group]]:
    """The first of these with which a text begins, and the last of the others with which it ends."""
    n_head = _shared(groups, text)
    head, rest = groups[:n_head], groups[n_head:]
    mirrored = [_Group(group.ids, group.text[::-1]) for group in reversed(rest)]
    return head, rest[len(rest) - _shared(mirrored, text[len(_text(head)) :][::-1]) :]


def _kept(groups: Sequence[_Group]) -> list[int]:
    """How many of these may keep their ids: all; or fewer, where bytes that make no character go together."""
    kept = [len(groups)]
    while kept[-1] and len(kept) <= WIDER:
        n = kept[-1] - 1
        while n and REPLACEMENT in groups[n - 1].text:
            n -= 1
        kept.append(n)
    return kept


def _continuations(text: str, tokenizer: Any) -> list[tuple[int, ...]]:
    """Ids that may continue a prompt by a text, or begin one: many tokenizers put a space before all they are given."""
    if not text:
        return [()]
    # Added tokens are read wherever they stand, and some tokenizers put a space behind each.
    decoder = getattr(tokenizer, "added_tokens_decoder", {})
    added = sorted(filter(None, map(str, decoder.values())), key=len, reverse=True)
    first, *others = re.split(f"({'|'.join(map(re.escape, added))})", text) if added else [text]
    found = [piece_ids(text, tokenizer)]
    for anchor in ANCHORS:
        parts = [piece_ids(part, tokenizer) if part in added else _behind(anchor, part, tokenizer) for part in others]
        for start in (_behind(anchor, first, tokenizer), *(piece_ids(space + first, tokenizer) for space in ("", " "))):
            if start is not None and None not in parts:
                found.append(tuple(chain(start, *filter(None, parts))))
    return list(dict.fromkeys(found))


def _behind(anchor: str, text: str, tokenizer: Any) -> tuple[int, ...] | None:
    """Ids of a text that follows another; ``None`` where the two merge."""
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
    """With how many of the first groups a text begins."""
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
    """Two texts without what they share at their beginning and end."""
    start = n_shared(one, other)
    end = n_shared(one[start:][::-1], other[start:][::-1])
    return one[start : len(one) - end], other[start : len(other) - end]
