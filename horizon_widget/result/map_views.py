"""A map as a line of text, as HTML and as a figure."""

from __future__ import annotations

import html as markup
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np

from horizon_widget.errors import HorizonError, QueryError

if TYPE_CHECKING:
    from horizon_widget.result.horizon_map import HorizonMap

TOKENS_SHOWN = 200
LONGEST_TEXT = 40  # characters of a token
SHADE = "rgba(36, 113, 163, {:.2f})"  # readable on light and on dark pages


def text(hmap: HorizonMap) -> str:
    """A line about a map: what it is of, and how much of it is computed."""
    query, done, attrs = hmap.query, hmap.done, hmap.dataset.attrs
    baselines = ", ".join(dict.fromkeys(str(name) for name in hmap.dataset["baseline"].values if name))
    share = 1.0 if done.all() else min(done.mean(), 0.99)  # an unfinished map never shows 100%
    metric = f"{query.metric} in {query.unit}" if query.unit else str(query.metric)
    parts = [
        f"{hmap.n_layers} layers x {query.n_tokens} tokens",
        query.method if query.is_exact else f"{query.method} (an estimate)",
        metric,
        f"baseline {baselines or 'not prepared'}",
        *([query.site_name] if query.site != "residual" else []),
        f"{share:.0%} computed ({len(hmap.computed_layers)} whole layers)",
    ]
    return f"HorizonMap of {attrs.get('model', 'a model')}: {', '.join(parts)}"


def html(hmap: HorizonMap) -> str:
    """``text``, and the prompt shaded by own share at the middle of the computed layers."""
    layers = hmap.computed_layers
    shares = np.full(hmap.query.n_tokens, np.nan)
    caption = ""
    if layers and hmap.window is not None:
        layer = layers[len(layers) // 2]
        shares = hmap.own_share(layers=layer).values[0]
        caption = f"Own share at layer {layer}, window {hmap.window} tokens: the stronger the shade, the nearer 1."
    spans = [
        f'<span title="{markup.escape(_tip(position, share))}" style="background:{_shade(share)}">'
        f"{markup.escape(_short(token.text))}</span>"
        for position, (token, share) in enumerate(zip(hmap.tokens, shares, strict=True))
        if token.piece is None or token.piece[0] == 1
    ][:TOKENS_SHOWN]
    rest = " …" if hmap.query.n_tokens > TOKENS_SHOWN else ""
    return (
        f"<div><p>{markup.escape(visible(text(hmap)))}</p>"
        f'<p style="line-height:1.8;unicode-bidi:isolate">{"".join(spans)}{rest}</p>'
        f"<p><small>{caption}</small></p></div>"
    )


def _shade(share: float) -> str:
    return "transparent" if np.isnan(share) else SHADE.format(0.45 * share)


def _tip(position: int, share: float) -> str:
    return f"token {position}: " + ("no share" if np.isnan(share) else f"own share {share:.2f}")


def visible(value: str) -> str:
    """Text in which control characters and invisible characters are written out."""
    return "".join(map(_visible, value))


def _short(value: str) -> str:
    return visible(value[:LONGEST_TEXT]) + ("…" if len(value) > LONGEST_TEXT else "")


def _visible(character: str) -> str:
    if character == "\n":
        return "⏎ "
    hidden = character != " " and unicodedata.category(character)[0] in "CZ"
    return f"\\u{ord(character):04x}" if hidden else character


def plot(
    hmap: HorizonMap, *, layer: int | None = None, source: int | None = None, target: int | None = None, ax: Any = None
) -> Any:
    """See ``HorizonMap.plot``."""
    if sum(chosen is not None for chosen in (layer, source, target)) != 1:
        raise QueryError("plot", "one of layer, source and target is drawn.", advice="Name exactly one of them.")
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise HorizonError(
            "Drawing needs matplotlib.", advice='Install it: pip install "horizon-widget[plot]".'
        ) from error
    chosen = hmap.select(layer=layer, source=source, target=target)
    title = next(f"{n} {v}" for n, v in (("layer", layer), ("source", source), ("target", target)) if v is not None)
    values = np.where(chosen["offset"].values >= 1, chosen.values, np.nan)
    greatest = np.nanmax(np.abs(values)) if np.isfinite(values).any() else 1.0
    if ax is None:
        _, ax = pyplot.subplots(figsize=(8, 5), layout="constrained")
    down, across = chosen.dims
    image = ax.imshow(values, cmap="RdBu", vmin=-greatest, vmax=greatest, aspect="auto", origin="lower")
    for axis, name in ((ax.yaxis, down), (ax.xaxis, across)):
        _label(axis, str(name), chosen)
    ax.set_title(f"Influence, {title}, {text(hmap).split(': ', 1)[0].removeprefix('HorizonMap of ')}")
    label = f"influence on {hmap.query.metric}" + (f" ({hmap.query.unit})" if hmap.query.unit else "")
    ax.figure.colorbar(image, ax=ax, label=label)
    return ax


def _label(axis: Any, name: str, chosen: Any) -> None:
    numbers = chosen[name].values
    texts = chosen[f"{name}_token"].values if f"{name}_token" in chosen.coords else None
    step = max(1, len(numbers) // 40)
    marks = range(0, len(numbers), step)
    # matplotlib reads dollar signs as formulas.
    labels = [str(numbers[k]) if texts is None else _short(texts[k]).replace("$", r"\$") for k in marks]
    axis.set_ticks(list(marks), labels=labels, **({"rotation": 90} if axis.axis_name == "x" else {}), fontsize=7)
    axis.set_label_text(f"{name} (token)" if texts is not None else name)
