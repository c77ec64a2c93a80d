"""What local and remote models share when they are loaded."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from horizon_widget.errors import ModelError

CHOOSE = "Choose a causal language model, such as GPT-2, Llama or Qwen."
ENCODERS = ("bert", "camembert", "electra", "roberta")


def copy_of(tokenizer: Any) -> Any:
    """A copy of a user's tokenizer, since nnsight sets its padding and each call sets its truncation.

    Raises:
        ModelError: if it cannot be copied.
    """
    # A backend that has a part in Python cannot be copied, so it is shared.
    backend = getattr(tokenizer, "backend_tokenizer", None)
    try:
        try:
            return copy.deepcopy(tokenizer)
        except Exception:
            return copy.deepcopy(tokenizer, {id(backend): backend})
    except Exception as error:
        raise ModelError(
            f"tokenizer: a {type(tokenizer).__name__} cannot be copied ({first_line(error)}).",
            advice="Pass a tokenizer of transformers.",
        ) from error


def read_config(source: str, revision: str | None, name: str) -> Any:
    """The configuration of a model by name.

    Raises:
        ModelError: if there is none, or if it is not that of a causal language model.
    """
    from transformers import AutoConfig

    refuse_adapters(source, name)
    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=False)  # None: asks on stdin
    except Exception as error:
        refuse_own_code(error, name)
        raise ModelError(
            f"model: {name!r} is neither a local folder with a model nor a Hub id that can be reached now "
            f"({first_line(error)}).",
            advice="Check the name, the network, and for a gated model that you are logged in to the Hub. "
            '"demo" works offline once it was fetched.',
        ) from error
    refuse_encoders(config, name)
    return config


def read_tokenizer(tokenizer: Any, source: str, revision: str | None) -> Any:
    """A copy of the user's tokenizer, or the model's own."""
    from transformers import AutoTokenizer

    if tokenizer is not None:
        return copy_of(tokenizer)
    return AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)


def refuse_encoders(config: Any, name: str) -> None:
    """Refuse a model whose configuration says that it does not predict each token from those before it.

    Raises:
        ModelError: if it is an encoder, or an encoder and a decoder.
    """
    kind = getattr(config, "model_type", "")
    reads_both_ways = getattr(config, "is_decoder", None) is False and kind in ENCODERS
    if getattr(config, "is_encoder_decoder", False) or reads_both_ways:
        raise ModelError(
            f"model: {name} ({kind or 'unknown type'}) is not a decoder-only language model: it does not predict each "
            "token from those before it.",
            advice=CHOOSE,
        )


def refuse_adapters(source: str, name: str) -> None:
    """Refuse a folder that holds an adapter and no model.

    Raises:
        ModelError: saying how to load it.
    """
    folder = Path(source)
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ModelError(
            f"model: the folder {name!r} holds an adapter without its model.",
            advice="Load both with peft.AutoPeftModelForCausalLM, and pass that model and its tokenizer.",
        )


def refuse_own_code(error: Exception, name: str) -> None:
    """Say what to do where a model does not load because it brings code of its own.

    Raises:
        ModelError: if that is the reason for the error.
    """
    if "trust_remote_code" in str(error):
        raise ModelError(
            f"model: {name!r} brings code of its own, which is not run here.",
            advice="If you trust it, load it with transformers (trust_remote_code=True), and pass the model and its "
            "tokenizer.",
        ) from error


def auto_class(config: Any, name: str) -> Any:
    """The class of transformers that loads a model: a causal language model, alone or with other inputs beside text.

    Raises:
        ModelError: if transformers knows the architecture as something else.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto import configuration_auto, modeling_auto

    kind = getattr(config, "model_type", "")
    if kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or kind not in configuration_auto.CONFIG_MAPPING_NAMES:
        return AutoModelForCausalLM  # it may be an architecture with code of its own
    if kind in modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return AutoModelForImageTextToText
    raise ModelError(f"model: {name} ({kind}) is not a decoder-only language model.", advice=CHOOSE)


def first_line(error: BaseException) -> str:
    """The kind and the first line of an error of a library."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")[:300]
