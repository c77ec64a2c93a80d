"""Find the parts of a model in one recorded forward pass: its blocks, and what it does with the last one's output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor

from horizon_widget.models.recording import Call, Recording, same

N_COMPARED = 512  # values, about, that a scaling is fitted to
ROUNDING_STEPS = 4  # by which these may differ, relative to the largest


class NotFoundError(Exception):
    """A part or a site that was not found; the text says why."""


def find_parts(recording: Recording) -> tuple[str, tuple[str, ...], str]:
    """Find the parts in a recorded forward pass. It needs no weights.

    Returns:
        The dotted paths of the list of blocks, of the modules that are applied in turn to the last block's output, and
        of the unembedding.

    Raises:
        NotFoundError: naming the part that was not found.
    """
    blocks = find_blocks(recording)
    last = calls_of_blocks(recording, blocks)[-1]
    head = find_head(recording)
    norms, states = [], last.leaving
    for call in recording.calls:
        if last.ended < call.began and call.ended < head.began and same(call.entering, states):
            norms.append(call.path)
            states = call.leaving
    return blocks, tuple(norms), head.path


def find_blocks(recording: Recording) -> str:
    """The path of the list of modules that take the residual stream one after another.

    Raises:
        NotFoundError: if there is none, or if one of its modules is not called.
    """
    called: dict[int, list[Call]] = {}
    for call in recording.calls:
        called.setdefault(id(call.module), []).append(call)
    n_layers = getattr(recording.hf_model.config.get_text_config(), "num_hidden_layers", None)
    found: list[tuple[bool, int, int, str]] = []
    skipped: list[str] = []
    for path, entries in recording.hf_model.named_modules():
        if not isinstance(entries, (torch.nn.ModuleList, torch.nn.Sequential)) or not len(entries):
            continue
        of_entry = [called.get(id(entry), []) for entry in entries]
        began = [each[0].began for each in of_entry if each]
        if len(began) == len(entries) and began == sorted(began) and all(map(_returns_the_like, chain(*of_entry))):
            found.append((len(entries) == n_layers, -path.count("."), len(entries), path))
        elif len(entries) == n_layers and 0 < len(began) < n_layers:
            skipped.append(f"{path}.{of_entry.index([])}")
    if not found and skipped:
        raise NotFoundError(f"the block {skipped[0]} is not called for text alone")
    if not found:
        raise NotFoundError("no list of blocks takes the residual stream, block after block")
    return max(found)[-1]


def _returns_the_like(call: Call) -> bool:
    entering, leaving = call.entering, call.leaving
    return entering is not None and leaving is not None and entering.dim() > 2 and entering.shape == leaving.shape


def calls_of_blocks(recording: Recording, path: str) -> list[Call]:
    """The calls of the blocks in a list, in order.

    Raises:
        NotFoundError: if a block is called more than once, if one does not take what the one before returned, or if
            there are several states at each position.
    """
    found = recording.calls_in(path)
    if len({call.path for call in found}) < len(found):
        raise NotFoundError(f"the blocks in {path} run more than once in one forward pass")
    entering = found[0].entering if found else None
    if entering is None:
        raise NotFoundError(f"the blocks in {path} are not called")
    if entering.dim() != 3:
        raise NotFoundError(
            f"the blocks in {path} take several residual streams at each position: states of the shape "
            f"{tuple(entering.shape)}"
        )
    prompts = recording.calls[0].entering
    if prompts is not None and entering.shape[:2] != prompts.shape:
        raise NotFoundError(
            f"the blocks in {path} take states of the shape {tuple(entering.shape)} for {prompts.shape[0]} prompts of "
            f"{prompts.shape[1]} tokens"
        )
    for before, after in pairwise(found):
        if not _continues(before, after):
            raise NotFoundError(
                f"{after.path} does not take what {before.path} returned, so more than one residual stream may run "
                "through its blocks"
            )
    return found


def _continues(before: Call, after: Call) -> bool:
    """Whether the residual stream goes on, as it is or multiplied by a number."""
    if same(before.leaving, after.entering):
        return True
    left, entered = before.left, after.entered
    if left is None or entered is None or left.shape != entered.shape or left.is_meta:
        return False
    left, entered = left.double(), entered.double()
    factor = float((entered * left).sum() / left.square().sum())
    return torch.allclose(entered, factor * left, rtol=1e-2)


def find_head(recording: Recording) -> Call:
    """The call of the unembedding: the one that the model names, or else the last that gives a value for each token.

    Raises:
        NotFoundError: if there is none.
    """
    try:
        named = recording.hf_model.get_output_embeddings()
    except (AttributeError, NotImplementedError):
        named = None
    vocab_size = recording.hf_model.config.get_text_config().vocab_size
    for call in reversed(recording.calls):
        if call.module is named:
            return call
        gives_logits = isinstance(call.module, torch.nn.Linear) and call.module.out_features == vocab_size
        if named is None and gives_logits:
            return call
    raise NotFoundError("it has no unembedding that gives a logit for each token")


# -- scales and caps -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scaling:
    """What a model does before and after its unembedding: ``softcap(after * unembedding(before * normed))``.

    Attributes:
        before, after: Factors.
        softcap: If a number, logits become ``softcap * tanh(logits / softcap)``.
    """

    before: float = 1.0
    after: float = 1.0
    softcap: float | None = None

    def entering(self, normed: Tensor) -> Tensor:
        """What the unembedding takes."""
        return normed if self.before == 1 else normed * self.before

    def leaving(self, logits: Tensor) -> Tensor:
        """The model's logits, from what the unembedding returns."""
        logits = logits if self.after == 1 else logits * self.after
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)


def find_scaling(config: Any, normed: Call, head: Call, logits: Tensor) -> Scaling | None:
    """The scaling between recorded tensors. Its numbers stand in the model's configuration.

    Args:
        config: The model's configuration.
        normed: The call of the last norm.
        head: The call of the unembedding.
        logits: The model's logits.

    Returns:
        The scaling; ``None`` if none fits, or if there are no weights.
    """
    if logits.is_meta:
        return None
    numbers = sorted({float(value) for value in config.to_dict().values() if type(value) in (int, float) and value > 0})
    factors = [1.0, *numbers, *(1 / number for number in numbers), *(n / config.hidden_size for n in numbers)]
    before = _best_fit(normed.left, head.entered, factors, [math.inf])
    after = _best_fit(head.left, logits, factors, [math.inf, *numbers])
    if before is None or after is None:
        return None
    return Scaling(before[0], after[0], None if after[1] == math.inf else after[1])


def _best_fit(
    given: Tensor | None, expected: Tensor | None, factors: Sequence[float], caps: Sequence[float]
) -> tuple[float, float] | None:
    """The factor and the cap that come closest: no cap, which is the first, if a factor alone is close enough."""
    if given is None or expected is None or given.numel() != expected.numel():
        return None
    every = max(1, given.numel() // N_COMPARED)
    x, y = given.flatten()[::every].double().cpu(), expected.flatten()[::every].double().cpu()
    if torch.equal(x, y):
        return 1.0, math.inf
    factor = torch.tensor(factors, dtype=x.dtype)[:, None, None]
    cap = torch.tensor(caps, dtype=x.dtype)[:, None]
    scaled = factor * x
    capped = torch.where(cap.isinf(), scaled, cap.nan_to_num(posinf=1.0) * torch.tanh(scaled / cap))
    apart = (capped - y).abs().amax(dim=-1)  # (factors, caps)
    step = max(torch.finfo(tensor.dtype).eps for tensor in (given, expected))
    allowed = ROUNDING_STEPS * step * float(y.abs().max())
    if float(apart[:, 0].min()) <= allowed:  # rounding looks like a weak cap
        apart = apart[:, :1]
    best = int(apart.argmin())
    if not float(apart.flatten()[best]) <= allowed:
        return None
    return factors[best // apart.shape[1]], caps[best % apart.shape[1]]
