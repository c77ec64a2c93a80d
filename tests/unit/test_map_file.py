import json
import os
import re
import socket
from contextlib import suppress

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horizon_widget import map_file
from horizon_widget.baseline import Baseline
from horizon_widget.errors import HorizonError, MapFileError
from horizon_widget.horizon_map import HorizonMap
from horizon_widget.metric import Metric
from horizon_widget.query import Query
from horizon_widget.tokens import Token

ATTRS = {"model": "m", "odd": "a\0b\ud800", "number": 3, "ratio": 0.1}
ODD_TEXTS = ["\0", "", "\ud83d\ude00", "\ud83d", "\ude00\ud83d", "x" * 10_000, "\N{RIGHT-TO-LEFT OVERRIDE}", "a\nb"]


def make(query, texts=None, *, pieces=None, attrs=ATTRS, n_layers=3, seed=0):
    texts = texts or [f" t{token}" for token in query.token_ids]
    pieces = pieces or [None] * len(texts)
    tokens = [Token(*item) for item in zip(query.token_ids, texts, pieces, strict=True)]
    hmap = HorizonMap.empty(query, tokens, n_layers=n_layers, attrs=attrs)
    rng = np.random.default_rng(seed)
    dataset = hmap.dataset
    causal = dataset["offset"].values >= 1
    values = rng.normal(size=dataset["influence"].shape).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    dataset["influence"].values[:, causal] = values[:, causal]
    hmap.record_clean(rng.normal(size=query.n_targets), rng.random((n_layers, query.n_tokens)))
    dataset["sink"].values[0] = True
    dataset["noise_floor"].values[1:] = 1e-4
    dataset["baseline"].values[1:] = ["counterfactual", "mean"][: n_layers - 1]
    dataset["baseline_shock"].values[-1] = True
    dataset["resample_positions"].values[:] = rng.integers(0, 2**40, dataset["resample_positions"].shape)
    return hmap


def check_same(loaded, hmap):
    xr.testing.assert_identical(loaded.dataset, hmap.dataset)
    assert list(loaded.dataset.variables) == list(hmap.dataset.variables)
    assert list(loaded.dataset.attrs.items()) == list(hmap.dataset.attrs.items())
    assert loaded.tokens == hmap.tokens
    for name, variable in hmap.dataset.variables.items():
        assert loaded.dataset[name].dtype == variable.dtype, name
        if name not in loaded.dataset.indexes:
            assert loaded.dataset[name].values.flags.writeable, name
    np.testing.assert_array_equal(
        loaded.values.values.view(np.int32)[~np.isnan(hmap.values.values)],
        hmap.values.values.view(np.int32)[~np.isnan(hmap.values.values)],
    )
    np.testing.assert_array_equal(loaded.done, hmap.done)


IDS = (5, 7, 5, 9, 11)
QUERIES = [
    Query(IDS),
    Query(IDS, metric=Metric("entropy")),
    Query(IDS, metric=Metric("contrast", (3, 4), label="contrast ' a' - '\ud800'")),
    Query(IDS, metric=Metric("logit", (3,), label="logit of ' a'"), method="gradient"),
    Query(IDS, site="key", head=2, seed=9, draws=5),
    Query(IDS, site="value", baseline=Baseline("counterfactual", ((1, 2, 3, 4, 5),))),
    Query(IDS, baseline=Baseline("mean", ((1, 2), (3,)), ("mean", "", "zero"), (True, False, False))),
    Query((1,), metric=Metric("kl")),
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_round_trip_changes_nothing(tmp_path, query):
    hmap = make(query)
    hmap.save(tmp_path / "map.nc")
    loaded = HorizonMap.load(tmp_path / "map.nc")
    assert loaded.query == query
    assert loaded.baseline == hmap.baseline
    check_same(loaded, hmap)
    assert list(tmp_path.iterdir()) == [tmp_path / "map.nc"]


def test_a_users_function_is_left_out_and_its_label_kept(tmp_path):
    query = Query(IDS, metric=Metric("function", function=lambda logits, ids: logits[:, 0], label="mine"))
    hmap = make(query)
    hmap.save(tmp_path / "map.nc")
    loaded = HorizonMap.load(str(tmp_path / "map.nc"))
    assert loaded.query.metric == Metric("function", label="mine")
    check_same(loaded, hmap)


TEXTS = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=20),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=2, max_size=8), note=TEXTS, after=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_a_round_trip_keeps_any_text(tmp_path, texts, note, after, seed):
    metric = Metric("entropy", label=note) if after else Metric(label=note)
    query = Query(tuple(range(len(texts))), metric=metric, baseline=Baseline("zero"), seed=seed)
    hmap = make(query, texts, pieces=[(1, 2), (2, 2)] + [None] * (len(texts) - 2), attrs={"model": note}, seed=seed)
    hmap.save(tmp_path / "map.nc")
    loaded = HorizonMap.load(tmp_path / "map.nc")
    assert loaded.query == query
    check_same(loaded, hmap)


def test_any_text_and_map_survive_the_encoding():  # without a file
    for query in QUERIES:
        texts = (ODD_TEXTS * 2)[: query.n_tokens]
        hmap = make(query, texts)
        loaded = HorizonMap(*map_file._decode(map_file._encode(hmap.dataset, hmap.tokens, query).copy(deep=True)))
        assert loaded.query == query
        check_same(loaded, hmap)


def test_a_loaded_map_goes_on_without_its_file(tmp_path):
    hmap = make(QUERIES[0])
    hmap.save(tmp_path / "map.nc")
    loaded = HorizonMap.load(tmp_path / "map.nc")
    (tmp_path / "map.nc").unlink()
    loaded.record(1, [0], np.ones((1, 4)))
    assert loaded.cell(1, 0, 1) == 1
    loaded.save(tmp_path / "map.nc")
    check_same(HorizonMap.load(tmp_path / "map.nc"), loaded)


def test_a_file_says_to_other_programs_what_it_holds(tmp_path):
    hmap = make(QUERIES[0])
    hmap.save(tmp_path / "map.nc")
    with xr.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as other:
        np.testing.assert_array_equal(other["influence"].values, hmap.values.values)
        assert other["influence"].attrs["unit"] == "nats"
        assert other["influence"].encoding["zlib"]
        assert other.attrs["format"] == map_file.FORMAT


# -- what is no map ------------------------------------------------------------------------------------------------


def refused(path):
    with pytest.raises(MapFileError) as caught:
        HorizonMap.load(path)
    assert caught.value.advice
    assert "Traceback" not in str(caught.value)
    assert isinstance(caught.value, HorizonError)
    return str(caught.value)


def test_paths_that_lead_to_no_map(tmp_path):
    assert "does not exist" in refused(tmp_path / "missing.nc")
    assert "is a folder" in refused(tmp_path)
    assert "no usable path" in refused("a\0b")
    assert "no usable path" in refused(3)
    refused("x" * 5000)
    (tmp_path / "text.nc").write_text("influence: 3\n")
    assert "is no map" in refused(tmp_path / "text.nc")
    (tmp_path / "empty.nc").touch()
    assert "is no map" in refused(tmp_path / "empty.nc")
    (tmp_path / "classic.nc").write_bytes(b"CDF\x01" + bytes(100))
    assert "is no map" in refused(tmp_path / "classic.nc")
    os.mkfifo(tmp_path / "pipe")
    assert "is no map" in refused(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        assert "is no map" in refused(tmp_path / "socket")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(tmp_path / "loop")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    make(QUERIES[0]).save(tmp_path / "map.nc")
    whole = (tmp_path / "map.nc").read_bytes()
    cut = tmp_path / "cut.nc"
    for length in [*range(0, len(whole), max(1, len(whole) // 200)), *range(len(whole) - 20, len(whole))]:
        cut.write_bytes(whole[:length])
        refused(cut)


def test_a_file_with_a_damaged_part_is_refused_or_reads(tmp_path):
    make(QUERIES[0]).save(tmp_path / "map.nc")
    whole = (tmp_path / "map.nc").read_bytes()
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.nc"
    for start in rng.integers(8, len(whole) - 16, 100):
        damaged.write_bytes(whole[:start] + rng.bytes(16) + whole[start + 16 :])
        with suppress(MapFileError):  # and nothing else; numbers may be damaged unseen
            HorizonMap.load(damaged)


def test_a_foreign_netcdf_is_refused(tmp_path):
    xr.Dataset({"influence": ("layer", np.zeros(3))}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    assert "no map" in refused(tmp_path / "other.nc")


def stored(query=QUERIES[0]):
    hmap = make(query)
    return map_file._encode(hmap.dataset, hmap.tokens, query).copy(deep=True)


def with_about(change):
    def tamper(dataset):
        about = json.loads(dataset["about"].values.tobytes().decode("utf-8", "surrogatepass"))
        about = change(about) or about
        raw = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        return dataset.drop_vars("about").assign(about=("byte", raw))

    return tamper


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(about):
        for key in keys:
            about = about[key]
        about[last] = value

    return with_about(change)


def raw_about(raw):
    return lambda dataset: dataset.drop_vars("about").assign(about=("byte", np.frombuffer(raw, dtype=np.uint8)))


def value(name, index, new):
    def tamper(dataset):
        values = dataset[name].values.copy()
        values[index] = new
        return dataset.assign({name: (dataset[name].dims, values)})

    return tamper


TAMPERED = {
    "newer": (lambda d: d.assign_attrs(version=2), "newer horizon-widget .* Upgrade"),
    "version text": (lambda d: d.assign_attrs(version="one"), "version"),
    "version 0": (lambda d: d.assign_attrs(version=0), "version"),
    "versions": (lambda d: d.assign_attrs(version=np.array([1, 1])), "version"),
    "format": (lambda d: d.assign_attrs(format="another"), "no map"),
    "no attributes": (lambda d: d.drop_attrs(), "no map"),
    "no json": (lambda d: d.drop_vars("about"), "description is missing"),
    "cut json": (raw_about(b'{"query": '), "description is damaged"),
    "no utf-8": (raw_about(b"\xff\xfe"), "description is damaged"),
    "deep json": (raw_about(b"[" * 100_000), "description is damaged"),
    "other json": (raw_about(b"[]"), "description is damaged"),
    "number json": (raw_about(b"1" * 10_000), "description is damaged"),
    "json type": (lambda d: d.drop_vars("about").assign(about=("byte", np.zeros(3))), "description is damaged"),
    "no query": (with_about(lambda a: a.pop("query") and None), "lacks query"),
    "query": (put("query", 3), "query is damaged"),
    "method": (put("query", "method", "magic"), "magic"),
    "site": (put("query", "site", ["key"]), "site is damaged"),
    "head": (put("query", "head", 1), "head"),
    "seed": (put("query", "seed", True), "seed is damaged"),
    "ids": (put("query", "token_ids", [1.5, 2]), "token_ids is damaged"),
    "shorter": (put("query", "token_ids", [5, 7]), "tokens are not those"),
    "draws": (put("query", "draws", 4), "resample_positions has the shape"),
    "metric": (put("query", "metric", "name", "magic"), "metric 'magic'"),
    "contrast": (put("query", "metric", "name", "contrast"), "metric 'contrast'"),
    "other targets": (put("query", "metric", "name", "entropy"), "has the shape"),
    "baseline kind": (put("query", "baseline", "kind", "magic"), "magic"),
    "reference": (put("query", "baseline", "reference", [[1], 2]), "reference is damaged"),
    "shocks": (put("query", "baseline", "shocks", [1]), "shocks is damaged"),
    "tokens": (put("tokens", []), "tokens are not those"),
    "token": (put("tokens", 0, [5, "a"]), "tokens are damaged"),
    "token text": (put("tokens", 0, [5, None, None]), "text is damaged"),
    "piece": (put("tokens", 0, [5, "a", [3, 2]]), "piece is damaged"),
    "baselines": (put("baseline", ["mean"]), "baselines do not fit"),
    "baseline": (put("baseline", ["mean", "mean", "magic" * 9]), "baselines do not fit"),
    "attrs": (put("attrs", None), "attrs is damaged"),
    "variable attrs": (put("variable_attrs", {"other": {}}), "speaks of 'other'"),
    "no influence": (lambda d: d.drop_vars("influence"), "lacks influence"),
    "no sink": (lambda d: d.drop_vars("sink"), "lacks sink"),
    "one layer less": (lambda d: d.assign(noise_floor=("other", np.zeros(2, np.float32))), "noise_floor has the shape"),
    "no layers": (lambda d: d.isel(layer=slice(0)), "shape"),
    "flat": (lambda d: d.assign(influence=("flat", np.zeros(60, np.float32))), "influence has the shape"),
    "turned": (lambda d: d.assign(state_norm=d["state_norm"].transpose()), "state_norm has the shape"),
    "source cut": (lambda d: d.isel(source=slice(4)), "has the shape"),
    "double": (lambda d: d.assign(influence=d["influence"].astype(float)), "the type float64"),
    "texts": (lambda d: d.assign(state_norm=d["state_norm"].astype(str)), "state_norm has the type"),
    "layers": (lambda d: d.assign_coords(layer=[0, 2, 1]), "layer does not count"),
    "targets": (lambda d: d.assign_coords(target=d["target"].values - 1), "target does not count"),
    "acausal": (value("influence", (0, 3, 1), 0.5), "back in time"),
    "acausal nan": (value("influence", (0, 3, 1), np.nan), "back in time"),
    "flag": (value("sink", 0, 2), "sink is neither"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_contents_are_refused(name):
    tamper, message = TAMPERED[name]
    with pytest.raises(map_file._Wrong) as caught:
        map_file._decode(tamper(stored()))
    assert caught.value.advice
    assert re.search(message, f"{caught.value} {caught.value.advice}"), caught.value


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_files_are_refused(tmp_path, name):
    tamper, _ = TAMPERED[name]
    tamper(stored()).to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    refused(tmp_path / "map.nc")


# -- writing -------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "map.nc"
    path.write_bytes(b"old")
    hmap = make(QUERIES[0])

    def fail(self, target, **options):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(map_file, "_check_backend", lambda: None)
    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(MapFileError, match="No space left on device.*room"):
        hmap.save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "map.nc"]


def test_an_old_file_is_replaced_and_a_link_kept(tmp_path):
    (tmp_path / "link.nc").symlink_to(tmp_path / "map.nc")
    for query in QUERIES[:2]:
        make(query).save(tmp_path / "link.nc")
        assert HorizonMap.load(tmp_path / "map.nc").query == query
    assert (tmp_path / "link.nc").is_symlink()


def test_places_that_cannot_be_written(tmp_path):
    hmap = make(QUERIES[0])
    with pytest.raises(MapFileError, match="is a folder"):
        hmap.save(tmp_path)
    for path in (tmp_path / "missing" / "map.nc", tmp_path / "file" / "map.nc"):
        (tmp_path / "file").touch()
        with pytest.raises(MapFileError, match="cannot be written"):
            hmap.save(path)


def test_a_dataset_changed_by_hand_is_not_written(tmp_path):
    hmap = make(QUERIES[0])
    path = tmp_path / "map.nc"
    with pytest.raises(MapFileError, match="no place for mine"):
        map_file._encode(hmap.dataset.assign(mine=3), hmap.tokens, hmap.query)
    for changed in (
        hmap.dataset.drop_vars("sink"),
        hmap.dataset.isel(source=slice(2)),
        hmap.dataset.assign_attrs(thing=object()),
    ):
        with pytest.raises(MapFileError, match="cannot be written"):
            map_file._encode(changed, hmap.tokens, hmap.query)
    assert not path.exists()


def test_without_hdf5_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(map_file.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MapFileError, match="pip install h5netcdf h5py"):
        make(QUERIES[0]).save(tmp_path / "map.nc")
    assert not list(tmp_path.iterdir())
