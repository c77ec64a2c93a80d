"""The capabilities of a host with one model, found by a small request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from horizon_widget.models.model import Model
from horizon_widget.question.facts import METHODS
from horizon_widget.remote.faults import Fault, Faults

# Spaces, digits, accents and scripts: another tokenizer is unlikely to read all of them in the same way.
TEXTS = (
    "The keys to the cabinet are on the table.",
    "def f(x):\n    return x ** 2  # 1234567",
    "Ünïcode — 你好, мир! 🙂\n\n\tA  B",
)


@dataclass(frozen=True)
class Capabilities:
    """The capabilities of a host with one model.

    Attributes:
        sandboxed: Whether this package's code runs apart from the weights: without gradients, and in full forward
            passes only.
        gradients: Whether gradients work.
        dtype: Name of the weights' torch dtype on the host.
        device: Type of device on the host.
        versions: Of Python, torch, transformers and nnsight on the host.
    """

    sandboxed: bool
    gradients: bool
    dtype: str
    device: str
    versions: dict[str, str]

    @property
    def not_offered(self) -> dict[str, str]:
        """The reasons for what is not allowed, by the name of a method or an aspect of a cell."""
        refused: dict[str, str] = {}
        if not self.gradients:
            reason = (
                "This host runs our code in a sandbox, apart from the weights, where gradients do not work."
                if self.sandboxed
                else "Gradients do not work on this host."
            )
            refused |= dict.fromkeys((name for name, facts in METHODS.items() if facts.by_gradient), reason)
        if self.sandboxed:
            refused["verification"] = (
                "This host runs our code in a sandbox, where the model cannot run without nnsight."
            )
        return refused


def read_capabilities(found: dict[str, Any], model: Model, faults: Faults) -> Capabilities:
    """Read the result of a probe, and compare the host's model with the model loaded here.

    Args:
        found: See ``on_host.tasks.probe``.
        model: With the configuration and tokenizer that were loaded here.
        faults: Makes the error.

    Raises:
        HostError: if the model or the tokenizer on the host is another one.
    """
    differences = [
        f"{what}: {there} there, {here} here"
        for what, there, here in (
            ("layers", found["n_layers"], model.n_layers),
            ("vocabulary", found["vocab_size"], model.vocab_size),
        )
        if there != here
    ]
    here = [list(model.tokenizer(text)["input_ids"]) for text in TEXTS]
    if here != found["tokens"]:
        text = next(text for text, ours, theirs in zip(TEXTS, here, found["tokens"], strict=True) if ours != theirs)
        differences.append(f"the tokenizers read {text!r} differently")
    if differences:
        raise faults.of(Fault.OTHER_MODEL, "; ".join(differences))
    return Capabilities(
        sandboxed=found["sandboxed"],
        gradients=found["gradients"] is None,
        dtype=found["dtype"],
        device=found["device"],
        versions=found["versions"],
    )
