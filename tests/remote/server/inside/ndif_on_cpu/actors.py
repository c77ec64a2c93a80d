"""NDIF's controller and model actor, on a machine without a GPU.

NDIF itself is unchanged; it takes the names of these two classes from its environment. The classes make these changes:

- weights are loaded into the machine's memory, not to ``cuda:0``, and stay there;
- ``torch.cuda.synchronize``, called after each request, does nothing;
- ``trust_remote_code``, which ndif 0.1.2 passes to two functions of nnsight 0.8.1 that do not know it, is dropped.

Ray pickles an actor's class by value and its bases by reference. So each actor has a plain base class here: where the
actor runs, this module is imported for it, and makes the changes.
"""

from __future__ import annotations

from typing import Any

import ray
import torch
from ndif.services.ray.deployments.controller.controller import _ControllerActor
from ndif.services.ray.sandbox.model import SandboxModelDeployment
from nnsight.modeling.huggingface import HuggingFaceModel
from nnsight.modeling.mixins.remotable import Remotable


def _without_trust_remote_code(name: str) -> None:
    original = getattr(Remotable, name).__func__

    def call(cls: Any, /, *arguments: Any, trust_remote_code: bool = False, **named: Any) -> Any:
        return original(cls, *arguments, **named)

    setattr(Remotable, name, classmethod(call))


torch.cuda.synchronize = lambda *arguments, **named: None
for name in ("describe_checkpoint", "max_tp_size"):
    _without_trust_remote_code(name)


class ControllerOnCPU(_ControllerActor):
    """Places models as the original does."""


@ray.remote(num_cpus=1, num_gpus=0, max_restarts=-1, resources={"head": 1})
class Controller(ControllerOnCPU):
    """The actor."""


class ModelOnCPU(SandboxModelDeployment):
    """One model: trusted requests run in this process, others in a sandbox runner."""

    CACHEABLE = False

    def load_from_disk(self) -> HuggingFaceModel:
        """Load the weights; they are frozen, as on every host."""
        model = HuggingFaceModel.from_model_key(self.model_key, dispatch=True, dtype=self.dtype_name, **self.kwargs)
        model._module.requires_grad_(False)
        return model


@ray.remote(num_cpus=1, max_restarts=-1)
class HostedModel(ModelOnCPU):
    """The actor; ``processes`` finds it by this name."""
