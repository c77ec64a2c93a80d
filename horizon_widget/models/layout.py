"""Where a model has its blocks, norm, head and sites. They are found; users can register what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = npt.NDArray[np.int64]  # shape (n_heads, d_head): the columns of each head in a module's output
Heads = Callable[[Any], Columns]  # from the model's configuration

PLACES = ("attention_output", "mlp_output", "key", "value")


@dataclass(frozen=True, eq=False)
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
    heads: Heads | Columns | None = None
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
    lacks: Mapping[str, str] = field(default_factory=dict)

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


def after_queries(n_before: int) -> Heads:
    """Columns of a projection of queries, then keys, then values; ``n_before``: 0 for keys, 1 for values."""

    def columns(config: Any) -> Columns:
        own = separate_heads(config)
        return own + int(config.num_attention_heads) * head_width(config) + n_before * own.size

    return columns


def interleaved(which: int) -> Heads:
    """Columns of a projection of query, key and value, head by head; ``which``: 1 for keys, 2 for values."""

    def columns(config: Any) -> Columns:
        heads, width = int(config.num_attention_heads), head_width(config)
        return np.arange(heads * 3 * width).reshape(heads, 3, width)[:, which]

    return columns


def falcon(which: int) -> Heads:
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


# -- models without weights ------------------------------------------------------------------------------------------


def _places(
    attention_output: str = "self_attn",
    mlp_output: str = "mlp",
    *,
    key: Place | None = None,
    value: Place | None = None,
) -> dict[str, Place]:
    return {
        "attention_output": Place(attention_output),
        "mlp_output": Place(mlp_output),
        "key": key or Place("self_attn.k_proj", separate_heads),
        "value": value or Place("self_attn.v_proj", separate_heads),
    }


def _fused(attention: str, projection: str, key: Heads, value: Heads) -> dict[str, Place]:
    path = f"{attention}.{projection}"
    return _places(attention, key=Place(path, key), value=Place(path, value))


_AFTER_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")
_KEY_NORM = Place("self_attn.k_norm", separate_heads)
_LLAMA = _places()
# Sites by architecture, for models whose weights are on a host. With weights they are found by their values.
_KNOWN: dict[str, dict[str, Place]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _places(key=_KEY_NORM),
    "gemma": _LLAMA,
    "gemma2": _places(*_AFTER_NORMS),
    "gemma3_text": _places(*_AFTER_NORMS, key=Place("self_attn.k_norm", separate_heads, heads_first=True)),
    "olmo": _LLAMA,
    "olmo2": _places(*_AFTER_NORMS, key=_KEY_NORM),
    "phi3": _fused("self_attn", "qkv_proj", after_queries(0), after_queries(1)),
    "gpt2": _fused("attn", "c_attn", after_queries(0), after_queries(1)),
    "gpt_neox": _fused("attention", "query_key_value", interleaved(1), interleaved(2)),
    "opt": _places(mlp_output="fc2"),
    "falcon": _fused("self_attention", "query_key_value", falcon(0), falcon(1)),
}
_REGISTERED: dict[str, Layout] = {}


def register_architecture(model_type: str, layout: Layout) -> None:
    """Say where the parts of an architecture are.

    The layout is checked on the first prompt: partial forward passes against full ones, what blocks add against the
    residual stream, keys and values against those that attention uses.

    Args:
        model_type: The architecture's name in the model's configuration (``model.config.model_type``).
        layout: Where its parts are.
    """
    _REGISTERED[model_type] = layout


def sendable(layout: Layout) -> dict[str, Any]:
    """A layout whose heads are arrays, as it is sent to a host; see ``layout_from``."""

    def place(given: Place | None) -> Any:
        heads: Any = None if given is None else given.heads
        return given and (given.module, None if heads is None else heads.tolist(), given.heads_first)

    values = vars(layout)
    return {name: place(values[name]) if name in PLACES else values[name] for name in values}


def layout_from(sent: dict[str, Any]) -> Layout:
    """The layout that ``sendable`` gave on another machine."""

    def place(given: Any) -> Place | None:
        if given is None:
            return None
        module, heads, heads_first = given
        return Place(module, None if heads is None else np.array(heads), heads_first)

    values: dict[str, Any] = {name: place(value) if name in PLACES else value for name, value in sent.items()}
    return Layout(**values)


def model_type_of(hf_model: Any) -> str:
    """The name by which an architecture is registered."""
    return str(getattr(hf_model.config, "model_type", "") or type(hf_model).__name__)


def registered_layout(model_type: str) -> Layout | None:
    """What a user has registered."""
    return _REGISTERED.get(model_type)


def known_places(model_type: str) -> dict[str, Place]:
    """The sites of an architecture, for a model without weights."""
    return _KNOWN.get(model_type, {})
