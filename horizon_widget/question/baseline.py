"""What replaces a state: a value, without any states in it.

A baseline is a rule and the prompts it is taken from, so that it can be kept, compared and used again: the same rule,
prompts and model give the same states.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from horizon_widget.errors import QueryError
from horizon_widget.question.facts import BASELINES

ADVICE = (
    'Use "auto", "mean", "zero" or "resample"; ("mean", [texts]) or ("resample", [texts]) for a reference corpus; '
    '("counterfactual", other_prompt); or the .baseline of another map.'
)


@dataclass(frozen=True)
class Baseline:
    """What a state is replaced by.

    Attributes:
        kind: ``"mean"``: the mean state of the layer over positions 1, 2, ... of the reference; ``"zero"``;
            ``"resample"``: another state of the reference at the same layer, the effects averaged over several draws;
            ``"counterfactual"``: the reference's state at the same position; ``"auto"``: the mean, but ``"zero"`` for
            prompts of fewer than three tokens and ``"resample"`` at layers where the mean is itself a shock.
        reference: Token ids of the prompts it is taken from; empty: the prompt itself.
        layers: What ``kind`` came to at each layer, ``""`` where that is not decided yet; empty: nothing is decided.
        shocks: For each of ``layers``, whether the mean was found to be a shock there.
    """

    kind: str = "auto"
    reference: tuple[tuple[int, ...], ...] = ()
    layers: tuple[str, ...] = ()
    shocks: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if _taken_from(self.kind, given=bool(self.reference)) == "prompt" and len(self.reference) != 1:
            raise QueryError("baseline", f"{self.kind} needs one other prompt.", advice=ADVICE)
        if len(self.layers) != len(self.shocks):
            raise QueryError("baseline", f"{len(self.layers)} layers and {len(self.shocks)} shocks do not match.")

    def reference_of(self, token_ids: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The prompts it is taken from, for a prompt of these tokens."""
        return self.reference or (token_ids,)

    def __str__(self) -> str:
        if not self.reference:
            return self.kind
        return f"{self.kind} over {len(self.reference)} reference prompt{'s' * (len(self.reference) > 1)}"


def read_baseline(value: object, tokenize: Callable[[object], tuple[int, ...]]) -> Baseline:
    """A ``Baseline`` from what a user wrote.

    Args:
        value: A kind; ``(kind, texts)``; ``("counterfactual", prompt)``; or a ``Baseline``.
        tokenize: Turns a prompt into token ids, or raises ``QueryError``.

    Raises:
        QueryError: naming what is wrong.
    """
    if isinstance(value, Baseline):
        return value
    if isinstance(value, str):
        return Baseline(value)
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], str):
        kind, prompts = value
        of_texts = _taken_from(kind, given=True) == "texts"
        texts = prompts if of_texts and _several(prompts) else [prompts]
        if not texts:
            raise QueryError("baseline", "the reference is empty.", advice="Give at least one text.")
        reference = tuple(tokenize(text) for text in texts)
        if of_texts and not any(len(ids) > 1 for ids in reference):
            raise QueryError("baseline", "no reference text has a second token.", advice="Give longer texts.")
        return Baseline(kind, reference)
    raise QueryError("baseline", f"{value!r} is not offered.", advice=ADVICE)


def _taken_from(kind: str, *, given: bool) -> str:
    """What other prompts a kind of baseline is taken from, as ``facts.BaselineFacts.reference``.

    Args:
        kind: As a user wrote it.
        given: Whether prompts are given with it.

    Raises:
        QueryError: if there is no such kind, or it is taken from none.
    """
    if kind not in BASELINES:
        raise QueryError("baseline", f"{kind!r} is not offered.", advice=ADVICE)
    takes = BASELINES[kind].reference
    if given and not takes:
        raise QueryError("baseline", f"{kind} is taken from no text.", advice="Leave the texts out.")
    return takes


def _several(prompts: object) -> bool:
    """Whether these are several prompts and not one, which may itself be a sequence of ids or of messages."""
    return isinstance(prompts, Sequence) and not isinstance(prompts, str) and not _is_one(prompts)


def _is_one(prompts: Sequence[object]) -> bool:
    return bool(prompts) and all(isinstance(item, (int, dict)) for item in prompts)
