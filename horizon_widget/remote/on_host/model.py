"""The model as a host has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import nnsight
import torch
from torch import Tensor

from horizon_widget.models.clean_run import CleanRun
from horizon_widget.models.layout import Layout, layout_from
from horizon_widget.models.local_model import LocalModel
from horizon_widget.models.sites import Site
from horizon_widget.models.strategies import THROUGH


def hosted_model(traced: Any, request: dict[str, Any]) -> LocalModel:
    """The model that a host has, inside a session.

    Args:
        traced: The nnsight model, as the session has it.
        request: With its ``name``, as shown, and ``layout``: where its parts are.
    """
    name, layout = request["name"], layout_from(request["layout"])
    weightless = all(parameter.is_meta for parameter in traced._module.parameters())
    return (SandboxedModel if weightless else LocalModel)(traced, traced._module, name=name, layout=layout)


class SandboxedModel(LocalModel):
    """A model whose host runs our code in another process than its weights.

    Everything that is read of a forward pass is copied from one process to the other, and nothing that was copied has a
    graph. A call between two traces of a session does not reach the model. A trace that is stopped early spoils the
    next one (ndif 0.1.2), so all passes run to their end.
    """

    shortcuts = (THROUGH,)
    may_cache = False

    def __init__(self, traced: Any, hf_model: Any, *, name: str, layout: Layout) -> None:
        super().__init__(traced, hf_model, name=name, layout=layout)
        self.device = torch.device("cpu")  # until a first state has been seen

    def check_ready(self) -> None:
        """See ``Model``: nothing in this process could have been changed."""

    def capture(self, input_ids: Tensor, site: Site) -> CleanRun:
        """See ``LocalModel``; the calls of blocks stay in the other process."""

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
        """The result of ``work`` inside a trace.

        Its errors are raised after the trace: from inside, they would arrive as a broken pipe.
        """
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
