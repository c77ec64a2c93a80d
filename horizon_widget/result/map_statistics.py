"""The derived quantities of a map, labelled. The arithmetic is in ``statistics``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from horizon_widget.errors import QueryError
from horizon_widget.question.query import Query, check_index, check_layers
from horizon_widget.result import statistics

if TYPE_CHECKING:
    import pandas as pd

OF_A_SOURCE = ("layer", "source", "source_token", "sink")


class MapStatistics:
    """The statistics of a ``HorizonMap``.

    Args:
        dataset: A dataset as ``HorizonMap.empty`` makes it.
        query: The question that the map answers.
    """

    def __init__(self, dataset: xr.Dataset, query: Query) -> None:
        self.dataset = dataset
        self.query = query

    @property
    def n_layers(self) -> int:
        """Number of layers ``L``."""
        return self.dataset.sizes["layer"]

    @property
    def window(self) -> int | None:
        """The default window of shares and horizons, in tokens; ``None`` if the prompt is too short for one."""
        return statistics.default_window(self.query.n_tokens, self.query.n_targets)

    def statistics_of(self, layer: int, sources: Sequence[int]) -> npt.NDArray[np.floating]:
        """All of ``statistics.STATISTICS`` for some rows, shape ``(n_statistics, len(sources))``.

        NaN as for ``statistic``, and everywhere if the prompt is too short for a window.

        Args:
            layer: The layer of the rows.
            sources: The positions of the rows.
        """
        if self.window is None:
            return np.full((len(statistics.STATISTICS), len(sources)), np.nan)
        index = list(sources)
        rows = self.dataset["influence"].values[layer, index]
        floor = np.nan_to_num(self.dataset["noise_floor"].values[layer])
        return np.stack([s.compute(rows, self.window, floor, np.array(index)) for s in statistics.STATISTICS])

    def statistic(self, name: str, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """A statistic of ``statistics.STATISTICS`` for each (layer, source).

        Args:
            name: The name of the statistic, such as ``"own_share"``.
            layers: The layers to include; all by default.
            window: The window ``K`` in tokens; by default ``self.window``.

        Returns:
            The values, with dimensions (layer, source) and the window in ``attrs``. NaN if a source has fewer than
            ``K`` later tokens, is not computed, or has nothing above the noise floor.

        Raises:
            QueryError: if the name is not known, or the prompt is too short for the window.
        """
        known = {statistic.name: statistic for statistic in statistics.STATISTICS}
        if name not in known:
            raise QueryError("statistic", f"{name!r} is not known.", advice=f"Choose from: {', '.join(known)}.")
        window = self._check_window(window)
        chosen, floor = self._chosen(layers)
        values = known[name].compute(chosen["influence"].values, window, floor, None)
        return xr.DataArray(
            values,
            dims=("layer", "source"),
            coords={name: chosen[name] for name in OF_A_SOURCE},
            name=name,
            attrs={"window": window, "unit": self.unit_of(known[name]), "description": known[name].description},
        )

    def unit_of(self, statistic: statistics.Statistic) -> str:
        """The unit of a statistic of this map; may be empty."""
        return self.query.unit if statistic.unit is None else statistic.unit

    def own_share(self, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """Share of each state's influence spent on its own next token; see ``statistic``."""
        return self.statistic("own_share", layers=layers, window=window)

    def expected_horizon(self, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """Mean number of tokens ahead of each state's influence; see ``statistic``."""
        return self.statistic("expected_horizon", layers=layers, window=window)

    def half_horizon(self, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """Number of tokens ahead within which half of each state's influence lies; see ``statistic``."""
        return self.statistic("half_horizon", layers=layers, window=window)

    def later_influence(self, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """Total magnitude of each state's influence after its own next token, in the metric's unit; see ``statistic``.

        It is 0, not NaN, if nothing is above the noise floor.
        """
        return self.statistic("later_influence", layers=layers, window=window)

    def horizon_distribution(self, *, layers: Any = None, window: int | None = None) -> xr.DataArray:
        """How each state's influence is spread over offsets, (layer, source, offset); NaN as for ``statistic``."""
        window = self._check_window(window)
        chosen, floor = self._chosen(layers)
        values = statistics.horizon_distribution(chosen["influence"].values, window, floor)
        coords = {name: chosen[name] for name in OF_A_SOURCE}
        return xr.DataArray(
            values,
            dims=("layer", "source", "offset"),
            coords=coords | {"offset": np.arange(1, window + 1)},
            name="horizon_distribution",
            attrs={"window": window},
        )

    def offset_profile(
        self, *, layers: Any = None, sinks: bool = False, confidence: float = 0.95, seed: int = 0
    ) -> xr.Dataset:
        """Each layer's mean magnitude of influence by offset, over the sources that reach the offset.

        Args:
            layers: The layers to include; all by default.
            sinks: Whether attention sinks count.
            confidence: The level of the bootstrap interval over sources, ``low`` to ``high``.
            seed: Seeds the bootstrap.

        Returns:
            ``mean``, ``low``, ``high`` and ``n_sources`` (the number that reach the offset), each (layer, offset).
        """
        chosen, floor = self._chosen(layers)
        influence = np.where(self._counted(sinks)[:, None], chosen["influence"].values, np.nan)
        profile = statistics.offset_profile(influence, floor, confidence=confidence, seed=seed)
        dims = ("layer", "offset")
        return xr.Dataset(
            {name: (dims, values) for name, values in profile._asdict().items()},
            coords={"layer": chosen["layer"], "offset": np.arange(1, self.query.n_targets + 1)},
            attrs={"unit": self.query.unit, "confidence": confidence, "sinks": int(sinks)},
        )

    def advantage(self, *, layers: Any = None, sinks: bool = False) -> xr.DataArray:
        """Each source's share of the influence on a prediction, (layer, source, target).

        Args:
            layers: The layers to include; all by default.
            sinks: Whether attention sinks count; if not, their share is 0.
        """
        chosen, floor = self._chosen(layers)
        influence = np.where(self._counted(sinks)[:, None], chosen["influence"].values, 0.0)
        return chosen["influence"].copy(data=statistics.advantage(influence, floor)).rename("advantage")

    def summary(self, *, layers: Any = None, window: int | None = None, sinks: bool = False) -> pd.DataFrame:
        """One line for each layer: means over sources, the number of sources, the baseline and the noise floor.

        The means are of ``statistics.STATISTICS``, over the sources that have the whole window ahead.

        Args:
            layers: The layers to include; by default those with computed values.
            window: The window ``K`` in tokens; by default ``self.window``.
            sinks: Whether attention sinks count.
        """
        import pandas as pd

        if layers is None:
            some = (~np.isnan(self.dataset["influence"].values) & (self.dataset["offset"].values >= 1)).any(axis=(1, 2))
            layers = np.flatnonzero(some) if some.any() else None
        window = self._check_window(window)
        chosen, floor = self._chosen(layers)
        counted = self._counted(sinks)
        influence = chosen["influence"].values
        columns = {s.name: s.compute(influence, window, floor, None) for s in statistics.STATISTICS}
        table = pd.DataFrame({"layer": chosen["layer"].values})
        for name, values in columns.items():
            table[name] = _mean(np.where(counted, values, np.nan))
        table["sources"] = (counted & ~np.isnan(columns["own_share"])).sum(axis=-1)
        for name in ("baseline", "baseline_shock", "noise_floor"):
            table[name] = chosen[name].values
        table.attrs = {"window": window, "unit": self.query.unit, "baseline": str(self.query.baseline), "sinks": sinks}
        return table.set_index("layer")

    def strongest_links(
        self, n: int = 20, *, layers: Any = None, least_offset: int = 1, sinks: bool = False
    ) -> pd.DataFrame:
        """The cells of the greatest magnitude, one line for each.

        Args:
            n: Number of cells.
            layers: The layers to include; all by default.
            least_offset: Smallest offset of a cell.
            sinks: Whether attention sinks count as sources.
        """
        check_index("n", n, 10**9)
        chosen, floor = self._chosen(layers)
        magnitude = statistics.above_floor(chosen["influence"].values, floor)
        wanted = (chosen["offset"].values >= least_offset) & self._counted(sinks)[:, None] & ~np.isnan(magnitude)
        magnitude = np.where(wanted, magnitude, 0.0)
        order = np.argsort(-magnitude, axis=None, kind="stable")[:n]
        order = order[magnitude.ravel()[order] > 0]
        layer, source, column = np.unravel_index(order, magnitude.shape)
        return _table_of_cells(chosen, (layer, source, column), self.query)

    def to_dataframe(self) -> pd.DataFrame:
        """One line for each computed cell with an offset of at least 1."""
        ahead = self.dataset["offset"].values >= 1
        return _table_of_cells(
            self.dataset, np.nonzero(~np.isnan(self.dataset["influence"].values) & ahead), self.query
        )

    def _check_window(self, window: int | None) -> int:
        window = self.window if window is None else window
        if window is None or window != int(window) or not 1 <= window <= self.query.n_targets:
            raise QueryError(
                "window",
                f"a prompt of {self.query.n_tokens} tokens has no window{'' if window is None else f' of {window}'}.",
                advice="Shares and horizons need a longer prompt, or a window of at least 1.",
            )
        return int(window)

    def _chosen(self, layers: Any) -> tuple[xr.Dataset, npt.NDArray[np.floating]]:
        chosen = self.dataset.isel(layer=list(check_layers(layers, self.n_layers)))
        return chosen, np.nan_to_num(chosen["noise_floor"].values)[:, None, None]

    def _counted(self, sinks: bool) -> npt.NDArray[np.bool_]:
        return np.ones(self.query.n_tokens, dtype=bool) if sinks else ~self.dataset["sink"].values


def _mean(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    count = (~np.isnan(values)).sum(axis=-1)
    mean: npt.NDArray[np.floating] = np.where(count > 0, np.nansum(values, axis=-1) / np.maximum(count, 1), np.nan)
    return mean


def _table_of_cells(dataset: xr.Dataset, index: tuple[npt.NDArray[np.integer], ...], query: Query) -> pd.DataFrame:
    """One line for each cell. ``index`` has the layers, the sources and the target columns of the cells."""
    import pandas as pd

    layer, source, column = index
    table = pd.DataFrame(
        {
            "layer": dataset["layer"].values[layer],
            "source": source,
            "source_token": dataset["source_token"].values[source],
            "target": column + 1,
            "target_token": dataset["target_token"].values[column],
            "offset": column + 1 - source,
            "influence": dataset["influence"].values[layer, source, column],
        }
    )
    table.attrs = {"unit": query.unit, "baseline": str(query.baseline)}
    return table
