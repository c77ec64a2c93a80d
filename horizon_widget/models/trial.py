"""Try whether a model fits its layout, and which execution strategy is right for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from horizon_widget.errors import ModelError
from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.edits import Edits
from horizon_widget.models.hooks import has_user_hooks
from horizon_widget.models.plain import plain_logits
from horizon_widget.models.readout import Readout
from horizon_widget.models.site_check import check_site
from horizon_widget.models.sites import Site
from horizon_widget.models.strategies import FULL, SUFFIX, run

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel

logger = logging.getLogger(__name__)

# Largest difference between two computations of the same logits, relative to their spread. A larger one means that the
# architecture does something between its blocks that a strategy does not repeat.
AGREEMENT = {torch.float64: 1e-6, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 2e-1}
COPIES = 3
LAST = 16  # most positions that are compared; the logits of whole prompts are large


def strategy_for(model: LocalModel, clean: CleanRun, site: Site) -> str:
    """The fastest execution strategy that agrees with full forward passes. It is tried again for longer prompts.

    Raises:
        QueryError: the first time, if the site is not where its layout says.
    """
    columns = None if site.columns is None else tuple(site.columns.tolist())
    key = (site.name, columns)
    length, strategy = model.tried.get(key, (0, ""))
    if not strategy:
        check_site(model, clean, site)
    if clean.n_tokens > length:
        strategy = first_that_agrees(model, clean, site)
        logger.info("%s uses the execution strategy %s", model.name, strategy)
        model.tried[key] = (clean.n_tokens, strategy)
    return str(strategy)


def first_that_agrees(model: LocalModel, clean: CleanRun, site: Site) -> str:
    """The fastest execution strategy whose logits agree with those of full forward passes.

    Sources at two layers are overwritten half-way through the prompt, so masks, positions and the order of copies all
    matter. Predictions are compared up to the prompt's end, and again up to the token before.
    """
    if any(block._module._forward_pre_hooks for block in model.blocks):
        return FULL  # these hooks have run before a block's call is captured, and would run again with the block
    stops = [clean.n_tokens, clean.n_tokens - 1] if clean.n_tokens > 1 else [1]
    expected = [_logits(model, clean, site, stop, FULL) for stop in stops]
    for strategy in model.shortcuts:
        if strategy == SUFFIX and (not clean.cached or has_user_hooks(model.hf_model)):
            continue
        try:
            got = [_logits(model, clean, site, stop, strategy) for stop in stops]
        except Exception as error:  # an unknown architecture may raise anything when it is called in parts
            logger.info("%s cannot use %s: %s: %s", model.name, strategy, type(error).__name__, error)
            continue
        difference = max(map(difference_of, got, expected))
        if difference <= agreement(model.dtype):
            return strategy
        logger.info("%s with %s: logits differ by %.2g of their spread", model.name, strategy, difference)
    return FULL


def agreement(dtype: torch.dtype) -> float:
    """Largest difference allowed between two computations of the same values, relative to their spread."""
    return AGREEMENT.get(dtype, AGREEMENT[torch.bfloat16])


def _logits(model: LocalModel, clean: CleanRun, site: Site, stop: int, strategy: str) -> Tensor:
    """Logits of copies with overwritten states, at positions from the first overwritten one to ``stop - 1``."""
    first, layer = max(stop // 2, stop - LAST), model.n_layers // 2
    layers = (0, layer, layer)
    # A state of the prompt itself may equal a neighbour's, and would then hide a wrong mask.
    states = torch.stack([-clean.site_values[at].mean(dim=0) for at in layers])
    edits = Edits(layers, (first, min(first + 1, stop - 1), first), states)
    later = torch.arange(first, stop, device=model.device)
    copy = torch.arange(COPIES, device=model.device).repeat_interleave(len(later))

    def score(readout: Readout) -> Tensor:
        return readout.logits(copy, later.repeat(COPIES)).float()

    return run(model, clean, site, edits, score, strategy=strategy, stop=stop)


def check_alone(model: LocalModel, clean: CleanRun, readout: Readout) -> None:
    """Refuse a model with hooks that traces do not see. Compares with a forward pass of the transformers model itself.

    Raises:
        ModelError: if the predictions for the unchanged prompt differ.
    """
    if not model.may_hide_hooks:
        return
    everywhere = torch.arange(clean.n_tokens, device=model.device)
    got = model.inside_trace(clean, lambda: readout.logits(torch.zeros_like(everywhere), everywhere))
    if difference_of(got, plain_logits(model, clean.input_ids)[0]) > agreement(model.dtype):
        raise ModelError(
            f"{model.name} gives other predictions when it is traced: the trace does not see one of its hooks.",
            advice="Remove the hook. Hooks on single modules are traced, unless the model is spread over devices.",
        )


def difference_of(got: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the spread; infinite if values that are not finite differ.

    Logits of tokens that a model rules out are minus infinity in both.
    """
    expected = expected.to(got.device)
    finite = torch.isfinite(expected)
    if not torch.equal(got[~finite], expected[~finite]):
        return float("inf")
    difference = float((got - expected)[finite].abs().max() / expected[finite].std())
    return difference if difference == difference else float("inf")
