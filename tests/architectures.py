"""Tiny random models, one of each architecture the package knows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

LAYERS = 4
COMMON = {"vocab_size": 256, "hidden_size": 32, "num_hidden_layers": LAYERS, "initializer_range": 0.3}
IDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
HEADS = {"num_attention_heads": 4}
GROUPED = {**HEADS, "num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64}
# both kinds of layer, with a different kind at each end
ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
GEMMA = {**GROUPED, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 6, "layer_types": ALTERNATING}
NEOX = {**HEADS, "intermediate_size": 48, "max_position_embeddings": 64}
# with weights as small as the others' these attend nearly evenly
LARGER = {"initializer_range": 0.4}
OPT = {**HEADS, **LARGER, "ffn_dim": 48, "max_position_embeddings": 64}
FALCON = {**HEADS, **LARGER, "max_position_embeddings": 64}


def _built(config_name: str, settings: dict[str, Any], attention: str = "sdpa", seed: int = 0) -> Any:
    """A model in eval mode, float32; the same for the same seed, whatever the attention."""
    config = getattr(transformers, config_name)(**{**COMMON, **IDS, **settings})
    torch.manual_seed(seed)
    hf_model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():  # Norms of ones and biases of zeros would hide code that forgets them.
        for parameter in hf_model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return hf_model


def _of(config_name: str, **settings: Any) -> Callable[..., Any]:
    return partial(_built, config_name, settings)


def _only_eager(config_name: str, **settings: Any) -> Callable[..., Any]:
    """Models with a single attention implementation, or none; a requested one is ignored."""

    def built(attention: str = "eager", seed: int = 0) -> Any:
        return _built(config_name, settings, "eager", seed)

    return built


ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "llama": _of("LlamaConfig", **GROUPED),
    "mistral": _of("MistralConfig", **GROUPED, head_dim=8, sliding_window=6),
    "qwen2": _of("Qwen2Config", **GROUPED),
    "qwen3": _of("Qwen3Config", **GROUPED, head_dim=8),
    "gemma": _of("GemmaConfig", **GROUPED, head_dim=8),
    # transformers refuses sdpa, which has no soft cap
    "gemma2": _only_eager("Gemma2Config", **GEMMA, attn_logit_softcapping=5.0, final_logit_softcapping=5.0),
    "gemma3_text": _of("Gemma3TextConfig", **GEMMA),
    "olmo": _of("OlmoConfig", **GROUPED),
    "olmo2": _of("Olmo2Config", **GROUPED),
    "phi3": _of("Phi3Config", **GROUPED, original_max_position_embeddings=64),
    "gpt2": _of("GPT2Config", **HEADS, n_positions=64),
    "gpt_neox": _of("GPTNeoXConfig", **NEOX),
    "opt": _of("OPTConfig", **OPT, word_embed_proj_dim=32),
    # as the one published model with a projection: norms come last, and there is no final norm
    "opt, projected": _of("OPTConfig", **OPT, word_embed_proj_dim=16, do_layer_norm_before=False),
    "falcon": _of("FalconConfig", **FALCON, multi_query=True),
    "falcon, new decoder": _of("FalconConfig", **FALCON, new_decoder_architecture=True, num_kv_heads=2),
    # as falcon-rw; eager attention adds the bias twice in transformers 5.22, so the two implementations differ by far
    "falcon, alibi": _of("FalconConfig", **FALCON, alibi=True, multi_query=False, parallel_attn=False, bias=True),
    "bloom": _only_eager("BloomConfig", **LARGER, n_head=4),
    "mamba": _only_eager("MambaConfig", state_size=8),
}
