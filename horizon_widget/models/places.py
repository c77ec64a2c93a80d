"""Find the sites of a model's blocks by their values in one recorded forward pass.

Keys and values are recognised by those in attention's cache, outputs of attention and MLP by what a block adds to the
residual stream. The same comparisons check a place on the user's own prompt (``site_check``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from horizon_widget.models.layout import Columns, Layout, Place
from horizon_widget.models.recording import Call
from horizon_widget.models.sites import Site

ROUNDING_STEPS = 8  # by which values may differ that come from each other by a factor, a rotation or a sum
SMALLEST_FACTOR = 1e-3  # of what a module adds to the residual stream


class NotFoundError(Exception):
    """A site that was not found; its text says why."""


def find_places(
    blocks: Sequence[torch.nn.Module], calls: Sequence[Call], cache: Any
) -> tuple[dict[str, Place], dict[str, str]]:
    """Find where in its blocks a model has its sites.

    Args:
        blocks: The blocks, in order.
        calls: The calls of a recorded forward pass over ``recorded_ids``.
        cache: The transformers cache that the pass filled; ``None`` if the model takes none.

    Returns:
        The places that hold for all blocks, and for the other sites the reason, in words; each by the site's name.
    """
    recorded = [_Block.of(block, calls) for block in blocks]
    places: dict[str, Place] = {}
    lacks: dict[str, str] = {}
    for site in ("value", "key"):
        try:
            places[site] = _find_heads(recorded, [_cached(cache, layer, site) for layer in range(len(blocks))], site)
        except NotFoundError as error:
            lacks[site] = str(error)
    if "key" in places and "value" not in places:  # attention makes both from something shorter that it keeps
        del places["key"]
        lacks["key"] = "attention's cache holds no values, so it may hold something else than keys"
    try:
        adding = _find_adding(recorded, places.get("value"))
    except NotFoundError as error:
        return places, lacks | dict.fromkeys(("attention_output", "mlp_output"), str(error))
    for site, paths in adding.items():
        if len(set(paths)) == 1:
            places[site] = Place(paths[0])
        else:
            lacks[site] = "it is in " + _by_layer(paths)
    without = [layer for layer in range(len(getattr(cache, "layers", ()))) if _cached(cache, layer, "key") is None]
    if "attention_output" in places and without:  # layers that share another layer's keys are not in a cache at all
        del places["attention_output"]
        lacks["attention_output"] = f"{_layers(without)} put no keys into a cache, so they may have no attention"
    return places, lacks


@dataclass(frozen=True)
class _Block:
    """A block's call in the recorded pass.

    Attributes:
        entered, left: What entered and left the block, shape ``(batch, T, d_model)``.
        inside: What the modules inside put out, by their path from the block, in the order in which they ended; without
            modules that ran more than once.
    """

    entered: Tensor
    left: Tensor
    inside: dict[str, Tensor]

    @classmethod
    def of(cls, block: torch.nn.Module, calls: Sequence[Call]) -> _Block:
        own = next(call for call in calls if call.module is block)
        assert own.entered is not None
        assert own.left is not None
        within = [
            call
            for call in calls
            if own.began < call.began and call.ended < own.ended and call.path.startswith(f"{own.path}.")
        ]
        n_calls = Counter(call.path for call in within)
        inside = {
            call.path.removeprefix(f"{own.path}."): call.left
            for call in sorted(within, key=lambda call: call.ended)
            if n_calls[call.path] == 1
            and call.left is not None
            and call.left.is_floating_point()
            and isinstance(call.output, (Tensor, tuple))  # what ``Site`` can overwrite
        }
        return cls(own.entered, own.left, inside)

    @property
    def batch_and_length(self) -> tuple[int, int]:
        return self.entered.shape[0], self.entered.shape[1]


def _layers(which: Sequence[int]) -> str:
    return ("layer " if len(which) == 1 else "layers ") + ", ".join(map(str, which))


def _by_layer(paths: Sequence[str]) -> str:
    of_path = {path: [layer for layer, other in enumerate(paths) if other == path] for path in dict.fromkeys(paths)}
    return " and in ".join(f"{path} at {_layers(layers)}" for path, layers in of_path.items())


# -- keys and values -------------------------------------------------------------------------------------------------


def _cached(cache: Any, layer: int, site: str) -> Tensor | None:
    """The keys or values of a layer, shape ``(batch, heads, T, d_head)``, if it has any."""
    layers = getattr(cache, "layers", ())
    tensor = getattr(layers[layer], f"{site}s", None) if layer < len(layers) else None
    return tensor if isinstance(tensor, Tensor) and tensor.dim() == 4 else None


def _find_heads(blocks: Sequence[_Block], cached: Sequence[Tensor | None], site: str) -> Place:
    """The last module before attention whose output holds the keys or values, in all blocks."""
    seen = [tensor for tensor in cached if tensor is not None]
    if not seen:
        raise NotFoundError(f"no {site}s are in a cache of transformers, by which they are recognised")
    if len(seen) < len(cached):
        missing = [layer for layer, tensor in enumerate(cached) if tensor is None]
        raise NotFoundError(f"{_layers(missing)} put no {site}s of their own into attention's cache")
    sizes = [f"{tensor.shape[1]} heads of width {tensor.shape[3]}" for tensor in seen]
    if len(set(sizes)) > 1:
        raise NotFoundError(f"attention has {_by_layer(sizes)}".replace(" and in ", " and "))
    first = None
    for place in _matching(blocks[0], seen[0], site):
        apart = [
            layer
            for layer, (block, tensor) in enumerate(zip(blocks, seen, strict=True))
            if not _holds(block, place, tensor, site)
        ]
        if not apart:
            return place
        first = first or f"those of layer 0 are in {place.module}, but not those of {_layers(apart)}"
    before = " before a rotary embedding" if site == "key" else ""
    raise NotFoundError(first or f"no module in a block puts out what attention's cache gets as {site}s{before}")


def _matching(block: _Block, cached: Tensor, site: str) -> Iterator[Place]:
    """The places in a block whose values are those in the cache; the last module first."""
    for module in reversed(block.inside):
        for heads_first in _arrangements(block, module):
            values = Site(site, Place(module, None, heads_first)).read(block.inside[module], block.batch_and_length[1])
            if site == "key" and _is_rotated(values, block.entered):
                continue
            columns = _columns(values, cached, site)
            if columns is not None:
                yield Place(module, columns, heads_first)


def _arrangements(block: _Block, module: str) -> list[bool]:
    """Whether heads come first in an output, as far as its shape tells; none if it has no values for each position."""
    batch, length = block.batch_and_length
    shape = tuple(block.inside[module].shape)
    positions_first = (len(shape) in (3, 4) and shape[:2] == (batch, length)) or (
        len(shape) == 2 and shape[0] == batch * length
    )
    heads_first = len(shape) == 4 and (shape[0], shape[2]) == (batch, length)
    return [False] * positions_first + [True] * heads_first


def _is_rotated(values: Tensor, entered: Tensor) -> bool:
    """Whether values differ at the first and last token, which are the same, although the same enters the block."""
    return torch.allclose(entered[:, 0], entered[:, -1], rtol=1e-2) and not torch.allclose(
        values[:, 0], values[:, -1], rtol=1e-2, atol=1e-2 * float(values.abs().max())
    )


def _columns(values: Tensor, cached: Tensor, site: str) -> Columns | None:
    """The columns of values, shape ``(batch, T, width)``, that are the heads in the cache but for a factor."""
    if cached.shape[2] != values.shape[1]:
        return None
    stop = 1 if site == "key" else values.shape[1]  # a rotary embedding changes all other positions
    tolerance = ROUNDING_STEPS * torch.finfo(values.dtype).eps
    own = _directions(values[:, :stop].flatten(0, 1))  # (width, samples)
    columns: dict[tuple[int, ...], None] = {}
    for head in range(cached.shape[1]):
        wanted = _directions(cached[:, head, :stop].flatten(0, 1))  # (d_head, samples)
        if float((own - wanted[0]).norm(dim=1).min()) > tolerance:
            return None
        nearest = torch.cdist(wanted, own).min(dim=1)
        if float(nearest.values.max()) > tolerance:
            return None
        columns[tuple(nearest.indices.tolist())] = None  # a cache may repeat heads
    return np.array(list(columns))


def _directions(samples: Tensor) -> Tensor:
    """Columns of unit length as rows, on the CPU."""
    samples = samples.cpu().double()
    return F.normalize(samples, dim=0).T.contiguous()


def _holds(block: _Block, place: Place, cached: Tensor, site: str) -> bool:
    if place.module not in block.inside or place.heads_first not in _arrangements(block, place.module):
        return False
    columns = torch.from_numpy(place.heads)
    values = Site(site, place).read(block.inside[place.module], block.batch_and_length[1])
    if int(columns.max()) >= values.shape[-1]:
        return False
    return are_cached(values[..., columns.to(values.device)], cached, site)


def are_cached(own: Tensor, cached: Tensor, site: str) -> bool:
    """Whether keys or values are those that attention uses.

    Values must be equal, but for a factor. So must keys at the first position, where a rotary embedding has no angle;
    elsewhere it keeps their length.

    Args:
        own: Shape ``(batch, T, n_heads, d_head)``.
        cached: Those in attention's cache, shape ``(batch, heads, T, d_head)``. It may repeat heads, and may lack the
            first positions.
        site: ``"key"`` or ``"value"``.
    """
    seen = cached.to(own.device).transpose(1, 2)
    if own.shape[-1] != seen.shape[-1]:
        return False
    n, heads, kept = own.shape[2], seen.shape[2], seen.shape[1]
    n_equal = kept if site == "value" else int(own.shape[1] == kept)
    own = own[:, -kept:]
    return all(
        any(
            _same_head(own[:, :, head], seen[:, :, other], n_equal)
            for other in sorted(range(heads), key=lambda other: abs(other - head * heads // n))
        )
        for head in range(n)
    )


def _same_head(own: Tensor, seen: Tensor, n_equal: int) -> bool:
    """Whether the first positions are equal, but for a factor, and all have the same length; ``(batch, T, d_head)``."""
    rounding = ROUNDING_STEPS * torch.finfo(own.dtype).eps
    own, seen = _precise(own), _precise(seen)
    scaled = own * _factors(own, seen, n_equal, rounding)
    apart = (scaled - seen)[:, :n_equal].abs()
    allowed = rounding * (seen[:, :n_equal].abs() + seen.abs().max() * torch.finfo(own.dtype).eps)
    lengths = seen.norm(dim=-1)
    return bool((apart <= allowed).all() and ((scaled.norm(dim=-1) - lengths).abs() <= rounding * lengths).all())


def _factors(own: Tensor, seen: Tensor, n_equal: int, rounding: float) -> Tensor:
    """The factor of each column, shape ``(d_head,)``: 1 or one other number.

    Some rotary embeddings scale what they rotate, which may be only a part of a head.
    """
    if not n_equal:
        ratio: Tensor = seen.norm() / own.norm()
        return ratio.expand(own.shape[-1])
    own, seen = own[:, :n_equal].flatten(0, 1), seen[:, :n_equal].flatten(0, 1)
    fitted = ((own * seen).sum(dim=0) / (own * own).sum(dim=0)).nan_to_num(1.0)
    scaled = fitted[(fitted - 1).abs() > rounding]
    other = scaled.median() if len(scaled) else fitted.new_ones(())
    is_one = (fitted - 1).abs() <= (fitted - other).abs()
    return fitted.new_ones(()).where(is_one, other)


def _precise(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor


# -- outputs of attention and MLP ------------------------------------------------------------------------------------


def _find_adding(blocks: Sequence[_Block], value: Place | None) -> dict[str, list[str]]:
    """The modules of each block that add to the residual stream, by the site's name.

    Blocks whose candidates have the same names are of one kind. The kind's first block shows which modules add; the
    others must agree. In a deep block, what is added may be lost in the rounding of what was there before.
    """
    of_kind: dict[tuple[str, ...], tuple[tuple[str, str], Tensor]] = {}
    pairs: list[tuple[str, str]] = []
    for layer, block in enumerate(blocks):
        candidates = {path: output for path, output in block.inside.items() if output.shape[-1] == block.left.shape[-1]}
        candidates = {path: output for path, output in candidates.items() if output.numel() == block.left.numel()}
        kind = tuple(candidates)
        if kind not in of_kind:
            of_kind[kind] = _adding_pair(block, candidates, layer)
        pair, factors = of_kind[kind]
        if not adds_up(block.entered, block.left, [candidates[path] for path in pair], factors):
            raise NotFoundError(f"at layer {layer} what is added is not {pair[0]} and {pair[1]}, as in earlier layers")
        pairs.append(pair)
    if value is not None and all(_is_in(value.module, mlp) and not _is_in(value.module, first) for first, mlp in pairs):
        pairs = [(attention, mlp) for mlp, attention in pairs]
    return {"attention_output": [pair[0] for pair in pairs], "mlp_output": [pair[1] for pair in pairs]}


def _adding_pair(block: _Block, candidates: Mapping[str, Tensor], layer: int) -> tuple[tuple[str, str], Tensor]:
    """The two modules that add to the residual stream, in the order in which they ran, and their factors."""
    outputs: dict[str, Tensor] = {}  # of modules with the same output, the outermost, and of these the first
    for path in sorted(candidates, key=lambda path: path.count(".")):
        if not any(torch.equal(candidates[path].flatten(), other.flatten()) for other in outputs.values()):
            outputs[path] = candidates[path]
    outputs = {path: outputs[path] for path in candidates if path in outputs}
    for path, output in outputs.items():
        if adds_up(block.entered, block.left, [output], factors_of(block.entered, block.left, [output])):
            raise NotFoundError(f"at layer {layer} one module alone adds to the residual stream, {path}")
    added = _exact(block.left) - _exact(block.entered)
    matrix = torch.stack([_exact(output) for output in outputs.values()])
    products, with_added = matrix @ matrix.T, matrix @ added
    best: tuple[float, tuple[int, int]] | None = None
    for pair in combinations(range(len(outputs)), 2):
        at = torch.tensor(pair)
        factors = torch.linalg.pinv(products[at][:, at]) @ with_added[at]
        left_over = -float(factors @ with_added[at])
        if float(factors.min()) > SMALLEST_FACTOR and (best is None or left_over < best[0]):
            best = (left_over, pair)
    if best is not None:
        paths = list(outputs)
        pair_of_paths = (paths[best[1][0]], paths[best[1][1]])
        both = [outputs[path] for path in pair_of_paths]
        factors = factors_of(block.entered, block.left, both)
        if adds_up(block.entered, block.left, both, factors):
            return pair_of_paths, factors
    raise NotFoundError(f"at layer {layer} what is added to the residual stream is not the sum of two modules' outputs")


def factors_of(before: Tensor, after: Tensor, added: Sequence[Tensor]) -> Tensor:
    """The constant factors with which outputs come closest to ``after - before``; float64, on the CPU."""
    matrix = torch.stack([_exact(output) for output in added])
    factors: Tensor = torch.linalg.pinv(matrix @ matrix.T) @ (matrix @ (_exact(after) - _exact(before)))
    return factors


def adds_up(before: Tensor, after: Tensor, added: Sequence[Tensor], factors: Tensor) -> bool:
    """Whether a block adds the outputs of modules, times constant factors, to the residual stream.

    Args:
        before: What enters the block.
        after: What leaves it.
        added: The outputs, each of the same size.
        factors: One for each output.
    """
    rounding = ROUNDING_STEPS * max(torch.finfo(tensor.dtype).eps for tensor in (before, after, *added))
    before, after = _precise(before).flatten(), _precise(after).to(before.device).flatten()
    parts = [
        _precise(output).to(before).flatten() * float(factor) for output, factor in zip(added, factors, strict=True)
    ]
    difference = (before + torch.stack(parts).sum(dim=0) - after).abs()
    size = before.abs() + torch.stack(parts).abs().sum(dim=0)
    return bool((difference <= rounding * size).all())


def _exact(tensor: Tensor) -> Tensor:
    return tensor.cpu().double().flatten()


def _is_in(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}.")


# -- the message for a site that was not found -----------------------------------------------------------------------

_WORDS = {
    "attention_output": "what attention adds to the residual stream",
    "mlp_output": "what the MLP adds to the residual stream",
    "key": "attention's keys",
    "value": "attention's values",
}


def how_to_register(model_type: str, layout: Layout, site: str, block: torch.nn.Module) -> str:
    """What a user can do about a site that was not found: a statement with this model's own paths, to be completed."""
    heads = ", hw.separate_heads" if site in ("key", "value") else ""
    paths = [
        path for path, _ in block.named_modules() if path and not re.search(r"\.[1-9]", path)
    ]  # of several experts the first
    return (
        f'Use site="residual". If one module of every block puts out {_WORDS[site]}, name it instead of PATH:\n'
        "import horizon_widget as hw\n"
        f'hw.register_architecture("{model_type}", hw.Layout(\n'
        f"    blocks={layout.blocks!r}, norm={layout.norm!r}, head={layout.head!r},\n"
        f'    {site}=hw.Place("PATH"{heads})))\n'
        f"A block has these modules: {', '.join(paths)}."
    )
