"""A model as a host has it, for this package's code that was sent there."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import nnsight
import torch
from torch import Tensor

from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.layout import register_sent
from horizon_widget.models.local_model import LocalModel
from horizon_widget.models.sites import Site
from horizon_widget.models.strategies import THROUGH
from horizon_widget.models.writing import continuation, end_tokens

CONTINUE = f"{__name__}:continue_text"
SECONDS = 3.0  # of writing in one request


def hosted_model(traced: Any, request: dict[str, Any]) -> LocalModel:
    """The model that a host has, inside a session.

    Args:
        traced: The nnsight model, as the session has it.
        request: With its ``name``, as shown, and ``layout``: what is registered of its architecture, or none.
    """
    name = request["name"]
    if request["layout"] is not None:
        register_sent(str(traced._module.config.model_type), request["layout"])
    weightless = all(parameter.is_meta for parameter in traced._module.parameters())
    return (SandboxedModel if weightless else LocalModel)(traced, traced._module, name=name)


class SandboxedModel(LocalModel):
    """A model whose host runs our code in another process than its weights.

    All that is read of a forward pass is copied from one process to the other, and nothing that was copied has a graph.
    What is called between two traces of a session does not reach the model; and a trace that was stopped early spoils
    the next one (ndif 0.1.2), so that all passes go to their end.
    """

    shortcuts = (THROUGH,)
    may_cache = False

    def __init__(self, traced: Any, hf_model: Any, *, name: str) -> None:
        super().__init__(traced, hf_model, name=name)
        self.device = torch.device("cpu")  # until a first state has been seen

    def check_ready(self) -> None:
        """Nothing is here that could have been changed."""

    def capture(self, input_ids: Tensor, site: Site) -> CleanRun:
        """See ``LocalModel``; calls of blocks stay on the other side."""

        def read() -> tuple[list[Tensor], list[Tensor]]:
            states, values = [], []
            for layer, block in enumerate(self.blocks):
                states.append(block.input[0].clone())
                if site.place is not None:
                    output = self.inside_block(layer, site.place.module).output
                    values.append(site.read(output, input_ids.shape[1])[0])
            return [*states, self.traced_states()[0].clone()], values

        states, values = self._traced_values(input_ids, read, last=1)
        self.device, self.dtype = states[0].device, states[0].dtype
        return CleanRun(input_ids, states, (), False, values if site.place is not None else states[:-1])

    def inside_trace(self, clean: CleanRun, work: Callable[[], Tensor]) -> Tensor:
        """See ``LocalModel``."""
        result: Tensor = self._traced_values(clean.input_ids, work, last=1)
        return result

    def traced(self, input_ids: Tensor, work: Callable[[], Tensor], *, last: int = 0) -> Tensor:
        """See ``LocalModel``."""
        result: Tensor = self._traced_values(input_ids, work, last=last)
        return result

    def next_logits(self, unread: Sequence[int], cache: Any) -> Tensor:
        """See ``LocalModel``."""
        del cache
        input_ids = torch.tensor([list(unread)])
        logits: Tensor = self._traced_values(input_ids, self.traced_logits, last=1)
        return logits[0, -1]

    def _traced_values(self, input_ids: Tensor, work: Callable[[], Any], *, last: int) -> Any:
        """What ``work`` gives inside a trace. An error in it ends the trace first: else it arrives as a broken pipe."""
        failures: list[Exception] = []

        def caught() -> Any:
            try:
                return work()
            except Exception as error:
                failures.append(error)
                return None

        keep = {"logits_to_keep": last} if self.keeps_some_logits else {}
        with torch.no_grad():
            with self._traced.trace(input_ids, use_cache=False, **keep):
                result = nnsight.save(caught())
        if failures:
            raise failures[0]
        return result


def continue_text(traced: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Let the model go on with a text for some seconds.

    Args:
        traced: The nnsight model, inside a session.
        request: ``{name, layout, token_ids, n_tokens}``.

    Returns:
        ``{tokens, ended}``: the new ones, and whether the text or the context is at its end.
    """
    began, tokens = time.perf_counter(), []
    model = hosted_model(traced, request)
    length = model.context_length
    for token in itertools.islice(continuation(model, request["token_ids"]), request["n_tokens"]):
        tokens.append(token)
        full = length is not None and len(request["token_ids"]) + len(tokens) >= length
        if time.perf_counter() - began > SECONDS and not full and token not in end_tokens(model):
            return {"tokens": tokens, "ended": False}
    return {"tokens": tokens, "ended": True}
