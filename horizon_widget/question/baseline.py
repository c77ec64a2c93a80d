"""A baseline: the rule by which a state is replaced, and the prompts that the rule is applied to.

It is a value without any states, so it can be saved, compared and used again. The same rule, prompts and model give the
same states.
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
    """The rule by which a state is replaced.

    Attributes:
        kind: ``"mean"``: the mean state of the layer over positions 1, 2, ... of the reference; ``"zero"``;
            ``"resample"``: another state of the reference at the same layer, with effects averaged over several draws;
            ``"counterfactual"``: the reference's state at the same position; ``"auto"``: the mean, but ``"zero"`` for
            prompts of fewer than three tokens and ``"resample"`` at layers where the mean is itself a shock.
        reference: Token ids of the prompts that states are taken from; empty for the prompt itself.
        layers: The kind that was used at each layer, ``""`` if a layer is not decided yet; empty if none is decided.
        shocks: Whether the mean is a shock at each of ``layers``.
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
        """The prompts that states are taken from, for a prompt of these tokens."""
        return self.reference or (token_ids,)

    def __str__(self) -> str:
        if not self.reference:
            return self.kind
        return f"{self.kind} over {len(self.reference)} reference prompt{'s' * (len(self.reference) > 1)}"


def read_baseline(value: object, tokenize: Callable[[object], tuple[int, ...]]) -> Baseline:
    """Turn what a user wrote into a ``Baseline``.

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
    """What a kind of baseline is taken from; see ``facts.BaselineFacts.reference``.

    Args:
        kind: The kind as a user wrote it.
        given: Whether prompts are given with it.

    Raises:
        QueryError: if the kind is not known, or prompts are given and it uses none.
    """
    if kind not in BASELINES:
        raise QueryError("baseline", f"{kind!r} is not offered.", advice=ADVICE)
    takes = BASELINES[kind].reference
    if given and not takes:
        raise QueryError("baseline", f"{kind} uses no texts.", advice="Leave the texts out.")
    return takes


def _several(prompts: object) -> bool:
    """Whether these are several prompts. A single prompt may be a sequence too, of token ids or of messages."""
    return isinstance(prompts, Sequence) and not isinstance(prompts, str) and not _is_one(prompts)


def _is_one(prompts: Sequence[object]) -> bool:
    return bool(prompts) and all(isinstance(item, (int, dict)) for item in prompts)
