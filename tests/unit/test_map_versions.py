"""Maps that older versions of the package wrote.

Each file in ``data`` was written by the version in its name and never changes. ``map-0.1.0.nc`` was made with
``byte_tokenizer`` (tests/conftest.py), the tiny Llama of tests/architectures.py and torch 2.13, by

    hmap = hw.attribute(
        hw.load_model(tiny_llama(), tokenizer=byte_tokenizer), "Zoë has it", layers=[0, 2, 3], sources=[0, 2, 3, 5],
        metric=("contrast", "t", "s"), baseline=("resample", ["Anna had it", "They keep it"]), site="value", head=1,
        seed=7, draws=2,
    )
    hmap.dataset["sink"].values[0] = True
    hmap.dataset["baseline_shock"].values[2] = True
    hmap.save("map-0.1.0.nc")
"""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import horizon_widget as hw
from horizon_widget.errors import MapFileError
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.question.tokens import Token
from horizon_widget.result import map_file, schema

DATA = Path(__file__).parent / "data"
IDS = (57, 78, 127, 104, 220, 71, 64, 82, 220, 72, 83)
REFERENCE = ((32, 77, 77, 64, 220, 71, 64, 67, 220, 72, 83), (51, 71, 68, 88, 220, 74, 68, 68, 79, 220, 72, 83))


def test_a_map_of_0_1_0_is_read_unchanged():
    hmap = hw.HorizonMap.load(DATA / "map-0.1.0.nc")
    metric = Metric("contrast", (83, 82), label="contrast 't' - 's'")
    assert hmap.query == Query(
        IDS, metric=metric, baseline=Baseline("resample", REFERENCE), site="value", head=1, seed=7, draws=2
    )
    assert hmap.tokens == (
        *(Token(57, "Z"), Token(78, "o"), Token(127, "ë", (1, 2)), Token(104, "ë", (2, 2))),
        *(Token(token_id, text) for token_id, text in zip(IDS[4:], " has it", strict=True)),
    )
    assert hmap.baseline == Baseline("resample", REFERENCE, ("resample", "", "resample", "resample"), (0, 0, 1, 0))
    np.testing.assert_array_equal(np.argwhere(hmap.done), [[k, i] for k in (0, 2, 3) for i in (0, 2, 3, 5)])
    assert np.isnan(hmap.values.values[1][hmap.dataset["offset"].values >= 1]).all()
    row = [0, 0, -1.5019132, -0.10868645, -0.24698412, -0.08077264, -0.03117406, -0.03108979]
    np.testing.assert_allclose(hmap.values.values[2, 2], [*row, -0.33797723, -0.27231967, -0.11098146], rtol=1e-6)
    np.testing.assert_allclose(hmap.dataset["clean_metric"].values[:3], [-1.668335, -3.295933, -2.5829945], rtol=1e-6)
    np.testing.assert_allclose(hmap.dataset["noise_floor"].values, [1.1920929e-6, np.nan, 4.7683716e-7, 4.7683716e-7])
    np.testing.assert_allclose(hmap.dataset["state_norm"].values[3, -2:], [33.67, 61.48], atol=0.01)
    assert hmap.dataset["resample_positions"].values[1].tolist() == [18, 19, 0, 10, 17, 2, 16, 2, 9, 17, 6]
    assert hmap.dataset["sink"].values.tolist() == [True] + [False] * 10
    assert "".join(hmap.dataset["target_token"].values) == "oë #127ë #104 has it", (
        "two tokens of one text are told apart"
    )
    assert hmap.values.attrs == {"unit": "logits", "long_name": "influence"}
    attrs = hmap.dataset.attrs
    assert (attrs["site"], attrs["model_type"], attrs["version_horizon_widget"]) == ("value, head 1", "llama", "0.1.0")


def version_of(path):
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        return int(opened.attrs["version"])


def test_a_file_of_every_version_is_kept_and_each_older_one_has_a_migration():
    assert {version_of(path) for path in DATA.glob("map-*.nc")} == set(range(1, map_file.VERSION + 1))
    assert set(map_file.MIGRATIONS) == set(range(1, map_file.VERSION))


def test_a_variable_can_be_added_as_the_documentation_says(tmp_path, monkeypatch):
    def with_confidence(stored):
        return stored.assign(confidence=("layer", np.full(stored.sizes["layer"], np.nan, dtype=np.float32)))

    today = map_file.VERSION
    monkeypatch.setattr(map_file, "VERSION", today + 1)
    monkeypatch.setitem(map_file.MIGRATIONS, today, with_confidence)
    monkeypatch.setitem(schema.VARIABLES, "confidence", schema.Variable(("layer",), "float32", np.nan, "how sure"))
    hmap = hw.HorizonMap.load(DATA / "map-0.1.0.nc")
    assert np.isnan(hmap.dataset["confidence"].values).all()
    hmap.dataset["confidence"].values[:] = 0.5
    hmap.save(tmp_path / "map.nc")
    assert version_of(tmp_path / "map.nc") == today + 1
    xr.testing.assert_identical(hw.HorizonMap.load(tmp_path / "map.nc").dataset, hmap.dataset)

    monkeypatch.undo()  # the older reader
    with pytest.raises(MapFileError, match="Upgrade"):
        hw.HorizonMap.load(tmp_path / "map.nc")
