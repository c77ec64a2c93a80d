"""What a host allows with one model, found out once by a small request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from horizon_widget.models.model import Model
from horizon_widget.remote.host import Host

# Some spaces, digits, accents and scripts: a tokenizer that differs is unlikely to read all of them alike.
TEXTS = (
    "The keys to the cabinet are on the table.",
    "def f(x):\n    return x ** 2  # 1234567",
    "Ünïcode — 你好, мир! 🙂\n\n\tA  B",
)


@dataclass(frozen=True)
class Capabilities:
    """What a host allows with one model.

    Attributes:
        sandboxed: Whether our code runs apart from the weights: no gradients there, and full forward passes only.
        gradients: Whether they work.
        dtype: Name of the weights' torch dtype there.
        device: Kind of device there.
        versions: Of Python, torch, transformers and nnsight there.
    """

    sandboxed: bool
    gradients: bool
    dtype: str
    device: str
    versions: dict[str, str]

    @property
    def not_offered(self) -> dict[str, str]:
        """What cannot be asked, and why: estimates by the name of their method, and aspects of a cell."""
        refused: dict[str, str] = {}
        if not self.gradients:
            reason = (
                "This host runs our code in a sandbox, apart from the weights, where gradients do not work."
                if self.sandboxed
                else "Gradients do not work on this host."
            )
            refused |= dict.fromkeys(("gradient", "energy"), reason)
        if self.sandboxed:
            refused["verification"] = (
                "This host runs our code in a sandbox, where no pass of the model itself, without nnsight, can be made."
            )
        return refused


def read_capabilities(model: Model, found: dict[str, Any], host: Host) -> Capabilities:
    """What a probe found, checked against what is known here of the same model.

    Raises:
        HostError: if the model or the tokenizer there is another one.
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
        raise host.fault("another model", "; ".join(differences))
    return Capabilities(
        sandboxed=found["sandboxed"],
        gradients=found["gradients"] is None,
        dtype=found["dtype"],
        device=found["device"],
        versions=found["versions"],
    )
