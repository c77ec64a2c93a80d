"""What local and remote models share when they are loaded."""

from __future__ import annotations

import copy
from typing import Any

from horizon_widget.errors import ModelError


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


def refuse_encoders(config: Any, name: str) -> None:
    """Refuse a model that does not predict each token from those before it.

    Raises:
        ModelError: if the configuration is of an encoder, or of an encoder and a decoder.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = getattr(config, "model_type", "")
    # An architecture that transformers does not know may be a decoder.
    known_as_other = kind in CONFIG_MAPPING_NAMES and kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    encoder = getattr(config, "is_encoder_decoder", False) or known_as_other
    reads_both_ways = getattr(config, "is_decoder", None) is False and kind in (
        "bert",
        "roberta",
        "electra",
        "camembert",
    )
    if encoder or reads_both_ways:
        raise ModelError(
            f"model: {name} ({kind or 'unknown type'}) is not a decoder-only language model: it does not predict each "
            "token from those before it.",
            advice="Choose a causal language model, such as GPT-2, Llama or Qwen.",
        )


def first_line(error: BaseException) -> str:
    """The kind and the first line of an error of a library."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")[:300]
