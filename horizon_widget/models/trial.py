"""Try whether a model fits its layout, and which execution strategy is right for what it is used for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from horizon_widget.errors import ModelError
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.edits import Edits
from horizon_widget.models.hooks import has_user_hooks
from horizon_widget.models.plain import plain_logits
from horizon_widget.models.readout import Readout, at_least_float32
from horizon_widget.models.site_check import check_site
from horizon_widget.models.sites import Site
from horizon_widget.models.strategies import ABLATION, DIRECT, FULL, SUFFIX, Held, run

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel

logger = logging.getLogger(__name__)

T = TypeVar("T")

# See ``agreement``.
UNMEASURED = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 2e-1}
ROUNDING = {torch.float64: 1e-6, torch.float32: 3e-5, torch.float16: 3e-3, torch.bfloat16: 2.4e-2}
TIMES_NOISE = 2
PASSES = "passes"  # the key of ``passes_of`` in ``LocalModel.tried``
LAST = 16  # most positions that are compared; the logits of whole prompts are large


def agreement(dtype: torch.dtype, noise: float | None = None) -> float:
    """Largest difference allowed between two computations of the same values, relative to their spread.

    Models amplify rounding, some by a hundred times. So the trial measures what rounding changes in a model, and allows
    twice that. In five models and three dtypes, another attention kernel changed .1 to 1.4 times as much, or less than
    what is always allowed. That is three rounding steps in half precision, which adds up in float32. In float32 it is
    more, since each addition rounds, and in float64, since some models compute a softmax in float32.

    Args:
        dtype: The dtype that the model computes in.
        noise: What rounding changes, see ``passes_of``; 0 for values that follow from the same states. If it was not
            measured, the most that models amplify is allowed, since no map should be refused for noise.
    """
    most = UNMEASURED.get(dtype, UNMEASURED[torch.bfloat16])
    if noise is None:
        return most
    return min(most, max(ROUNDING.get(dtype, ROUNDING[torch.bfloat16]), TIMES_NOISE * noise))


def strategy_for(model: LocalModel, clean: CleanRun, site: Site, use: str = ABLATION) -> str:
    """The fastest execution strategy that agrees with full forward passes. It is tried again for longer prompts.

    Args:
        model: The model whose blocks are run.
        clean: Its run over the unchanged prompt.
        site: Where states are overwritten.
        use: ``ABLATION`` or ``DIRECT``. A strategy may be right for one and wrong for the other.

    Raises:
        QueryError: the first time, if the site is not where its layout says.
        ModelError: if the model is not causal.
    """
    key = (use, site.name, None if site.columns is None else tuple(site.columns.tolist()))
    if use == ABLATION and key not in model.tried:
        check_site(model, clean, site)
    return _tried(model, clean, key, lambda: first_that_agrees(model, clean, site, use))


def _tried(model: LocalModel, clean: CleanRun, key: Hashable, work: Callable[[], T]) -> T:
    """What ``work`` found for the longest prompt so far."""
    length, found = model.tried.get(key, (0, None))
    if clean.n_tokens > length:
        found = work()
        model.tried[key] = (clean.n_tokens, found)
    known: T = found
    return known


def first_that_agrees(model: LocalModel, clean: CleanRun, site: Site, use: str) -> str:
    """The fastest execution strategy whose logits agree with those of full forward passes."""
    noise, head_fits = _tried(model, clean, PASSES, lambda: passes_of(model, clean))
    if any(block._module._forward_pre_hooks for block in model.blocks):
        return FULL  # these hooks have run before a block's call is captured, and would run again with the block
    if not head_fits:
        logger.info("the head of %s is not as its layout says", model.name)
        return FULL
    copies = _Copies(model, clean, site, use)
    expected = copies.logits(FULL)
    for strategy in model.shortcuts:
        if strategy == SUFFIX and (has_user_hooks(model.hf_model) or not all(call.can_be_cut for call in clean.calls)):
            continue
        try:
            difference = copies.difference(strategy, expected)
        except Exception as error:  # an unknown architecture may raise anything when it is called in parts
            logger.info("%s cannot use %s for %s: %s: %s", model.name, strategy, use, type(error).__name__, error)
            continue
        if difference <= agreement(model.dtype, noise):
            logger.info("%s uses %s for %s", model.name, strategy, use)
            return strategy
        logger.info("%s with %s for %s: logits differ by %.2g of their spread", model.name, strategy, use, difference)
    return FULL


class _Copies:
    """Three copies of the prompt with overwritten states, and the predictions that are compared.

    One is changed at the first position and the first layer, two near the prompt's end and half-way through the model.
    So masks, positions and the order of copies all matter, and so does how many positions are computed.
    """

    def __init__(self, model: LocalModel, clean: CleanRun, site: Site, use: str) -> None:
        self._model, self._clean, self._site, self._direct = model, clean, site, use == DIRECT
        n_tokens, middle = clean.n_tokens, model.n_layers // 2
        last = n_tokens - 1
        late = max(last // 2, last - LAST)
        self._layers = (0, middle, middle)
        self._sources = (0, min(late + 1, max(last - 1, 0)), late)
        self._readers = (last, max(last - 1, 0), max(last - 1, 0))
        # A state of the prompt itself may equal a neighbour's, and would then hide a wrong mask.
        self._states = torch.stack([-clean.site_values[layer].mean(dim=0).to(model.device) for layer in self._layers])
        if self._direct:
            self._copy, self._position = torch.arange(3), torch.tensor(self._readers)
        else:
            later = torch.arange(late, n_tokens)
            self._copy, self._position = torch.arange(3).repeat_interleave(len(later)), later.repeat(3)

    def difference(self, strategy: str, expected: Tensor) -> float:
        """The largest difference between a strategy's logits and those of full passes.

        The strategy runs all copies to the prompt's end, and again the late ones to the token before.
        """
        found = difference_of(self.logits(strategy), expected)
        stop = self._clean.n_tokens - 1
        again = (self._copy > 0) & (self._position < stop)
        if not bool(again.any()):
            return found
        return max(found, difference_of(self.logits(strategy, first=1, stop=stop), expected[again]))

    def logits(self, strategy: str, first: int = 0, stop: int | None = None) -> Tensor:
        """Logits of the predictions before ``stop`` in the copies from ``first`` on."""
        stop = self._clean.n_tokens if stop is None else stop
        device = self._model.device
        asked = (self._copy >= first) & (self._position < stop)
        copy, position = (self._copy[asked] - first).to(device), self._position[asked].to(device)
        edits = Edits(self._layers[first:], self._sources[first:], self._states[first:])
        sources, readers = (torch.tensor(of[first:], device=device) for of in (self._sources, self._readers))
        return run(
            self._model,
            self._clean,
            self._site,
            edits,
            lambda readout: at_least_float32(readout.logits(copy, position)),
            strategy=strategy,
            first=int(position.min()),
            stop=stop,
            held=Held(sources, readers) if self._direct else None,
        )


def passes_of(model: LocalModel, clean: CleanRun) -> tuple[float, bool]:
    """Try what does not depend on a site, with one forward pass over two copies of the prompt.

    Returns:
        What rounding changes in the logits, relative to their spread: each state that enters the first block is moved
        by one rounding step, so all later roundings differ, too. Two equal passes may round alike and show nothing.
        And whether norm and head, applied to the last block's output, give the model's own logits.

    Raises:
        ModelError: if another last token changes earlier predictions beyond that.
    """
    ids = clean.input_ids.expand(2, -1).clone()
    ids[1, -1] = next((token for token in ids[0] if token != ids[0, -1]), (ids[0, -1] + 1) % model.vocab_size)
    position = torch.arange(clean.n_tokens)
    step = torch.finfo(model.dtype).eps

    def work() -> Tensor:
        first = model.blocks[0]
        states = first.input
        signs = 1 - 2 * ((position[:, None] + torch.arange(states.shape[-1])) * 7 % 5 % 2)
        first.input = states + states * (step * signs).to(states)
        last = model.traced_states()[:, -LAST:]
        try:
            by_head = model.head.logits(last)
        except Exception as error:
            logger.info("%s cannot use its head alone: %s: %s", model.name, type(error).__name__, error)
            by_head = None
        own = model.traced_logits()[:, -last.shape[1] :]
        by_head = torch.full_like(own, torch.nan) if by_head is None else by_head.to(own)
        return at_least_float32(torch.stack([by_head, own]))

    by_head, own = model.traced(ids, work, last=LAST)
    head_fits = largest_difference(by_head, own) <= agreement(model.dtype, 0.0)
    noise = 0.0
    if head_fits:
        before = clean.states[-1][-LAST:]
        unmoved = model.inside_trace(clean, lambda: at_least_float32(model.head.logits(before)))
        noise = difference_of(own[0], unmoved)
    if own.shape[1] > 1 and difference_of(own[1, :-1], own[0, :-1]) > agreement(model.dtype, noise):
        raise ModelError(
            f"{model.name} is not causal: another last token changes its earlier predictions.",
            advice="Influence on later tokens has a meaning only where no token sees those after it.",
        )
    return noise, head_fits


def check_alone(model: LocalModel, clean: CleanRun, readout: Readout) -> None:
    """Refuse a model with hooks that traces do not see. Compares with a forward pass of the transformers model itself.

    Raises:
        ModelError: if the predictions for the unchanged prompt differ.
    """
    if not model.may_hide_hooks:
        return
    everywhere = torch.arange(clean.n_tokens, device=model.device)
    got = model.inside_trace(clean, lambda: readout.logits(torch.zeros_like(everywhere), everywhere))
    if largest_difference(got, plain_logits(model, clean.input_ids)[0]) > agreement(model.dtype):
        raise ModelError(
            f"{model.name} gives other predictions when it is traced: the trace does not see one of its hooks.",
            advice="Remove the hook. Hooks on single modules are traced, unless the model is spread over devices.",
        )


def difference_of(got: Tensor, expected: Tensor) -> float:
    """Largest difference of a prediction, the root mean square over its logits, relative to the spread of all logits.

    Infinite if values that are not finite differ. A mean over the vocabulary varies less by chance than its largest.
    """
    apart, _, spread = _apart(got, expected)
    return _finite(apart.norm(dim=-1).max() / apart.shape[-1] ** 0.5 / spread)


def largest_difference(got: Tensor, expected: Tensor) -> float:
    """Largest difference of a logit, relative to the spread of all logits or to itself, whichever is greater."""
    apart, expected, spread = _apart(got, expected)
    return _finite((apart.abs_() / expected.abs().clamp_(min=float(spread))).max())


def _apart(got: Tensor, expected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Differences of logits, the logits, and their spread. Logits of tokens that a model rules out become 0.

    These are minus infinity in both. The differences are infinite if other values are not finite.
    """
    expected = expected.to(got)
    apart = got - expected
    if bool(torch.isfinite(apart.sum())):
        return apart, expected, expected.std()
    finite = torch.isfinite(expected)
    ruled_out_alike = torch.equal(got[~finite], expected[~finite])
    apart = apart.masked_fill(~finite, 0.0) if ruled_out_alike else torch.full_like(apart, torch.inf)
    return apart, expected.masked_fill(~finite, 0.0), expected[finite].std()


def _finite(difference: Tensor) -> float:
    return float(difference) if bool(torch.isfinite(difference)) else float("inf")
