"""Trying once whether a model is what its layout says, and which strategy is right for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from horizon_widget.errors import ModelError, QueryError
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.edits import Edits
from horizon_widget.models.hooks import has_user_hooks
from horizon_widget.models.plain import plain_logits
from horizon_widget.models.readout import Readout
from horizon_widget.models.sites import Site
from horizon_widget.models.strategies import FULL, SUFFIX, run

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel

logger = logging.getLogger(__name__)

# Largest difference of logits, relative to their spread, between two ways to compute the same; beyond it the
# architecture does something between its blocks that is not repeated.
AGREEMENT = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 2e-1}
COPIES = 3
LAST = 16  # positions that are compared, at most: logits of whole prompts are large


def strategy_for(model: LocalModel, clean: CleanRun, site: Site) -> str:
    """The fastest strategy that gives what full forward passes give, tried once for prompts this long.

    Raises:
        QueryError: the first time, if the site is not where it should be.
    """
    columns = None if site.columns is None else tuple(site.columns.tolist())
    key = (site.name, columns)
    length, strategy = model.tried.get(key, (0, ""))
    if not strategy:
        check_site(model, clean, site)
    if clean.n_tokens > length:
        strategy = first_that_agrees(model, clean, site)
        logger.info("%s is entered by %s", model.name, strategy)
        model.tried[key] = (clean.n_tokens, strategy)
    return str(strategy)


def first_that_agrees(model: LocalModel, clean: CleanRun, site: Site) -> str:
    """The fastest strategy whose logits equal those of full forward passes, for copies with overwritten states.

    Sources at two layers are overwritten, so that the copies enter one after the other, half-way through the prompt:
    masks, positions and the order of copies all matter. Once up to the prompt's end, and once not so far.
    """
    if any(block._module._forward_pre_hooks for block in model.blocks):
        return FULL  # the captured call of a block comes after these, and to call the block is to run them again
    stops = [clean.n_tokens, clean.n_tokens - 1] if clean.n_tokens > 1 else [1]
    expected = [_logits(model, clean, site, stop, FULL) for stop in stops]
    for strategy in model.shortcuts:
        if strategy == SUFFIX and (not clean.cached or has_user_hooks(model.hf_model)):
            continue
        try:
            got = [_logits(model, clean, site, stop, strategy) for stop in stops]
        except Exception as error:  # whatever an unknown architecture does when it is called in parts
            logger.info("%s cannot be entered by %s: %s: %s", model.name, strategy, type(error).__name__, error)
            continue
        difference = max(map(difference_of, got, expected))
        if difference <= agreement(model.dtype):
            return strategy
        logger.info("%s entered by %s: logits differ by %.2g of their spread", model.name, strategy, difference)
    return FULL


def agreement(dtype: torch.dtype) -> float:
    """Largest difference allowed between two ways to compute the same, relative to the values' spread."""
    return AGREEMENT.get(dtype, AGREEMENT[torch.bfloat16])


def _logits(model: LocalModel, clean: CleanRun, site: Site, stop: int, strategy: str) -> Tensor:
    """Logits of copies with overwritten states, at positions from the first of these on and before ``stop``."""
    first, layer = max(stop // 2, stop - LAST), model.n_layers // 2
    layers = (0, layer, layer)
    # None of the prompt's own states: one that equals a neighbour's would hide who attends to which.
    states = torch.stack([-clean.site_values[at].mean(dim=0) for at in layers])
    edits = Edits(layers, (first, min(first + 1, stop - 1), first), states)
    later = torch.arange(first, stop, device=model.device)
    copy = torch.arange(COPIES, device=model.device).repeat_interleave(len(later))

    def score(readout: Readout) -> Tensor:
        return readout.logits(copy, later.repeat(COPIES)).float()

    return run(model, clean, site, edits, score, strategy=strategy, stop=stop)


def check_alone(model: LocalModel, clean: CleanRun, readout: Readout) -> None:
    """Refuse a model with hooks that traces do not see, by a forward pass of the transformers model itself.

    Raises:
        ModelError: if its predictions for the unchanged prompt differ.
    """
    if not model.may_hide_hooks:
        return
    everywhere = torch.arange(clean.n_tokens, device=model.device)
    got = model.inside_trace(clean, lambda: readout.logits(torch.zeros_like(everywhere), everywhere))
    if difference_of(got, plain_logits(model, clean.input_ids)[0]) > agreement(model.dtype):
        raise ModelError(
            f"{model.name} predicts otherwise when it is traced than alone: one of the hooks on it is not traced.",
            advice="Remove it. Hooks on single modules are traced, unless the model is spread over devices.",
        )


def difference_of(got: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the spread; infinite where one has a value that is not finite and the other not.

    Tokens that a model rules out have logits of minus infinity, in both.
    """
    expected = expected.to(got.device)
    finite = torch.isfinite(expected)
    if not torch.equal(got[~finite], expected[~finite]):
        return float("inf")
    difference = float((got - expected)[finite].abs().max() / expected[finite].std())
    return difference if difference == difference else float("inf")


def check_site(model: LocalModel, clean: CleanRun, site: Site) -> None:
    """Check that a site's values are what they are said to be.

    Values and keys against those that attention hands to its cache (a rotary embedding turns keys, and keeps their
    length); what attention and MLP put out against the residual stream, of which they must be the whole change.

    Raises:
        QueryError: if they are not.
    """
    if site.place is None:
        return
    fits = _fits_cache(clean, site) if site.name in ("key", "value") else _fits_residual_stream(model, clean)
    if not fits:
        raise QueryError(
            "site",
            f"{site.name!r} of {model.name} ({model.config.model_type}) is not where its layout says: "
            + ("the attention's cache holds other values." if site.columns is not None else "the residual stream ")
            + ("" if site.columns is not None else "is not the sum of what the blocks are said to add."),
            advice='Use site="residual", or hw.register_architecture with the right place.'
            + (" A hook on a block changes that sum too." if has_user_hooks(model.hf_model) else ""),
        )


def _fits_cache(clean: CleanRun, site: Site) -> bool:
    if not clean.cached:
        return True
    for call, values in zip(clean.calls, clean.site_values, strict=True):
        cached = call.keys if site.name == "key" else call.values
        assert cached is not None
        seen = cached[0].transpose(0, 1)  # (T, heads, d_head)
        own = values.unflatten(-1, (-1, site.d_head))
        if not _some_heads_match(own, seen, by_length=site.name == "key"):
            return False
    return True


def _some_heads_match(own: Tensor, seen: Tensor, *, by_length: bool) -> bool:
    """Whether each of our heads, shape ``(T, n, d_head)``, is one of the cache's, which may repeat them."""
    ours, theirs = (own.norm(dim=-1), seen.norm(dim=-1)) if by_length else (own, seen)
    tolerance = agreement(own.dtype) * float(theirs.float().std() + 1e-6)
    for head in range(ours.shape[1]):
        apart = [
            float((ours[:, head] - theirs[:, other].to(ours.device)).abs().max()) for other in range(theirs.shape[1])
        ]
        if min(apart) > tolerance:
            return False
    return True


def _fits_residual_stream(model: LocalModel, clean: CleanRun) -> bool:
    both = [model.site(name) for name in ("attention_output", "mlp_output")]
    written = [model.capture(clean.input_ids, site).site_values for site in both]
    for layer in range(model.n_layers):
        before, after = clean.states[layer], clean.states[layer + 1]
        added = (written[0][layer] + written[1][layer]).to(before.device)
        difference = (before + added - after.to(before.device)).abs().max() / after.float().std()
        if not float(difference) <= agreement(model.dtype):
            return False
    return True
