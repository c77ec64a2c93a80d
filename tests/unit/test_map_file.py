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

from horizon_widget.errors import HorizonError, MapFileError
from horizon_widget.question.baseline import Baseline
from horizon_widget.question.metric import Metric
from horizon_widget.question.query import Query
from horizon_widget.question.tokens import Token
from horizon_widget.result import map_file
from horizon_widget.result.horizon_map import HorizonMap

pytestmark = pytest.mark.long

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
    return HorizonMap(dataset, tokens, query)


def check_same(loaded, hmap):
    xr.testing.assert_identical(loaded.dataset, hmap.dataset)
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


@pytest.mark.long
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


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_texts_with_nul_surrogates_and_great_length_survive(tmp_path, query):
    texts = (ODD_TEXTS * 2)[: query.n_tokens] if query.n_tokens < 5 else ODD_TEXTS[2:7]
    hmap = make(query, texts)
    hmap.save(tmp_path / "map.nc")
    check_same(HorizonMap.load(tmp_path / "map.nc"), hmap)


def test_a_loaded_map_works_without_its_file(tmp_path):
    hmap = make(QUERIES[0])
    hmap.save(tmp_path / "map.nc")
    loaded = HorizonMap.load(tmp_path / "map.nc")
    (tmp_path / "map.nc").unlink()
    loaded.record(1, [0], np.ones((1, 4)))
    assert loaded.cell(1, 0, 1) == 1
    loaded.save(tmp_path / "map.nc")
    check_same(HorizonMap.load(tmp_path / "map.nc"), loaded)


def test_other_programs_can_read_a_file(tmp_path):
    hmap = make(QUERIES[0])
    hmap.save(tmp_path / "map.nc")
    with xr.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as other:
        np.testing.assert_array_equal(other["influence"].values, hmap.values.values)
        assert other["influence"].attrs["unit"] == "nats"
        assert other["influence"].encoding["zlib"]
        assert other.attrs["format"] == map_file.FORMAT


# -- files that are not a map --------------------------------------------------------------------------------------


def refused(path):
    with pytest.raises(MapFileError) as caught:
        HorizonMap.load(path)
    assert caught.value.advice
    assert "Traceback" not in str(caught.value)
    assert isinstance(caught.value, HorizonError)
    return str(caught.value)


def test_paths_without_a_map_are_refused(tmp_path):
    refused(tmp_path / "missing.nc")
    refused(tmp_path)
    refused("a\0b")
    refused("x" * 5000)
    (tmp_path / "text.nc").write_text("influence: 3\n")
    refused(tmp_path / "text.nc")
    (tmp_path / "empty.nc").touch()
    refused(tmp_path / "empty.nc")
    (tmp_path / "classic.nc").write_bytes(b"CDF\x01" + bytes(100))
    refused(tmp_path / "classic.nc")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        refused(tmp_path / "socket")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(tmp_path / "loop")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    make(QUERIES[0]).save(tmp_path / "map.nc")
    whole = (tmp_path / "map.nc").read_bytes()
    cut = tmp_path / "cut.nc"
    for length in [*range(0, len(whole), max(1, len(whole) // 200)), *range(len(whole) - 20, len(whole))]:
        cut.write_bytes(whole[:length])
        refused(cut)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # h5py, closing it
def test_a_file_with_a_damaged_part_is_refused_or_reads(tmp_path):
    make(QUERIES[0]).save(tmp_path / "map.nc")
    whole = (tmp_path / "map.nc").read_bytes()
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.nc"
    for start in rng.integers(8, len(whole) - 16, 100):
        damaged.write_bytes(whole[:start] + rng.bytes(16) + whole[start + 16 :])
        with suppress(MapFileError):  # no other error; damaged numbers may go unnoticed
            HorizonMap.load(damaged)


def test_a_foreign_netcdf_is_refused(tmp_path):
    xr.Dataset({"influence": ("layer", np.zeros(3))}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    refused(tmp_path / "other.nc")


def stored(folder):
    """A saved map as the file stores it."""
    make(QUERIES[0]).save(folder / "whole.nc")
    with xr.open_dataset(folder / "whole.nc", engine="h5netcdf", decode_cf=False) as opened:
        return opened.load()


def with_about(change):
    def tamper(dataset):
        about = json.loads(dataset["about"].values.tobytes().decode("utf-8", "surrogatepass"))
        about = change(about) or about
        raw = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        return dataset.drop_vars("about").assign(about=("character", raw))

    return tamper


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(about):
        for key in keys:
            about = about[key]
        about[last] = value

    return with_about(change)


def raw_about(raw):
    return lambda dataset: dataset.drop_vars("about").assign(about=("character", np.frombuffer(raw, dtype=np.uint8)))


def value(name, index, new):
    def tamper(dataset):
        values = dataset[name].values.copy()
        values[index] = new
        return dataset.assign({name: (dataset[name].dims, values)})

    return tamper


TAMPERED = {
    "newer": (lambda d: d.assign_attrs(version=2), "[Uu]pgrade"),
    "version text": (lambda d: d.assign_attrs(version="one"), ""),
    "version 0": (lambda d: d.assign_attrs(version=0), ""),
    "versions": (lambda d: d.assign_attrs(version=np.array([1, 1])), ""),
    "format": (lambda d: d.assign_attrs(format="another"), ""),
    "no attributes": (lambda d: d.drop_attrs(), ""),
    "no json": (lambda d: d.drop_vars("about"), ""),
    "cut json": (raw_about(b'{"query": '), ""),
    "no utf-8": (raw_about(b"\xff\xfe"), ""),
    "deep json": (raw_about(b"[" * 100_000), ""),
    "other json": (raw_about(b"[]"), ""),
    "number json": (raw_about(b"1" * 10_000), ""),
    "json type": (lambda d: d.drop_vars("about").assign(about=("character", np.zeros(3))), ""),
    "no query": (with_about(lambda a: a.pop("query") and None), ""),
    "query": (put("query", 3), ""),
    "method": (put("query", "method", "magic"), ""),
    "site": (put("query", "site", ["key"]), ""),
    "head": (put("query", "head", 1), ""),
    "seed": (put("query", "seed", True), ""),
    "ids": (put("query", "token_ids", [1.5, 2]), ""),
    "shorter": (put("query", "token_ids", [5, 7]), ""),
    "draws": (put("query", "draws", 4), ""),
    "metric": (put("query", "metric", "name", "magic"), ""),
    "contrast": (put("query", "metric", "name", "contrast"), ""),
    "other targets": (put("query", "metric", "name", "entropy"), ""),
    "baseline kind": (put("query", "baseline", "kind", "magic"), ""),
    "reference": (put("query", "baseline", "reference", [[1], 2]), ""),
    "shocks": (put("query", "baseline", "shocks", [1]), ""),
    "tokens": (put("tokens", []), ""),
    "token": (put("tokens", 0, [5, "a"]), ""),
    "token text": (put("tokens", 0, "text", None), ""),
    "token id": (put("tokens", 0, "id", "5"), ""),
    "piece": (put("tokens", 0, "piece", [3, 2]), ""),
    "short piece": (put("tokens", 0, "piece", [1]), ""),
    "attrs": (put("attrs", None), ""),
    "attrs of a coordinate": (put("attrs_of", {"layer": [1]}), ""),
    "attrs of influence": (put("attrs_of", {"influence": {"unit": "bits"}}), ""),
    "coordinates": (put("coords", ["influence"]), ""),
    "unknown coordinates": (put("coords", ["there is none"]), ""),
    "coordinate": (lambda d: d.assign_coords(layer=np.arange(3)), ""),
    "odd variable": (lambda d: d.assign(note=("layer", np.arange(3), {"units": "days since never"})), ""),
    "no influence": (lambda d: d.drop_vars("influence"), ""),
    "no sink": (lambda d: d.drop_vars("sink"), ""),
    "one layer less": (lambda d: d.assign(noise_floor=("other", np.zeros(2, np.float32))), ""),
    "no layers": (lambda d: d.isel(layer=slice(0)), ""),
    "flat": (lambda d: d.assign(influence=("flat", np.zeros(60, np.float32))), ""),
    "turned": (lambda d: d.assign(state_norm=d["state_norm"].transpose()), ""),
    "source cut": (lambda d: d.isel(source=slice(4)), ""),
    "double": (lambda d: d.assign(influence=d["influence"].astype(float)), ""),
    "acausal": (value("influence", (0, 3, 1), 0.5), ""),
    "acausal nan": (value("influence", (0, 3, 1), np.nan), ""),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_files_are_refused(tmp_path, name):
    tamper, message = TAMPERED[name]
    tamper(stored(tmp_path)).to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    assert re.search(message, refused(tmp_path / "map.nc"))


def test_an_untampered_copy_is_read(tmp_path):  # so the tampering is the reason of the refusals
    with_about(lambda about: about)(stored(tmp_path)).to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    check_same(HorizonMap.load(tmp_path / "map.nc"), make(QUERIES[0]))
