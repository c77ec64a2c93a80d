"""Whether what modules put out is what attention reads, or what a block adds, but for rounding.

A site is found by these comparisons (``places``), and checked by them on the user's own prompt (``site_check``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

ROUNDING_STEPS = 8  # by which values may differ that come from each other by a factor, a rotation or a sum


# -- keys and values --------------------------------------------------------------------------------------------------


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


# -- outputs of attention and MLP -------------------------------------------------------------------------------------


def factors_of(blocks: Iterable[tuple[Tensor, Tensor, Sequence[Tensor]]]) -> Tensor:
    """The constant factors with which outputs come closest to what blocks add; float64, on the CPU.

    Args:
        blocks: For each block what enters it, what leaves it, and the outputs.
    """
    products, with_added = [], []
    for before, after, added in blocks:
        matrix = torch.stack([exact(output) for output in added])
        products.append(matrix @ matrix.T)
        with_added.append(matrix @ (exact(after) - exact(before)))
    factors: Tensor = torch.linalg.pinv(sum(products)) @ sum(with_added)
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


def exact(tensor: Tensor) -> Tensor:
    """All values in one row; float64, on the CPU."""
    return tensor.cpu().double().flatten()
