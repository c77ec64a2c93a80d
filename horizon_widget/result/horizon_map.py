"""The labelled result: influence by layer, source and target."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from horizon_widget.errors import QueryError
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.query import Query, check_index, check_layers
from horizon_widget.question.tokens import Token, Word, read_words
from horizon_widget.result import map_file, map_views, schema, statistics
from horizon_widget.result.map_statistics import MapStatistics

Done = npt.NDArray[np.bool_]


class HorizonMap(MapStatistics):
    """Influence ``A[layer, source, target]`` of a model's states on its predictions, for one prompt.

    ``dataset`` is an ``xarray.Dataset`` with the variables and coordinates listed below.

    Args:
        dataset: A dataset as ``HorizonMap.empty`` makes it.
        tokens: The prompt's tokens.
        query: The question that the map answers.
    """

    def __init__(self, dataset: xr.Dataset, tokens: Sequence[Token], query: Query) -> None:
        super().__init__(dataset, query)
        self.tokens = tuple(tokens)
        self.done: Done = self._finished(slice(None))

    @classmethod
    def empty(cls, query: Query, tokens: Sequence[Token], *, n_layers: int, attrs: dict[str, Any]) -> HorizonMap:
        """A map with nothing computed yet.

        Args:
            query: The question.
            tokens: The prompt's ``T`` tokens.
            n_layers: Number of layers ``L``.
            attrs: More attributes, such as the model's name.

        Raises:
            QueryError: if the map would be too large to hold.
        """
        dataset = schema.empty_dataset(query, tokens, n_layers=n_layers, attrs=attrs)
        return cls(dataset, tokens, query)

    # -- filling -----------------------------------------------------------------------------------------------

    def record(
        self,
        layer: int,
        sources: Sequence[int],
        values: npt.NDArray[np.floating],
        targets: Sequence[int] | None = None,
        *,
        variable: str = "influence",
    ) -> None:
        """Enter finished rows, or the given targets of them: ``values`` has shape ``(len(sources), len(targets))``."""
        index = np.array(list(sources))
        columns = slice(None) if targets is None else np.array(list(targets)) - 1
        self.dataset[variable].values[layer, index[:, None] if targets is not None else index, columns] = values
        if variable == "influence":
            self.done[layer, index] = ~np.isnan(self.dataset["influence"].values[layer, index]).any(axis=-1)

    def record_targets(self, targets: Sequence[int], values: npt.NDArray[np.floating]) -> None:
        """Enter finished columns; ``values`` has shape ``(n_layers, T, len(targets))``."""
        self.dataset["influence"].values[:, :, np.array(list(targets)) - 1] = values
        self.done[:] = self._finished(slice(None))

    def record_clean(self, clean_metric: npt.NDArray[np.floating], state_norm: npt.NDArray[np.floating]) -> None:
        """Enter values of the unchanged prompt, of shapes ``(n_targets,)`` and ``(n_layers, T)``."""
        self.dataset["clean_metric"].values[:] = clean_metric
        self.dataset["state_norm"].values[:] = state_norm
        self.dataset["sink"].values[:] = statistics.find_sinks(state_norm)

    def done_for(self, targets: Sequence[int] | None) -> Done:
        """Whether each (layer, source) is computed for the given targets, shape ``(n_layers, T)``."""
        return self.done if targets is None else self._finished(np.array(list(targets)) - 1)

    def _finished(self, columns: Any) -> Done:
        finished: Done = ~np.isnan(self.dataset["influence"].values[:, :, columns]).any(axis=-1)
        return finished

    def snapshot(
        self,
        layers: Sequence[int] | None = None,
        sources: Sequence[int] | None = None,
        targets: Sequence[int] | None = None,
    ) -> HorizonMap:
        """A copy that later computation does not change, with the given influence only (by default all of it)."""
        dataset = self.dataset.copy(deep=True)
        chosen = {"layer": layers, "source": sources, "target": targets}
        kept = np.ones(dataset["influence"].shape, dtype=bool)
        for axis, (name, wanted) in enumerate(chosen.items()):
            if wanted is not None:
                shape = [1, 1, 1]
                shape[axis] = -1
                kept &= np.isin(dataset[name].values, list(wanted)).reshape(shape)
        causal = dataset["offset"].values >= 1
        for name, variable in schema.variables_of(self.query).items():
            if variable.dims == schema.CELLS:
                dataset[name].values[~kept & causal] = np.nan
        if layers is not None:
            others = np.setdiff1d(np.arange(self.n_layers), list(layers))
            dataset["noise_floor"].values[others] = np.nan
            dataset["baseline"].values[others] = ""
            dataset["baseline_shock"].values[others] = False
        return HorizonMap(dataset, self.tokens, self.query)

    # -- properties --------------------------------------------------------------------------------------------

    @property
    def values(self) -> xr.DataArray:
        """Influence (layer, source, target), in ``values.attrs["unit"]``."""
        return self.dataset["influence"]

    @property
    def computed_layers(self) -> tuple[int, ...]:
        """The layers in which every source is computed."""
        return tuple(int(layer) for layer in np.flatnonzero(self.done.all(axis=1)))

    @property
    def baseline(self) -> Baseline:
        """The baseline that the map was computed with, to be used for other maps: ``attribute(..., baseline=this)``.

        It holds the rule, the prompts that states were taken from, and the kind that was used at each prepared layer.
        With the same model it gives the same states for every prompt.
        """
        asked = self.query.baseline
        layers = tuple(str(kind) for kind in self.dataset["baseline"].values)
        kind = layers[0] if asked.kind == "auto" and len(set(layers)) == 1 and layers[0] else asked.kind
        reference = () if kind == "zero" else asked.reference_of(self.query.token_ids)
        shocks = tuple(bool(shock) for shock in self.dataset["baseline_shock"].values)
        return Baseline(kind, reference, layers, shocks)

    @property
    def words(self) -> tuple[Word, ...]:
        """The prompt's tokens grouped into words. A word has the positions ``word.start`` to ``word.stop - 1``."""
        return tuple(read_words(self.tokens))

    # -- reading -----------------------------------------------------------------------------------------------

    def cell(self, layer: int, source: int, target: int) -> float:
        """Influence of the state at (layer, source) on the prediction of the token at ``target``.

        Raises:
            QueryError: if one of them is out of range.
        """
        layer = check_index("layer", layer, self.n_layers, allow_negative=True)
        source = check_index("source", source, self.query.n_tokens)
        return float(self.values.values[layer, source, self._column("target", target)])

    def select(
        self, *, layer: Any = None, source: Any = None, target: Any = None, offset: int | None = None
    ) -> xr.DataArray:
        """A part of the map, by number or by token text.

        Args:
            layer: One layer or several; all by default.
            source: A position or several; or a token as it is shown, with or without its id, for every position that
                has it. All by default.
            target: As for ``source``.
            offset: ``k``, instead of ``target``: selects the influence of each source on the target ``source + k``.

        Returns:
            Labelled influence. A dimension for which a single number is given is dropped.

        Raises:
            QueryError: if a number is out of range, or no token has the text.
        """
        values = self.values
        if layer is not None:
            index = check_layers(layer, self.n_layers)
            values = values.isel(layer=list(index) if hasattr(layer, "__iter__") else index[0])
        if offset is not None:
            if target is not None:
                raise QueryError("offset", "it is given together with a target.", advice="Give one of the two.")
            values = self._at_offset(values, offset)
        elif target is not None:
            values = values.isel(target=self._positions("target", target))
        if source is None:
            return values
        positions, n_sources = self._positions("source", source), values.sizes["source"]  # few reach a far offset
        reaching = np.atleast_1d(positions) < n_sources
        if isinstance(source, str) and reaching.any():
            positions = np.array(positions)[reaching]
        elif not reaching.all():
            raise QueryError("source", f"{source!r} has no target at offset {offset}.", advice="Use a smaller offset.")
        return values.isel(source=positions)

    def _at_offset(self, values: xr.DataArray, offset: int) -> xr.DataArray:
        check_index("offset", offset, self.query.n_targets + 1)
        sources = xr.DataArray(np.arange(0, self.query.n_targets - offset + 1), dims="source")
        if offset < 1:
            raise QueryError("offset", "a state has no influence on its own or earlier tokens.", advice="Begin at 1.")
        return values.isel(source=sources, target=sources + offset - 1)

    def _positions(self, field: str, value: Any) -> Any:
        if isinstance(value, str):
            labels = self.dataset[f"{field}_token"].values
            texts = [*(token.text for token in self.tokens), ""][field == "target" :]
            found = [index for index, shown in enumerate(zip(labels, texts, strict=False)) if value in shown]
            if not found:
                raise QueryError(field, f"no token is shown as {value!r}.", advice="Does it need a leading space?")
            return found
        if hasattr(value, "__iter__"):
            return [self._index(field, item) for item in value]
        return self._index(field, value)

    def _index(self, field: str, value: Any) -> int:
        return self._column(field, value) if field == "target" else check_index(field, value, self.query.n_tokens)

    def _column(self, field: str, target: Any) -> int:
        if target == 0:
            raise QueryError(field, "nothing predicts the first token.", advice="Targets begin at 1.")
        return check_index(field, target, self.query.n_targets + 1) - 1

    # -- files and figures -------------------------------------------------------------------------------------

    def save(self, path: str | PathLike[str]) -> None:
        """Write the map to one NetCDF file, with its query, baseline, tokens, model identity and library versions.

        Variables, coordinates and attributes that you add to ``dataset`` are saved too. The file is written whole or
        not at all. An old file is replaced and keeps its permissions. A read-only file is refused.

        Args:
            path: The path of the file; ``~`` is your home folder.

        Raises:
            MapFileError: if the file cannot be written, or cannot hold something that was added to ``dataset``.
        """
        map_file.write(path, self.dataset, self.tokens, self.query)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> HorizonMap:
        """Read a map that this version of the package or an older one saved. Needs no model and no torch.

        Args:
            path: The path of the file; ``~`` is your home folder.

        Raises:
            MapFileError: if the file is missing, damaged or not a map.
        """
        return cls(*map_file.read(path))

    def plot(
        self, *, layer: int | None = None, source: int | None = None, target: int | None = None, ax: Any = None
    ) -> Any:
        """Draw a heat map by matplotlib (the extra ``plot``). Exactly one of layer, source and target is given.

        Args:
            layer: Draw this layer's map.
            source: Draw this source's row at every layer.
            target: Draw this target's column at every layer.
            ax: Axes to draw into; new ones by default.

        Returns:
            The axes.

        Raises:
            QueryError: if not exactly one of the three is given.
            HorizonError: if matplotlib is not installed.
        """
        return map_views.plot(self, layer=layer, source=source, target=target, ax=ax)

    def __repr__(self) -> str:
        return map_views.text(self)

    def _repr_html_(self) -> str:
        return map_views.html(self)


HorizonMap.__doc__ = f"{HorizonMap.__doc__}\n    The dataset has:\n\n{schema.describe()}\n    "
