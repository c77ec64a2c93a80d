"""Load a model: the demo model, a Hub id, a local folder, or one already in memory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from horizon_widget.compute.executor import LocalExecutor
from horizon_widget.errors import ModelError
from horizon_widget.models.loading import (
    auto_class,
    copy_of,
    first_line,
    read_config,
    read_tokenizer,
    refuse_encoders,
    refuse_own_code,
)
from horizon_widget.models.local_model import LocalModel
from horizon_widget.models.model import Model
from horizon_widget.models.shadow import has_lost_forward, shadow_of


def load_model(
    model: Any = "demo",
    *,
    tokenizer: Any = None,
    dtype: Any = None,
    device: Any = None,
    revision: str | None = None,
    remote: bool = False,
) -> Model:
    """Load a decoder-only language model, or name one that an NDIF host has.

    Args:
        model: ``"demo"`` (SmolLM2-135M-Instruct, fetched once, then offline); a Hub id; a local folder; or a model in
            memory, from transformers or nnsight.
        tokenizer: The tokenizer; by default the model's own. A transformers model in memory needs one. A copy is used:
            make later changes, such as to the chat template, in ``model.tokenizer``.
        dtype: A torch dtype or its name; by default float32 on a CPU, the checkpoint's own on a GPU.
        device: A torch device; by default the first GPU if there is one, else the CPU. A model in memory stays where it
            is.
        revision: The revision of a Hub id.
        remote: Whether the weights stay on an NDIF host (``NDIF_HOST``, by default the public one; the key is
            ``NDIF_API_KEY``). Only the configuration and the tokenizer are loaded, and the host decides on dtype and
            device.

    Returns:
        The model, ready for ``attribute`` and ``HorizonWidget``.

    Raises:
        ModelError: if the model cannot be found, read or used.
        HostError: if the model is remote and the host cannot be reached or refuses the key. The first request shows
            whether the host has the model.
    """
    if remote:
        return _name_remote(model, tokenizer, dtype, device, revision)
    if isinstance(model, (str, Path)):
        return _load_named(str(model), tokenizer, dtype, device, revision)
    if not (dtype is device is revision is None):
        raise ModelError("dtype, device and revision are only for models loaded by name.", advice="Leave them out.")
    traced_module = getattr(model, "_module", None)  # an nnsight model wraps the transformers model
    if traced_module is not None:
        if not getattr(model, "dispatched", True):
            model.dispatch()  # loads the weights
            traced_module = model._module
        tokenizer = tokenizer if tokenizer is not None else getattr(model, "tokenizer", None)
        model = traced_module
    return _wrap(model, copy_of(tokenizer))


def _load_named(name: str, tokenizer: Any, dtype: Any, device: Any, revision: str | None) -> Model:
    import torch

    shown, source = name, name
    if name == "demo":
        from horizon_widget.models.demo import DEMO_MODEL_NAME, demo_model_folder

        shown, source = DEMO_MODEL_NAME, str(demo_model_folder())
    elif Path(name).expanduser().is_dir():
        source = str(Path(name).expanduser())
        shown = Path(source).resolve().name
    try:
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ModelError(f"device: {device!r} is not known to torch.", advice='Try "cpu" or "cuda".') from error
    if dtype is None:
        dtype = torch.float32 if device.type == "cpu" else "auto"
    config = read_config(source, revision, name)
    try:
        hf_model = auto_class(config, shown).from_pretrained(
            source, revision=revision, dtype=dtype, trust_remote_code=False
        )
        tokenizer = read_tokenizer(tokenizer, source, revision)
    except ModelError:
        raise
    except Exception as error:
        refuse_own_code(error, shown)
        raise ModelError(f"model: {name!r} cannot be loaded ({first_line(error)}).") from error
    return _wrap(hf_model.to(device), tokenizer, name=shown, loaded_as=name)


def _name_remote(model: Any, tokenizer: Any, dtype: Any, device: Any, revision: str | None) -> Model:
    from horizon_widget.remote.load import load_remote

    if not isinstance(model, (str, Path)):
        raise ModelError(
            f"model: a {type(model).__name__} is in this process, and remote=True is for models on a host.",
            advice="Pass a Hub id, or leave remote out.",
        )
    if not (dtype is device is None):
        raise ModelError("The host decides on dtype and device of a remote model.", advice="Leave them out.")
    return load_remote(str(model), tokenizer=tokenizer, revision=revision)


def _wrap(hf_model: Any, tokenizer: Any, *, name: str | None = None, loaded_as: str | None = None) -> Model:
    from nnsight import TransformersModel
    from transformers import PreTrainedModel

    hf_model = _without_peft(getattr(hf_model, "_orig_mod", hf_model))  # torch.compile wraps a model
    if type(hf_model).__module__.partition(".")[0] == "transformer_lens":
        raise ModelError(
            f"model: a {type(hf_model).__name__} is a model of TransformerLens.",
            advice="Pass the transformers model inside it (its original_model) and its tokenizer.",
        )
    if not isinstance(hf_model, PreTrainedModel):
        raise ModelError(
            f"model: a {type(hf_model).__name__} is not a language model.",
            advice='Pass "demo", a Hub id, a folder, or a transformers or nnsight model.',
        )
    name = name or _name_of(hf_model)
    refuse_encoders(hf_model.config, name)
    if not hf_model.can_generate():
        raise ModelError(
            f"model: {name} ({type(hf_model).__name__}) cannot generate text: it has no unembedding.",
            advice="Load it with transformers.AutoModelForCausalLM.",
        )
    if tokenizer is None:
        raise ModelError("tokenizer: a model in memory needs its tokenizer.", advice="Pass tokenizer=… with it.")
    if hf_model.training:
        raise ModelError(f"{name} is in training mode, so dropout may change its output.", advice="Call model.eval().")

    def trace() -> Any:
        # nnsight would move the model to a GPU, except one that accelerate has spread over devices.
        place = {} if getattr(hf_model, "hf_device_map", None) else {"device": hf_model.device}
        for path, module in hf_model.named_modules():
            if hasattr(module, "_orig_mod"):
                raise ModelError(
                    f"{name} has a compiled part, {path}, whose inside cannot be traced.",
                    advice="Load the model before its parts are compiled, or compile the model as a whole.",
                )
            if has_lost_forward(module):
                raise ModelError(
                    f"{name} has a hook of accelerate and a forward of its own on {path}, and only one can be traced.",
                    advice="Remove one of them.",
                )
        shadow = shadow_of(hf_model) or hf_model
        return TransformersModel(shadow, tokenizer=tokenizer, task="text-generation", **place)

    try:
        traced = trace()
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{name} ({type(hf_model).__name__}) cannot be traced by nnsight ({first_line(error)}).",
            advice="It must be a transformers model that can generate text, with a tokenizer of transformers.",
        ) from error
    return LocalModel(traced, hf_model, name=name, loaded_as=loaded_as, trace=trace, executor=LocalExecutor)


def _without_peft(model: Any) -> Any:
    """The transformers model inside a PEFT model. Its modules include the layers of adapters.

    Raises:
        ModelError: if an adapter changes more than modules.
    """
    peft = sys.modules.get("peft")  # a user with a PEFT model has imported it
    if peft is None or not isinstance(model, (peft.PeftModel, peft.PeftMixedModel)):
        return model
    for config in model.peft_config.values():
        if config.is_prompt_learning:
            raise ModelError(
                f"model: {config.peft_type.value} puts tokens of its own before the prompt.",
                advice="Adapters that change layers, such as LoRA, work.",
            )
    return model.base_model.model


def _name_of(hf_model: Any) -> str:
    path = getattr(hf_model, "name_or_path", "") or getattr(hf_model.config, "_name_or_path", "")
    return Path(path).name if path and Path(path).is_dir() else (path or type(hf_model).__name__)
