"""The table of architectures: where each has its blocks, norm, head and sites. Users can add to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from horizon_widget.errors import ModelError

Columns = npt.NDArray[np.int64]  # shape (n_heads, d_head): the columns of each head in a module's output

PLACES = ("attention_output", "mlp_output", "key", "value")
REGISTER = """import horizon_widget as hw
hw.register_architecture("{model_type}", hw.Layout(
    blocks="model.layers", norm="model.norm", head="lm_head",
    attention_output=hw.Place("self_attn"), mlp_output=hw.Place("mlp"),
    key=hw.Place("self_attn.k_proj", hw.separate_heads), value=hw.Place("self_attn.v_proj", hw.separate_heads)))
"""


@dataclass(frozen=True)
class Place:
    """Where in a block a site's values are.

    Attributes:
        module: Dotted path from the block to the module whose output holds the values.
        heads: For keys and values, the columns of each key-value head, shape ``(n_heads, d_head)``, in the output
            flattened to ``(batch, T, width)``; or a function that gives them for the model's configuration. ``None``:
            the whole output.
        heads_first: Whether the output has the shape ``(batch, n_heads, T, d_head)``.
    """

    module: str
    heads: Callable[[Any], Columns] | Columns | None = None
    heads_first: bool = False

    def columns(self, config: Any) -> Columns | None:
        """The columns of each head for a model's configuration; ``None`` for the whole output.

        Raises:
            AttributeError: if the configuration lacks what ``heads`` reads.
        """
        return self.heads(config) if callable(self.heads) else self.heads


@dataclass(frozen=True)
class Layout:
    """Where the parts of an architecture are, as dotted paths from the transformers model.

    Attributes:
        blocks: The list of blocks. Each takes the residual stream as its first argument and returns it.
        norm: The final norm, or several modules applied in turn. Modules that are ``None`` in a model are left out.
        head: The unembedding.
        attention_output, mlp_output: What a block adds to the residual stream.
        key, value: The keys (before the rotary embedding, after a key norm) and values of a block's attention.
        lacks: Why a site has no place, in words, by the site's name.
    """

    blocks: str = "model.layers"
    norm: str | tuple[str, ...] = "model.norm"
    head: str = "lm_head"
    attention_output: Place | None = None
    mlp_output: Place | None = None
    key: Place | None = None
    value: Place | None = None
    lacks: Mapping[str, str] = field(default_factory=dict, hash=False)

    def place(self, site: str) -> Place | None:
        """Where a site's values are; ``None`` if the architecture lacks the site."""
        place: Place | None = getattr(self, site)
        return place

    @property
    def norms(self) -> tuple[str, ...]:
        """The paths of the modules that are applied before the unembedding."""
        return (self.norm,) if isinstance(self.norm, str) else self.norm


def part_of(root: Any, path: str) -> Any:
    """The module at a dotted path.

    Raises:
        AttributeError: if there is none.
    """
    return reduce(getattr, path.split("."), root)


# -- heads in the output of a projection ---------------------------------------------------------------------------


def n_key_value_heads(config: Any) -> int:
    """Number of key-value heads."""
    return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)


def head_width(config: Any) -> int:
    """Width of a head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def separate_heads(config: Any) -> Columns:
    """Columns of a projection of keys alone or values alone, one head after another."""
    heads, width = n_key_value_heads(config), head_width(config)
    return np.arange(heads * width).reshape(heads, width)


def after_queries(n_before: int) -> Callable[[Any], Columns]:
    """Columns of a projection of queries, then keys, then values; ``n_before``: 0 for keys, 1 for values."""

    def columns(config: Any) -> Columns:
        own = separate_heads(config)
        return own + int(config.num_attention_heads) * head_width(config) + n_before * own.size

    return columns


def interleaved(which: int) -> Callable[[Any], Columns]:
    """Columns of a projection of query, key and value, head by head; ``which``: 1 for keys, 2 for values."""

    def columns(config: Any) -> Columns:
        heads, width = int(config.num_attention_heads), head_width(config)
        return np.arange(heads * 3 * width).reshape(heads, 3, width)[:, which]

    return columns


def falcon(which: int) -> Callable[[Any], Columns]:
    """Columns of Falcon's three kinds of projection; ``which``: 0 for keys, 1 for values."""

    def columns(config: Any) -> Columns:
        heads, width = int(config.num_attention_heads), head_width(config)
        if config.new_decoder_architecture:
            groups = int(config.num_kv_heads)
        elif config.multi_query:
            groups = 1
        else:
            groups = heads
        return np.arange((heads + 2 * groups) * width).reshape(groups, heads // groups + 2, width)[:, which - 2]

    return columns


# -- the table -------------------------------------------------------------------------------------------------------


def _llama_like(
    *,
    attention_output: str = "self_attn",
    mlp_output: str = "mlp",
    key: str = "self_attn.k_proj",
    heads_first: bool = False,
) -> Layout:
    return Layout(
        attention_output=Place(attention_output),
        mlp_output=Place(mlp_output),
        key=Place(key, separate_heads, heads_first),
        value=Place("self_attn.v_proj", separate_heads),
    )


_AFTER_ATTENTION, _AFTER_MLP = "post_attention_layernorm", "post_feedforward_layernorm"
_LLAMA = _llama_like()
_LAYOUTS: dict[str, Layout] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _llama_like(key="self_attn.k_norm"),
    "gemma": _LLAMA,
    "gemma2": _llama_like(attention_output=_AFTER_ATTENTION, mlp_output=_AFTER_MLP),
    "gemma3_text": _llama_like(
        attention_output=_AFTER_ATTENTION, mlp_output=_AFTER_MLP, key="self_attn.k_norm", heads_first=True
    ),
    "olmo": _LLAMA,
    "olmo2": _llama_like(attention_output=_AFTER_ATTENTION, mlp_output=_AFTER_MLP, key="self_attn.k_norm"),
    "phi3": Layout(
        attention_output=Place("self_attn"),
        mlp_output=Place("mlp"),
        key=Place("self_attn.qkv_proj", after_queries(0)),
        value=Place("self_attn.qkv_proj", after_queries(1)),
    ),
    "gpt2": Layout(
        "transformer.h",
        "transformer.ln_f",
        attention_output=Place("attn"),
        mlp_output=Place("mlp"),
        key=Place("attn.c_attn", after_queries(0)),
        value=Place("attn.c_attn", after_queries(1)),
    ),
    "gpt_neox": Layout(
        "gpt_neox.layers",
        "gpt_neox.final_layer_norm",
        attention_output=Place("attention"),
        mlp_output=Place("mlp"),
        key=Place("attention.query_key_value", interleaved(1)),
        value=Place("attention.query_key_value", interleaved(2)),
    ),
    "opt": Layout(
        "model.decoder.layers",
        ("model.decoder.final_layer_norm", "model.decoder.project_out"),
        attention_output=Place("self_attn"),
        mlp_output=Place("fc2"),
        key=Place("self_attn.k_proj", separate_heads),
        value=Place("self_attn.v_proj", separate_heads),
    ),
    "falcon": Layout(
        "transformer.h",
        "transformer.ln_f",
        attention_output=Place("self_attention"),
        mlp_output=Place("mlp"),
        key=Place("self_attention.query_key_value", falcon(0)),
        value=Place("self_attention.query_key_value", falcon(1)),
    ),
    "mamba": Layout("backbone.layers", "backbone.norm_f"),
}
_REGISTERED: set[str] = set()  # the architectures that users have registered
_GUESSES: Sequence[Layout] = tuple(dict.fromkeys(_LAYOUTS.values()))


def register_architecture(model_type: str, layout: Layout) -> None:
    """Say where the parts of an architecture are.

    The layout is checked on the first prompt: partial forward passes against full ones, what blocks add against the
    residual stream, keys and values against those that attention uses.

    Args:
        model_type: The architecture's name in the model's configuration (``model.config.model_type``).
        layout: Where its parts are.
    """
    _LAYOUTS[model_type] = layout
    _REGISTERED.add(model_type)


def registered(model_type: str) -> dict[str, Any] | None:
    """The registered layout as it is sent to a host; ``None`` if nobody registered one. See ``register_sent``."""
    if model_type not in _REGISTERED:
        return None

    def sendable(place: Place | None) -> Any:
        if place is None:
            return None
        name = getattr(place.heads, "__name__", "")
        ours = name and globals().get(name) is place.heads
        return (place.module, name if ours else place.heads, place.heads_first)

    values = vars(_LAYOUTS[model_type])
    return {name: sendable(values[name]) if name in PLACES else values[name] for name in values}


def register_sent(model_type: str, sent: dict[str, Any]) -> None:
    """Register a layout that ``registered`` gave on another machine."""

    def place(given: Any) -> Place | None:
        if given is None:
            return None
        module, heads, heads_first = given
        return Place(module, globals()[heads] if isinstance(heads, str) else heads, heads_first)

    values: dict[str, Any] = {name: place(value) if name in PLACES else value for name, value in sent.items()}
    register_architecture(model_type, Layout(**values))


def layout_of(hf_model: Any, name: str) -> Layout:
    """The layout of a model: its architecture's, or for an unknown architecture the first one that fits.

    Raises:
        ModelError: if none fits. The message shows how to register one.
    """
    model_type = str(getattr(hf_model.config, "model_type", ""))
    known = _LAYOUTS.get(model_type)
    for layout in [known] if known else _GUESSES:
        if _fits(layout, hf_model):
            return layout
    raise ModelError(
        f"{name} ({type(hf_model).__name__}) does not have its blocks, final norm and head in a known place"
        f"{' for ' + model_type if known else ''}.",
        advice="Say where they are (print the model to see them):\n" + REGISTER.format(model_type=model_type),
    )


def _fits(layout: Layout, hf_model: Any) -> bool:
    try:
        block = part_of(hf_model, layout.blocks)[0]
        for path in (*layout.norms, layout.head):
            part_of(hf_model, path)
        for place in map(layout.place, PLACES):
            if place is not None:
                part_of(block, place.module)
    except (AttributeError, TypeError, IndexError):
        return False
    return True
