"""Find the sites of a model's blocks by their values in one recorded forward pass.

Keys and values are recognised by those in attention's cache, outputs of attention and MLP by what a block adds to the
residual stream (``agreeing``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from horizon_widget.models.agreeing import ROUNDING_STEPS, adds_up, are_cached, exact, factors_of
from horizon_widget.models.layout import PLACES, Columns, Layout, Place
from horizon_widget.models.parts import NotFoundError
from horizon_widget.models.recording import Call
from horizon_widget.models.sites import Site

SMALLEST_FACTOR = 1e-3  # of what a module adds to the residual stream


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
    if not all(bool(torch.isfinite(block.left).all()) for block in recorded):
        return {}, dict.fromkeys(PLACES, "the states of a few tokens are not finite")
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
    reason = f"no module in a block puts out what attention's cache gets as {site}s"
    if site == "key":
        reason += " before a rotary embedding"
    for layer, (block, tensor) in enumerate(zip(blocks, seen, strict=True)):  # zeros at one layer would hide a place
        for place in _matching(block, tensor, site):
            if site == "key" and _is_rotated(blocks[0], place):
                continue
            apart = [other for other in range(len(blocks)) if not _holds(blocks[other], place, seen[other], site)]
            if not apart:
                return place
            reason = f"the {site}s of layer {layer} are in {place.module}, but not those of {_layers(apart)}"
    raise NotFoundError(reason)


def _matching(block: _Block, cached: Tensor, site: str) -> Iterator[Place]:
    """The places in a block whose values are those in the cache; the last module first."""
    for module in reversed(block.inside):
        for heads_first in _arrangements(block, module):
            place = Place(module, None, heads_first)
            columns = _columns(_read(block, place), cached, site)
            if columns is not None:
                yield replace(place, heads=columns)


def _read(block: _Block, place: Place) -> Tensor:
    """The whole output at a place, shape ``(batch, T, width)``."""
    return Site("", place).read(block.inside[place.module], block.batch_and_length[1])


def _arrangements(block: _Block, module: str) -> list[bool]:
    """Whether heads come first in an output, as far as its shape tells; none if it has no values for each position."""
    batch, length = block.batch_and_length
    shape = tuple(block.inside[module].shape)
    positions_first = (len(shape) in (3, 4) and shape[:2] == (batch, length)) or (
        len(shape) == 2 and shape[0] == batch * length
    )
    heads_first = len(shape) == 4 and (shape[0], shape[2]) == (batch, length)
    return [False] * positions_first + [True] * heads_first


def _is_rotated(first: _Block, place: Place) -> bool:
    """Whether values differ at the first and last token, which are the same, although what enters the block does not.

    Then they depend on the position, as they do after a rotary embedding.
    """
    if place.module not in first.inside or place.heads_first not in _arrangements(first, place.module):
        return False
    values, entered = _read(first, place), first.entered
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
    values = _read(block, place)
    if int(columns.max()) >= values.shape[-1]:
        return False
    return are_cached(values[..., columns.to(values.device)], cached, site)


# -- outputs of attention and MLP ------------------------------------------------------------------------------------


def _find_adding(blocks: Sequence[_Block], value: Place | None) -> dict[str, list[str]]:
    """The modules of each block that add to the residual stream, by the site's name.

    Blocks whose candidates have the same names are of one kind. The first block that can shows which modules add; the
    others must agree. In a deep block, what is added may be lost in the rounding of what was there before.
    """
    candidates = [
        {
            path: output
            for path, output in block.inside.items()
            if output.numel() == block.left.numel() and output.shape[-1] == block.left.shape[-1]
        }
        for block in blocks
    ]
    pairs: dict[int, tuple[str, str]] = {}
    for kind in dict.fromkeys(map(tuple, candidates)):
        layers = [layer for layer, paths in enumerate(candidates) if tuple(paths) == kind]
        pair, factors = _first_pair(blocks, candidates, layers)
        for layer in layers:
            added = [candidates[layer][path] for path in pair]
            if not adds_up(blocks[layer].entered, blocks[layer].left, added, factors):
                raise NotFoundError(
                    f"at layer {layer} what is added is not {pair[0]} and {pair[1]}, as in other layers"
                )
            pairs[layer] = pair
    in_order = [pairs[layer] for layer in range(len(blocks))]
    if value is not None and all(
        _is_in(value.module, then) and not _is_in(value.module, one) for one, then in in_order
    ):
        in_order = [(then, one) for one, then in in_order]
    return {"attention_output": [pair[0] for pair in in_order], "mlp_output": [pair[1] for pair in in_order]}


def _first_pair(
    blocks: Sequence[_Block], candidates: Sequence[Mapping[str, Tensor]], layers: Sequence[int]
) -> tuple[tuple[str, str], Tensor]:
    """``_adding_pair`` of the first layer that has one. Weights that are zero at one layer hide it there."""
    errors = []
    for layer in layers:
        try:
            return _adding_pair(blocks[layer], candidates[layer], layer)
        except NotFoundError as error:
            errors.append(error)
    raise errors[0]


def _adding_pair(block: _Block, candidates: Mapping[str, Tensor], layer: int) -> tuple[tuple[str, str], Tensor]:
    """The two modules that add to the residual stream, in the order in which they ran, and their factors."""
    outputs: dict[str, Tensor] = {}  # of modules with the same output, the outermost, and of these the first
    for path in sorted(candidates, key=lambda path: path.count(".")):
        if not any(torch.equal(candidates[path].flatten(), other.flatten()) for other in outputs.values()):
            outputs[path] = candidates[path]
    outputs = {path: outputs[path] for path in candidates if path in outputs}
    for path, output in outputs.items():
        if adds_up(block.entered, block.left, [output], factors_of([(block.entered, block.left, [output])])):
            raise NotFoundError(f"at layer {layer} one module alone adds to the residual stream, {path}")
    added = exact(block.left) - exact(block.entered)
    matrix = torch.stack([exact(output) for output in outputs.values()])
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
        factors = factors_of([(block.entered, block.left, both)])
        if adds_up(block.entered, block.left, both, factors):
            return pair_of_paths, factors
    raise NotFoundError(f"at layer {layer} what is added to the residual stream is not the sum of two modules' outputs")


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
