"""Turn what a user writes into token ids: a text, token ids, or chat messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from horizon_widget.errors import QueryError
from horizon_widget.question.tokens import Vocabulary, with_id

TOKENS_LISTED = 12
KINDS = "Pass a text, token ids, or chat messages ({'role': …, 'content': …})."


def read_prompt(
    prompt: object, *, tokenizer: Any, vocab_size: int, context_length: int | None, name: str
) -> tuple[int, ...]:
    """Token ids of a prompt.

    Args:
        prompt: A text; token ids, in a sequence, array or tensor; or chat messages.
        tokenizer: The model's tokenizer.
        vocab_size: Number of tokens that the model knows.
        context_length: Longest prompt in tokens, if there is a limit.
        name: The model's name, for messages.

    Raises:
        QueryError: if it is of another kind, is empty, cannot be encoded, has ids outside the vocabulary, or is longer
            than the model's context.
    """
    if isinstance(prompt, str):
        ids = _of_text(prompt, tokenizer)
        _check_tokenizer(ids, vocab_size, name)
    elif _is_messages(prompt):
        ids = _of_messages(prompt, tokenizer, name)
        _check_tokenizer(ids, vocab_size, name)
    else:
        ids = _of_ids(prompt, vocab_size, name)
    if context_length is not None and len(ids) > context_length:
        raise QueryError(
            "prompt", f"it has {len(ids)} tokens, and {name} reads at most {context_length}.", advice="Shorten it."
        )
    return ids


def vocabulary_of(tokenizer: Any, vocab_size: int) -> Vocabulary:
    """How the tokens that a model knows are shown."""
    plain, whole = (
        [int(i) for i in tokenizer("a the", add_special_tokens=some)["input_ids"]] for some in (False, True)
    )
    opening = whole[: whole.index(plain[0])] if plain and plain[0] in whole else []
    decode = partial(tokenizer.decode, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return Vocabulary(vocab_size, decode, before=plain[-1:], opening=opening)


def token_id(token: object, *, tokenizer: Any, vocabulary: Vocabulary) -> int:
    """The id of a token given as it is shown, such as ``" Paris"``, or as its id.

    Raises:
        QueryError: if it is not exactly one token of the vocabulary. The message lists the tokens it may be.
    """
    if isinstance(token, str):
        found, at_start = vocabulary.find(token)
        if len(found) == 1 and not at_start:
            return found[0]
        raise _not_one_token(token, found, at_start, tokenizer, vocabulary)
    number = _integer(token)
    if number is None or not 0 <= number < vocabulary.size:
        raise QueryError(
            "metric", f"{token!r} is not a token.", advice=f"Give its text, or an id of 0 to {vocabulary.size - 1}."
        )
    return number


def _not_one_token(
    token: str, found: Sequence[int], at_start: Sequence[int], tokenizer: Any, vocabulary: Vocabulary
) -> QueryError:
    """An error that lists the tokens that a text may name, or the tokens it consists of."""

    def listed(ids: Sequence[int]) -> str:
        names = [repr(with_id(vocabulary.text(i), i)) for i in ids[:TOKENS_LISTED]]
        pieces = tokenizer.convert_ids_to_tokens(list(ids[:TOKENS_LISTED]))
        rest = [f"and {len(ids) - TOKENS_LISTED} more"] if len(ids) > TOKENS_LISTED else []
        return ", ".join(
            [f"{name} ({piece} in the vocabulary)" for name, piece in zip(names, pieces, strict=True)] + rest
        )

    several = [f"{len(found)} tokens are shown as {token!r}: {listed(found)}"] if found else []
    several += [f"at the start of a text alone, {token!r} is {listed(at_start)}"] if at_start else []
    if several:
        return QueryError("metric", f"{'; '.join(several)}.", advice="Use one of these names, or an id.")
    text = token.encode(errors="ignore").decode()  # tokenizers refuse lone surrogates
    ids = piece_ids(text, tokenizer)
    if len(ids) < 2:
        read = f" The tokenizer reads it as {listed(ids)}." if ids else ""  # with other capitals or spaces
        return QueryError(
            "metric", f"no token is shown as {token!r}.{read}", advice="Name one as it is shown, or an id."
        )
    pieces = ", ".join(repr(vocabulary.text(i)) for i in ids)
    return QueryError(
        "metric",
        f"{token!r} is {len(ids)} tokens ({pieces}), and one is needed.",
        advice="Name its first token, with the leading space if it has one, or an id.",
    )


def piece_ids(text: str, tokenizer: Any) -> tuple[int, ...]:
    """Token ids of a text, without those that the tokenizer adds before and after each text."""
    return tuple(int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"])


def check_text(text: str) -> None:
    """Refuse a text that no tokenizer reads.

    Raises:
        QueryError: if it is empty or has a lone surrogate.
    """
    if not text:
        raise QueryError("prompt", "it is empty.", advice="Give a text of at least two tokens.")
    for position, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise QueryError(
                "prompt",
                f"character {position} is a lone surrogate (U+{ord(character):04X}), which no text can hold.",
                advice='Clean it with prompt.encode("utf-8", "replace").decode().',
            )


def _of_text(prompt: str, tokenizer: Any) -> tuple[int, ...]:
    check_text(prompt)
    return tuple(int(i) for i in tokenizer(prompt)["input_ids"])


def _is_messages(prompt: object) -> bool:
    several = isinstance(prompt, Sequence) and not isinstance(prompt, (str, bytes))
    return several and bool(prompt) and all(isinstance(item, Mapping) for item in prompt)  # type: ignore[attr-defined]


def _of_messages(messages: Any, tokenizer: Any, name: str) -> tuple[int, ...]:
    for number, message in enumerate(messages):
        if not all(isinstance(message.get(part), str) for part in ("role", "content")):
            raise QueryError(
                "prompt",
                f"message {number} has no text under 'role' and 'content'.",
                advice='Write {"role": "user", "content": "…"}.',
            )
        check_text(message["content"] or " ")
    if getattr(tokenizer, "chat_template", None) is None:
        raise QueryError(
            "prompt",
            f"{name} has no chat template.",
            advice="Pass a text, or set model.tokenizer.chat_template.",
        )
    # If the assistant speaks next, the prompt ends with the template's opening of its turn.
    opens_turn = messages[-1]["role"] != "assistant"
    try:
        ids = tokenizer.apply_chat_template(
            [dict(message) for message in messages], add_generation_prompt=opens_turn, tokenize=True, return_dict=False
        )
    except Exception as error:  # a template may raise anything, as about the order of roles
        raise QueryError("prompt", f"the chat template of {name} refuses these messages ({error}).") from error
    return tuple(int(i) for i in ids)


def _of_ids(prompt: object, vocab_size: int, name: str) -> tuple[int, ...]:
    items = getattr(prompt, "tolist", lambda: prompt)()
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Sequence):
        raise QueryError("prompt", f"it is a {type(prompt).__name__}, not a text.", advice=KINDS)
    if not items:
        raise QueryError("prompt", "it is empty.", advice="Give a text of at least two tokens.")
    if len(items) == 1 and isinstance(items[0], Sequence) and not isinstance(items[0], str):
        items = items[0]  # a batch of one prompt, as tokenizers return it
    numbers = []
    for position, item in enumerate(items):
        number = _integer(item)
        if number is None:
            raise QueryError("prompt", f"item {position} is a {type(item).__name__}, not a token id.", advice=KINDS)
        if not 0 <= number < vocab_size:
            raise QueryError(
                "prompt",
                f"token id {number} at position {position} is not in the vocabulary of {name} ({vocab_size} tokens).",
                advice=KINDS,
            )
        numbers.append(number)
    return tuple(numbers)


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    return int(value.__index__())


def _check_tokenizer(ids: Sequence[int], vocab_size: int, name: str) -> None:
    if ids and max(ids) >= vocab_size:
        raise QueryError(
            "tokenizer",
            f"it gives token {max(ids)}, but {name} knows only {vocab_size} tokens.",
            advice="Load the model with its own tokenizer.",
        )
