"""A forward pass of the transformers model itself, without a trace or a cache."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from horizon_widget.models.edits import Edits
from horizon_widget.models.layout import part_of
from horizon_widget.models.sites import Site

if TYPE_CHECKING:
    from horizon_widget.models.local_model import LocalModel


def plain_logits(model: LocalModel, input_ids: Tensor, site: Site | None = None, edits: Edits | None = None) -> Tensor:
    """Logits of one whole forward pass, with states overwritten by one hook; on the model thread.

    Args:
        model: The model that is run.
        input_ids: The prompt's token ids, shape ``(1, T)``.
        site: Where states are overwritten.
        edits: The states to overwrite, all at one layer; ``None`` for the unchanged prompt.

    Returns:
        Logits of shape ``(1, T, vocab_size)``.
    """
    hooked: AbstractContextManager[Any] = nullcontext()
    if site is not None and edits is not None:
        hooked = _hook(model, input_ids.shape[1], site, edits)
    with hooked, torch.no_grad():
        logits: Tensor = model.hf_model(input_ids, use_cache=False).logits
    return logits


def _hook(model: LocalModel, length: int, site: Site, edits: Edits) -> Any:
    block = part_of(model.hf_model, model.layout.blocks)[edits.first_layer]
    here = edits.at(edits.first_layer)
    assert here is not None
    if site.place is not None:
        module = block.get_submodule(site.place.module)
        return module.register_forward_hook(lambda _module, _args, output: site.write(output, here, 0, length))

    def overwrite(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        states = (args[0] if args else kwargs["hidden_states"]).clone()
        states[here.copy.to(states.device), here.position.to(states.device)] = here.states.to(states)
        return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": states})

    return block.register_forward_pre_hook(overwrite, with_kwargs=True)
