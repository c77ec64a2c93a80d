"""Derived quantities of a map, as pure functions of arrays.

Throughout, ``influence`` has shape ``(..., T, N)``: sources ``i = 0 .. T-1``, and targets ``t = 1 .. N`` in the last
axis, so that column ``c`` is target ``c + 1`` and offset ``k = t - i``. NaN means not computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

SMALLEST_WINDOW = 2  # with a window of one offset every own share is 1 by construction


def default_window(n_tokens: int, n_targets: int | None = None) -> int | None:
    """Largest power of two that at least three quarters of the sources have ahead of them.

    Args:
        n_tokens: ``T``.
        n_targets: The last target; ``T - 1`` if not given.

    Returns:
        The window ``K`` in tokens, or ``None`` where the prompt is too short for one of at least two offsets.
    """
    last = n_tokens - 1 if n_targets is None else n_targets
    window = 1
    # Source i has last - i targets ahead, so last - K + 1 sources have at least K.
    while last - 2 * window + 1 >= 0.75 * n_tokens:
        window *= 2
    return window if window >= SMALLEST_WINDOW else None


def by_offset(influence: Array, window: int) -> Array:
    """Rearrange targets into offsets.

    Args:
        influence: Shape ``(..., T, N)``.
        window: ``K``.

    Returns:
        Shape ``(..., T, K)``: element ``[..., i, k-1]`` is the influence at offset ``k``; a source with fewer than
        ``K`` later targets is NaN throughout.
    """
    n_sources, n_targets = influence.shape[-2:]
    source = np.arange(n_sources)[:, None]
    column = source + np.arange(window)[None, :]  # target i + k is column i + k - 1
    values = influence[..., source, np.minimum(column, n_targets - 1)]
    complete = source[:, 0] + window <= n_targets
    return np.where(complete[:, None], values, np.nan)


def horizon_distribution(influence: Array, window: int, noise_floor: Array | float = 0.0) -> Array:
    """How the influence of each state is spread over offsets: ``p[i](k) = a[i,k] / sum_k' a[i,k']``.

    Args:
        influence: Signed influence, shape ``(..., T, N)``.
        window: ``K``, the number of offsets.
        noise_floor: Magnitudes at or below it count as 0; a number, or an array that broadcasts against
            ``(..., 1, 1)``.

    Returns:
        Shape ``(..., T, K)``, summing to 1 over the last axis; NaN where a source has fewer than ``K`` later targets,
        is not computed, or has nothing above the noise floor.
    """
    magnitude = np.abs(by_offset(influence, window))
    magnitude = np.where(magnitude <= noise_floor, 0.0, magnitude)
    total = magnitude.sum(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Array = np.where(total > 0, magnitude / total, np.nan)
    return share


def own_share(influence: Array, window: int, noise_floor: Array | float = 0.0) -> Array:
    """Share of a state's influence spent on its own next token, ``p(1)``; shape ``(..., T)``, 1 is myopic."""
    share: Array = horizon_distribution(influence, window, noise_floor)[..., 0]
    return share


def expected_horizon(influence: Array, window: int, noise_floor: Array | float = 0.0) -> Array:
    """Mean number of tokens ahead, ``sum_k k p(k)``; shape ``(..., T)``, between 1 and ``window``."""
    offsets = np.arange(1, window + 1)
    mean: Array = (horizon_distribution(influence, window, noise_floor) * offsets).sum(axis=-1)
    return mean


@dataclass(frozen=True)
class Statistic:
    """A quantity that tokens can be coloured by.

    Attributes:
        name: As in Python.
        label: As shown.
        unit: As shown after a value; may be empty.
        description: One sentence.
        compute: ``(influence, window, noise_floor) -> (..., T)``.
        low: Least possible value.
        high: Greatest possible value for a window of ``K`` tokens.
    """

    name: str
    label: str
    unit: str
    description: str
    compute: Callable[[Array, int, Array | float], Array]
    low: float
    high: Callable[[int], float]


STATISTICS = (
    Statistic(
        "own_share",
        "own share",
        "",
        "Share of this state's influence that goes to its own next token.",
        own_share,
        0.0,
        lambda window: 1.0,
    ),
    Statistic(
        "expected_horizon",
        "expected horizon",
        "tokens",
        "How many tokens ahead this state's influence lies on average.",
        expected_horizon,
        1.0,
        float,
    ),
)
