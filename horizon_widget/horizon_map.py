"""The labelled result: influence by layer, source and target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from horizon_widget import statistics
from horizon_widget.errors import QueryError
from horizon_widget.query import Query, check_index, check_layers
from horizon_widget.tokens import Token

LARGEST_MAP = 4e9  # bytes


class HorizonMap:
    """Influence ``A[layer, source, target]`` of a model's states on its predictions, for one prompt.

    Kept as an ``xarray.Dataset`` (``dataset``) with

    - ``influence`` (layer, source, target), float32, in the metric's unit: NaN = not computed, 0 = acausal;
      ``target`` is the position of the *predicted* token, ``offset = target - source``;
    - ``noise_floor`` (layer): what patching a state by itself gives; NaN = layer not prepared;
    - ``baseline`` (layer): what a state was replaced by, and ``baseline_shock`` (layer): whether the mean baseline is
      itself a shock to the model there;
    - ``baseline_states`` (layer, d_model) and ``resample_positions`` (draw, source): the frozen baselines.

    Args:
        dataset: As made by ``HorizonMap.empty``.
        tokens: The prompt's tokens.
        query: The question it answers.
    """

    def __init__(self, dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> None:
        self.dataset = dataset
        self.tokens = tuple(tokens)
        self.query = query
        self.done: npt.NDArray[np.bool_] = ~np.isnan(dataset["influence"].values).any(axis=-1)

    @classmethod
    def empty(
        cls, query: Query, tokens: Sequence[Token], *, n_layers: int, d_model: int, attrs: dict[str, Any]
    ) -> HorizonMap:
        """A map with nothing computed yet.

        Args:
            query: The question.
            tokens: The prompt's tokens, ``T`` of them.
            n_layers: ``L``.
            d_model: Width of a state.
            attrs: What else to note, such as the model's name.

        Raises:
            QueryError: if the map would be too large to hold.
        """
        n_tokens, n_targets = query.n_tokens, query.n_targets
        size = 4 * n_layers * n_tokens * n_targets
        if size > LARGEST_MAP:
            raise QueryError(
                "prompt", f"the map of its {n_tokens} tokens would take {size / 1e9:.0f} GB.", advice="Shorten it."
            )
        influence = np.full((n_layers, n_tokens, n_targets), np.nan, dtype=np.float32)
        source, target = np.arange(n_tokens), np.arange(1, n_targets + 1)
        influence[:, target[None, :] <= source[:, None]] = 0.0
        texts = np.array([token.text for token in tokens], dtype=object)
        dataset = xr.Dataset(
            {
                "influence": (("layer", "source", "target"), influence, {"unit": query.unit, "long_name": "influence"}),
                "noise_floor": ("layer", np.full(n_layers, np.nan, dtype=np.float32), {"unit": query.unit}),
                "baseline": ("layer", np.full(n_layers, "", dtype="U8")),
                "baseline_shock": ("layer", np.zeros(n_layers, dtype=bool)),
                "baseline_states": (("layer", "d_model"), np.full((n_layers, d_model), np.nan, dtype=np.float32)),
                "resample_positions": (("draw", "source"), np.zeros((query.draws, n_tokens), dtype=np.int64)),
            },
            coords={
                "layer": np.arange(n_layers),
                "source": source,
                "target": target,
                "source_token": ("source", texts),
                "target_token": ("target", texts[1 : n_targets + 1]),
                "offset": (("source", "target"), target[None, :] - source[:, None]),
            },
            attrs={
                "method": query.method,
                "metric": query.metric,
                "unit": query.unit,
                "site": query.site,
                "exact": 1,
                "baseline": query.baseline,
                "window": statistics.default_window(n_tokens, n_targets) or 0,
                "seed": query.seed,
                **attrs,
            },
        )
        return cls(dataset, tokens, query)

    # -- filling -----------------------------------------------------------------------------------------------

    def record(self, layer: int, sources: Sequence[int], values: npt.NDArray[np.floating]) -> None:
        """Enter finished rows: ``values`` has shape ``(len(sources), n_targets)``."""
        index = list(sources)
        self.dataset["influence"].values[layer, index] = values
        self.done[layer, index] = True

    def snapshot(self, layers: Sequence[int] | None = None) -> HorizonMap:
        """A copy that no later computation changes, with only the given layers' influence (all by default)."""
        dataset = self.dataset.copy(deep=True)
        if layers is not None:
            others = np.setdiff1d(np.arange(self.n_layers), list(layers))
            causal = dataset["offset"].values >= 1
            dataset["influence"].values[others] = np.where(causal, np.nan, 0.0)
            dataset["noise_floor"].values[others] = np.nan
            dataset["baseline"].values[others] = ""
            dataset["baseline_shock"].values[others] = False
        return HorizonMap(dataset, self.tokens, self.query)

    # -- reading -----------------------------------------------------------------------------------------------

    @property
    def values(self) -> xr.DataArray:
        """Influence (layer, source, target), in ``values.attrs["unit"]``."""
        return self.dataset["influence"]

    @property
    def n_layers(self) -> int:
        """``L``."""
        return self.dataset.sizes["layer"]

    @property
    def window(self) -> int | None:
        """The default window of shares and horizons, in tokens; ``None`` where the prompt is too short for one."""
        return statistics.default_window(self.query.n_tokens, self.query.n_targets)

    @property
    def computed_layers(self) -> tuple[int, ...]:
        """Layers of which every source is computed."""
        return tuple(int(layer) for layer in np.flatnonzero(self.done.all(axis=1)))

    def cell(self, layer: int, source: int, target: int) -> float:
        """Influence of the state at (layer, source) on the prediction of the token at ``target``.

        Raises:
            QueryError: if one of them is out of range.
        """
        layer = check_index("layer", layer, self.n_layers, allow_negative=True)
        source = check_index("source", source, self.query.n_tokens)
        if target == 0:
            raise QueryError("target", "nothing predicts the first token.", advice="Targets begin at 1.")
        target = check_index("target", target, self.query.n_targets + 1)
        return float(self.values.values[layer, source, target - 1])

    def statistic(self, name: str, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """A statistic of ``statistics.STATISTICS`` for each (layer, source).

        Args:
            name: Such as ``"own_share"``.
            layers: Which layers; all by default.
            window: ``K``; the map's own by default.

        Returns:
            Dimensions (layer, source), the window in ``attrs``. NaN where a source has fewer than ``K`` later tokens,
            is not computed, or has nothing above the noise floor.

        Raises:
            QueryError: if the name is not known, or the prompt too short for the window.
        """
        known = {statistic.name: statistic for statistic in statistics.STATISTICS}
        if name not in known:
            raise QueryError("statistic", f"{name!r} is not known.", advice=f"Choose from: {', '.join(known)}.")
        window = self.window if window is None else window
        if window is None or window != int(window) or not 1 <= window <= self.query.n_targets:
            raise QueryError(
                "window",
                f"{window or 'none'} of the {self.query.n_tokens} tokens can be looked ahead.",
                advice="Shares and horizons need a longer prompt, or a window of at least 1.",
            )
        index = list(check_layers(layers, self.n_layers))
        chosen = self.dataset.isel(layer=index)
        floor = np.nan_to_num(chosen["noise_floor"].values)[:, None, None]
        values = known[name].compute(chosen["influence"].values, window, floor)
        return xr.DataArray(
            values,
            dims=("layer", "source"),
            coords={name: chosen[name] for name in ("layer", "source", "source_token")},
            name=name,
            attrs={"window": window, "unit": known[name].unit, "description": known[name].description},
        )

    def own_share(self, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """Share of each state's influence spent on its own next token; see ``statistic``."""
        return self.statistic("own_share", layers=layers, window=window)

    def expected_horizon(self, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """Mean number of tokens ahead of each state's influence; see ``statistic``."""
        return self.statistic("expected_horizon", layers=layers, window=window)

    def __repr__(self) -> str:
        query, done = self.query, int(self.done.sum())
        baselines = ", ".join(dict.fromkeys(name for name in self.dataset["baseline"].values.tolist() if name))
        return (
            f"HorizonMap of {self.dataset.attrs.get('model', 'a model')}: "
            f"{self.n_layers} layers x {query.n_tokens} tokens, "
            f"{query.method}, {query.metric} in {query.unit}, baseline {baselines or 'not prepared'}, "
            f"{done / self.done.size:.0%} computed ({len(self.computed_layers)} whole layers)"
        )
