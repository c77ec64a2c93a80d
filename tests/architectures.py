"""Small random models of every architecture that transformers knows, shrunk from its default configuration."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

LAYERS = 4
EVERY_TYPE = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

# The small value of each whole number in a configuration, by its name; the first pattern that fits counts.
# Numbers that fit none keep their default.
SIZES = {
    r"vocab_size(_per_layer_input)?": 256,
    r"((num|n|decoder|encoder)_)?(hidden_|decoder_|encoder_)?layers?|num_blocks": LAYERS,
    r"(attention_|backbone_)?hidden_size|d_model|n_embd|emb_dim|embedding_(size|dim)|word_embed_proj_dim|lru_width"
    r"|(input|output)_embedding_size|mamba_d_ssm": 32,
    r"(num_key_value|num_kv|num_query)_(heads|groups)|swa_num_key_value_heads": 2,
    r"(\w+_)?(attention_heads|num_heads|n_heads?)|num_attention_heads_per_layer|linear_num_(key|value)_heads": 4,
    r"(swa_|v_|global_|attention_|index_|linear_|mamba_)?(head_dim|dim_head|d_head|head_size|headdim|kv_channels)"
    r"|qk_(rope|nope)_head_dim|linear_(key|value)_head_dim|query_pre_attn_scalar": 8,
    r"\w*intermediate_size(_mlp)?|\w*ffn_dim|\w*ffn_hidden_size|n_inner|d_inner|dff|dim_ff|feed_forward_size": 48,
    r"(moe_)?num_(local_)?experts|n_routed_experts|moe_num_experts": 8,
    r"num_experts_per_tok(en)?|moe_top_?k|moe_k|topk_group|n_groups?|num_expert_group": 2,
    r"\w*(lora|laurel|adapter|gated_norm)_?(rank|lowrank)|hc_lowrank|\w*time_step_rank|mamba_dt_rank|d_rel": 8,
    r"(ssm_)?state_size|mamba_d_state|hidden_size_per_layer_input|router_hidden_size|ple_embed_dim|rotary_dim": 8,
    r"(mamba_)?chunk_size|attention_chunk_size|sliding_window(_size)?|\w*window_size|local_attention|index_topk": 6,
    r"(original_)?max_position_embeddings|n_positions|n_ctx|max_seq_len|context_length|model_max_length": 64,
}
DERIVED = ("head_dim", "num_key_value_heads")  # where they are None, not every architecture derives them
INITIAL = {"initializer_range": 0.3, "init_std": 0.3, "initializer_std": 0.3}
IDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}


# What the rules above do not see: sizes that must agree with each other, and defaults that transformers cannot build.
GRANITE = {"logits_scaling": 1.05, "residual_multiplier": 0.7, "embedding_multiplier": 2.0}
MAMBA = {"mamba_d_head": 16}
NEEDS_PAD = {"pad_token_id": 0}
EXCEPTIONS: dict[str, dict[str, Any]] = {
    "bamba": MAMBA,
    # these attend nearly evenly with weights as small as the others'
    "bloom": {"initializer_range": 0.4},
    "camembert": NEEDS_PAD,
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "sliding_window": 6,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 10000.0} for kind in ("sliding_attention", "full_attention")
        },
    },
    "data2vec-text": NEEDS_PAD,
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1},
    "emu3_text_model": NEEDS_PAD,
    "falcon_h1": {"lm_head_multiplier": 0.5, "ssm_out_multiplier": 0.7, "attention_out_multiplier": 0.7},
    "falcon": {"initializer_range": 0.4, "num_kv_heads": None, "ffn_hidden_size": None},
    "gemma2": {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 5.0},
    "gemma3n_text": {"num_kv_shared_layers": 2},
    "gemma4_text": {"global_head_dim": 16, **NEEDS_PAD},
    "gemma4_unified_text": {"global_head_dim": 16, **NEEDS_PAD},
    **dict.fromkeys(("granite", "granite_swa", "granitemoe", "granitemoe_swa", "granitemoeshared"), GRANITE),
    "granitemoehybrid": {**MAMBA, **GRANITE},
    "hrm_text": {"num_hidden_layers": 2, "num_layers_per_stack": None},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1},
    "llama4_text": {"floor_scale": 4, "attn_scale": 0.3},
    "mamba": {"time_step_rank": 2, "intermediate_size": 64},
    "mamba2": {"head_dim": 16},
    "mllama_text_model": {"cross_attention_layers": [1]},
    "modernbert-decoder": NEEDS_PAD,
    "prophetnet": NEEDS_PAD,
    "qwen4_exp_text": {
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 8,
        "indexer_compress_ratio": 2,
        "ngram_vocab_size_base": 50,
        "split_ngram_parts": 1,
    },
    "reformer": {"is_decoder": True, "axial_pos_shape": [8, 8], "axial_pos_embds_dim": [8, 24]},
    "roberta": NEEDS_PAD,
    "roberta-prelayernorm": NEEDS_PAD,
    "xlm": {"pad_index": 2},
    "xlm-roberta": NEEDS_PAD,
    "xlm-roberta-xl": NEEDS_PAD,
    "xmod": {"default_language": "en_XX", **NEEDS_PAD},
    "zamba": {"attention_hidden_size": 64, "attention_head_dim": 16},
    "zamba2": {"attention_hidden_size": 64, "attention_head_dim": 16},
    "zaya": {"num_experts_per_tok": 1},
}


def _small_number(name: str) -> int | None:
    return next((small for pattern, small in SIZES.items() if re.fullmatch(pattern, name)), None)


def shrunk(config: Any) -> dict[str, Any]:
    """Settings of a small configuration of the same kind: what differs from the default one."""
    default_layers = getattr(config, "num_hidden_layers", 0)
    small: dict[str, Any] = {}
    sub_configs = getattr(config, "sub_configs", {})
    for name, value in config.to_dict().items():
        number = _small_number(name)
        if name in sub_configs:
            small[name] = shrunk(getattr(config, name)) if value else value
        elif name in IDS:
            small[name] = IDS[name]
        elif name in INITIAL:
            small[name] = INITIAL[name]
        elif isinstance(value, list) and len(value) == default_layers and value:
            # each kind of layer in turn, so that no kind is only at one end
            kinds = list(dict.fromkeys(value))
            small[name] = [kinds[layer % len(kinds)] if number is None else number for layer in range(LAYERS)]
        elif number is not None and (type(value) is int or name in DERIVED):
            small[name] = number
    if "kv_lora_rank" in small:  # its heads have no keys and values of their own to share
        small["num_key_value_heads"] = small["num_attention_heads"]
        small["head_dim"] = small["qk_rope_head_dim"]
    return {**small, **EXCEPTIONS.get(config.model_type, {})}


def small_config(model_type: str, **settings: Any) -> Any:
    """A small configuration of an architecture, with some settings of its own."""
    kind = CONFIG_MAPPING[model_type]
    return kind(**{**shrunk(kind()), **settings})


def small_model(name: str, attention: str | None = None, seed: int = 0, **settings: Any) -> Any:
    """A model in eval mode, float32; the same for the same seed, whatever the attention.

    Args:
        name: One of ``EVERY_TYPE`` or of ``VARIANTS``.
        attention: The implementation of attention, where the architecture has several; by default transformers' choice.
        seed: Seeds the weights.
        settings: What differs from the small configuration.
    """
    model_type, variant = VARIANTS.get(name, (name, {}))
    config = small_config(model_type, **{**variant, **settings})
    torch.manual_seed(seed)
    chosen = None if model_type in ONE_ATTENTION else attention
    hf_model = AutoModelForCausalLM.from_config(config, attn_implementation=chosen).eval()
    with torch.no_grad():  # norms that start as ones and biases that start as zeros would hide what forgets them
        for parameter in hf_model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return hf_model


ONE_ATTENTION = ("gemma2", "bloom", "mamba")  # sdpa knows no soft cap
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    # as the one published model with a projection: norms come last, and there is no final one
    "opt, projected": ("opt", {"word_embed_proj_dim": 16, "do_layer_norm_before": False}),
    "falcon, new decoder": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    # as falcon-rw; eager attention adds the bias twice in transformers 5.22, so the two ways differ by far
    "falcon, alibi": ("falcon", {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True}),
    "gemma3_text, both ways": ("gemma3_text", {"use_bidirectional_attention": True}),
    "llama, yarn": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 16,
            }
        },
    ),
}
# those that many tests repeat
ARCHITECTURES: dict[str, Callable[..., Any]] = {
    name: partial(small_model, name)
    for name in (
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
        "gemma",
        "gemma2",
        "gemma3_text",
        "olmo",
        "olmo2",
        "phi3",
        "gpt2",
        "gpt_neox",
        "opt",
        "opt, projected",
        "falcon",
        "falcon, new decoder",
        "falcon, alibi",
        "bloom",
        "mamba",
    )
}
