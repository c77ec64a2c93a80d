"""Independent references: plain transformers models and hooks, without the package's own engine.

Element ``j`` of a metric scores the logits at position ``j``, which predict token ``j + 1``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

BLOCKS = ("model.layers", "model.decoder.layers", "transformer.h", "gpt_neox.layers", "backbone.layers")
LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3", "gemma", "olmo", "phi3")
# the outputs of attention and of the MLP, which a block adds to the residual stream
ADDED = {
    **dict.fromkeys(LLAMA_LIKE, ("self_attn", "mlp")),
    **dict.fromkeys(("gemma2", "gemma3_text", "olmo2"), ("post_attention_layernorm", "post_feedforward_layernorm")),
    "gpt2": ("attn", "mlp"),
    "gpt_neox": ("attention", "mlp"),
    "opt": ("self_attn", "fc2"),
    "falcon": ("self_attention", "mlp"),
    # bloom's attention and MLP add the residual stream themselves, so the last linear map of each
    "bloom": ("self_attention.dense", "mlp.dense_4h_to_h"),
}
OF_NEXT_TOKEN = ("logprob", "logit", "centred_logit")


# -- modules and sites -----------------------------------------------------------------------------------------------


def blocks_of(hf_model: Any) -> Any:
    """The model's list of blocks."""
    for path in BLOCKS:
        try:
            return hf_model.get_submodule(path)
        except AttributeError:
            continue
    raise KeyError(type(hf_model).__name__)


def site_module(hf_model: Any, layer: int, site: str) -> tuple[Any, Callable[..., torch.Tensor]]:
    """The module whose output (residual: input) has the site, and a function from a head to its columns, (width,).

    The columns are those of the output flattened to (batch, T, everything); head ``None``: all heads, one by one.
    """
    block, config = blocks_of(hf_model)[layer], hf_model.config
    if site == "residual" or site in ("attention_output", "mlp_output"):
        path = "" if site == "residual" else ADDED[config.model_type][site == "mlp_output"]
        return block.get_submodule(path), lambda head=None: torch.arange(config.hidden_size)
    module, columns = _key_or_value(block, config, 0 if site == "key" else 1)
    return module, lambda head=None: columns.flatten() if head is None else columns[head]


def _key_or_value(block: Any, config: Any, which: int) -> tuple[Any, torch.Tensor]:
    """The module that outputs keys (0) or values (1), and the columns of each head there, (heads, d_head)."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kind = config.model_type
    if kind == "phi3":
        module = block.self_attn.qkv_proj
        parts = torch.arange(module.out_features)[heads * width :].chunk(2)
    elif kind == "gpt2":
        module = block.attn.c_attn
        parts = torch.arange(3 * config.hidden_size).chunk(3)[1:]
    elif kind == "gpt_neox":
        module = block.attention.query_key_value
        parts = torch.arange(module.out_features).view(heads, 3 * width).chunk(3, dim=-1)[1:]
    elif kind in ("falcon", "bloom"):
        # attention splits column numbers into heads, as it splits its values
        attention = block.self_attention
        module = attention.query_key_value
        split = attention._split_heads if kind == "falcon" else attention._reshape
        parts = split(torch.arange(module.out_features)[None, None])[1:]
        # a head that several queries share occurs once for each of them
        parts = [torch.unique_consecutive(part.reshape(-1, width), dim=0) for part in parts]
    else:
        attention = block.self_attn
        # keys after their norm, if there is one, and before the rotary embedding
        module = (getattr(attention, "k_norm", attention.k_proj), attention.v_proj)[which]
        every = torch.arange(attention.v_proj.out_features)
        parts = (every, every)
    return module, parts[which].reshape(-1, width)


# -- reading and overwriting -------------------------------------------------------------------------------------------


@contextmanager
def _at(hf_model: Any, layer: int, site: str, change: Callable[[torch.Tensor], Any]) -> Iterator[None]:
    """For the duration, ``change`` gets a copy of the output of the site's module, (batch, T, everything).

    Its result replaces the output; ``None`` leaves it.
    """
    module, _ = site_module(hf_model, layer, site)
    length = 0
    # gemma3's key norm puts heads before positions, qwen3's after
    heads_first = site == "key" and hf_model.config.model_type == "gemma3_text"

    def before_block(_module: Any, args: Any, kwargs: Any) -> Any:
        nonlocal length
        length = args[0].shape[1]
        changed = change(args[0].clone()) if site == "residual" else None
        return None if changed is None else ((changed, *args[1:]), kwargs)

    def after(_module: Any, _args: Any, output: Any) -> Any:
        tensor = output[0] if isinstance(output, tuple) else output
        by_position = tensor.transpose(1, 2) if heads_first else tensor
        if by_position.dim() == 2:  # opt's MLP takes all positions of all copies in one row
            by_position = by_position.unflatten(0, (-1, length))
        # cloned: falcon's block adds to the output of its MLP in place
        changed = change(by_position.flatten(2).clone())
        if changed is None:
            return None
        changed = changed.reshape(by_position.shape)
        changed = changed.transpose(1, 2) if heads_first else changed.reshape(tensor.shape)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handles = [blocks_of(hf_model)[layer].register_forward_pre_hook(before_block, with_kwargs=True)]
    if site != "residual":
        handles.append(module.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def overwrite(
    hf_model: Any, layer: int, site: str, source: int, replacement: torch.Tensor, head: int | None = None
) -> Iterator[None]:
    """For the duration, ``replacement`` (width,) is at one position of the site, in all copies in the batch."""
    columns = site_module(hf_model, layer, site)[1](head)
    if replacement.shape != columns.shape:
        raise ValueError(f"{tuple(replacement.shape)} to replace {tuple(columns.shape)}")

    def change(values: torch.Tensor) -> torch.Tensor:
        values[:, source, columns.to(values.device)] = replacement.to(values)
        return values

    with _at(hf_model, layer, site, change):
        yield


def site_values(hf_model: Any, ids: Sequence[int], layer: int, site: str = "residual") -> torch.Tensor:
    """The values of a site in a clean run, all key-value heads flattened head after head; (T, width)."""
    columns = site_module(hf_model, layer, site)[1]()
    seen: list[torch.Tensor] = []

    def note(values: torch.Tensor) -> None:
        seen.append(values[0][:, columns.to(values.device)])

    with _at(hf_model, layer, site, note):
        clean_logits_of(hf_model, ids)
    (values,) = seen
    return values


def entering_states(hf_model: Any, ids: Sequence[int]) -> list[torch.Tensor]:
    """The states that enter each block, each of shape (T, d_model)."""
    return [site_values(hf_model, ids, layer) for layer in range(len(blocks_of(hf_model)))]


def mean_state(hf_model: Any, ids: Sequence[int], layer: int, site: str = "residual") -> torch.Tensor:
    """Mean over positions 1 .. T-1 of the states that enter a block, or of another site; (width,)."""
    return site_values(hf_model, ids, layer, site)[1:].mean(dim=0)


# -- forward passes and their metrics ----------------------------------------------------------------------------------


def clean_logits_of(hf_model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Logits of one plain forward pass; (T, V)."""
    with torch.no_grad():
        return hf_model(torch.tensor([list(ids)], device=hf_model.device), use_cache=False).logits[0]


def logits_with(hf_model: Any, ids: Sequence[int], edits: Sequence[tuple[Any, ...]]) -> torch.Tensor:
    """Logits of a full forward pass with edits (layer, site, source, replacement, head), all at once; (T, V)."""
    with ExitStack() as stack:
        for layer, site, source, replacement, head in edits:
            stack.enter_context(overwrite(hf_model, layer, site, source, replacement, head))
        return clean_logits_of(hf_model, ids)


def _metric(
    logits: torch.Tensor, ids: Sequence[int], name: str, tokens: Sequence[int], clean_logits: torch.Tensor | None
) -> torch.Tensor:
    """As ``metric_values``, differentiable, in float64."""
    logits = logits.double()
    if name == "contrast":
        first, second = tokens
        return logits[:, first] - logits[:, second]
    possible = (logits > -torch.inf).all(dim=0)  # tokens that a model rules out add nothing
    log_p = torch.log_softmax(logits[:, possible], dim=-1)
    if name == "entropy":
        return -(log_p.exp() * log_p).sum(dim=-1)
    if name == "kl":
        assert clean_logits is not None
        clean_log_p = torch.log_softmax(clean_logits.double()[:, possible], dim=-1)
        return (clean_log_p.exp() * (clean_log_p - log_p)).sum(dim=-1)
    log_p = torch.log_softmax(logits, dim=-1)
    centred = logits - logits[:, possible].mean(dim=-1, keepdim=True)
    values = {"logprob": log_p, "logit": logits, "centred_logit": centred}[name]
    if tokens:
        (token,) = tokens
        return values[:, token]
    return values[torch.arange(len(ids) - 1), list(ids)[1:]]


def metric_values(
    logits: torch.Tensor,
    ids: Sequence[int],
    name: str = "logprob",
    tokens: Sequence[int] = (),
    clean_logits: torch.Tensor | None = None,
) -> np.ndarray:
    """The metric of logits (T, V); (T-1,) if it scores the actual next token, else (T,)."""
    return _metric(logits.detach(), ids, name, tokens, clean_logits).cpu().numpy()


def logprobs(hf_model: Any, ids: Sequence[int]) -> np.ndarray:
    """log p of each token given those before it, by one plain forward pass; shape (T-1,)."""
    return metric_values(clean_logits_of(hf_model, ids), ids)


def _influence(
    clean: torch.Tensor, ablated: torch.Tensor, ids: Sequence[int], metric: str, tokens: Sequence[int]
) -> np.ndarray:
    """Clean minus ablated; for kl, the divergence itself."""
    if metric == "kl":
        return metric_values(ablated, ids, "kl", clean_logits=clean)
    return metric_values(clean, ids, metric, tokens) - metric_values(ablated, ids, metric, tokens)


# -- the questions ---------------------------------------------------------------------------------------------------


def ablated_row(
    hf_model: Any,
    ids: Sequence[int],
    layer: int,
    source: int,
    replacement: torch.Tensor,
    *,
    site: str = "residual",
    head: int | None = None,
    metric: str = "logprob",
    tokens: Sequence[int] = (),
) -> np.ndarray:
    """Influence of one state on every prediction, by a full forward pass that overwrites it; (T-1,) or (T,)."""
    ablated = logits_with(hf_model, ids, [(layer, site, source, replacement, head)])
    return _influence(clean_logits_of(hf_model, ids), ablated, ids, metric, tokens)


def direct_row(
    hf_model: Any,
    ids: Sequence[int],
    layer: int,
    source: int,
    replacement: torch.Tensor,
    *,
    site: str = "residual",
    head: int | None = None,
    metric: str = "logprob",
    tokens: Sequence[int] = (),
) -> np.ndarray:
    """As ``ablated_row``, without effects through a third position: one full forward pass for each reader."""
    clean, entering = clean_logits_of(hf_model, ids), entering_states(hf_model, ids)
    row = np.zeros_like(_influence(clean, clean, ids, metric, tokens))
    for reader in range(source, len(row)):
        others = [position for position in range(len(ids)) if position not in (source, reader)]
        with ExitStack() as stack:
            stack.enter_context(overwrite(hf_model, layer, site, source, replacement, head))
            for later in range(layer + 1, len(entering)):
                clamp = _clamping(entering[later], others)
                stack.enter_context(_at(hf_model, later, "residual", clamp))
            ablated = clean_logits_of(hf_model, ids)
        row[reader] = _influence(clean, ablated, ids, metric, tokens)[reader]
    return row


def _clamping(clean: torch.Tensor, positions: Sequence[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(values: torch.Tensor) -> torch.Tensor:
        values[:, positions] = clean[positions]
        return values

    return change


def gradient_column(
    hf_model: Any,
    ids: Sequence[int],
    target: int,
    layers: Sequence[int],
    metric: str = "logprob",
    tokens: Sequence[int] = (),
) -> torch.Tensor:
    """Gradients of the metric at ``target - 1`` by the states entering each of the layers; (L, T, d_model)."""
    shape = (1, len(ids), hf_model.config.hidden_size)
    # A leaf of zeros is added to each state: no graph is cut, and total gradients arrive at the leaves.
    nothings = [torch.zeros(shape, dtype=hf_model.dtype, device=hf_model.device, requires_grad=True) for _ in layers]
    with ExitStack() as stack, torch.enable_grad():
        for layer, nothing in zip(layers, nothings, strict=True):
            stack.enter_context(_at(hf_model, layer, "residual", lambda values, nothing=nothing: values + nothing))
        logits = hf_model(torch.tensor([list(ids)], device=hf_model.device), use_cache=False).logits[0]
        value = _metric(logits, ids, metric, tokens, logits.detach())[target - 1]
        return torch.cat(torch.autograd.grad(value, nothings))
