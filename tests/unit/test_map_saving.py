"""The paths that a map is saved to, and the parts of its dataset that the file keeps."""

import io
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from horizon_widget.errors import MapFileError
from horizon_widget.question.metric import Metric
from horizon_widget.result.horizon_map import HorizonMap
from tests import maps

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]


def refused(hmap, path):
    with pytest.raises(MapFileError) as caught:
        hmap.save(path)
    assert caught.value.advice
    return str(caught.value)


def same(loaded, hmap):
    xr.testing.assert_identical(loaded.dataset, hmap.dataset)
    return loaded.tokens == hmap.tokens and loaded.query == hmap.query


# -- disks and targets ---------------------------------------------------------------------------------------------

ON_A_FULL_DISK = """
import resource, sys
from horizon_widget.errors import MapFileError
from tests import maps

hmap = maps.make()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # writing more to a file fails, as on a full disk
try:
    hmap.save(sys.argv[1])
except MapFileError as error:
    print(error)
"""


def test_on_a_full_disk_the_old_file_stays_and_the_process_continues(tmp_path):
    path = tmp_path / "map.nc"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", ON_A_FULL_DISK, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "File too large" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_at_its_end_leaves_no_file(tmp_path, monkeypatch, fault):
    path = tmp_path / "map.nc"
    path.write_bytes(b"old")

    def fail(descriptor):
        raise fault

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(fault, KeyboardInterrupt) else MapFileError) as caught:
        maps.make().save(path)
    assert "No space left" in str(caught.value) or caught.type is KeyboardInterrupt
    assert ".part" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        before = {path.name: path.lstat().st_ino for path in tmp_path.iterdir()}
        for name in before:
            assert "not a regular file" in refused(maps.make(), tmp_path / name)
    assert {path.name: path.lstat().st_ino for path in tmp_path.iterdir()} == before


def test_a_read_only_file_is_refused_to_root_too(tmp_path):
    path = tmp_path / "map.nc"
    path.write_bytes(b"kept")
    path.chmod(0o444)
    (tmp_path / "link.nc").symlink_to(path)
    for name in ("map.nc", "link.nc"):
        assert "read-only" in refused(maps.make(), tmp_path / name)
    assert path.read_bytes() == b"kept"


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_a_file_that_is_replaced_keeps_its_mode_and_owner(tmp_path, mode):
    path = tmp_path / "map.nc"
    path.write_bytes(b"old")
    if os.geteuid() == 0:  # only root can change the owner
        os.chown(path, 12345, 12346)
    path.chmod(mode)
    before = path.stat()
    maps.make().save(path)
    after = path.stat()
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert same(HorizonMap.load(path), maps.make())


def test_a_new_file_has_the_mode_that_the_umask_gives(tmp_path):
    old = os.umask(0o027)
    try:
        maps.make().save(tmp_path / "map.nc")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "map.nc").stat().st_mode) == 0o640


def test_a_link_stays_and_the_file_that_it_leads_to_is_written(tmp_path):
    (tmp_path / "link.nc").symlink_to(tmp_path / "map.nc")
    for metric in ("logprob", "entropy"):  # first there is no file, then an old one
        hmap = maps.make(metric=Metric(metric))
        hmap.save(tmp_path / "link.nc")
        assert same(HorizonMap.load(tmp_path / "map.nc"), hmap)
    assert (tmp_path / "link.nc").is_symlink()


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    maps.make().save("~/map.nc")
    assert list(tmp_path.iterdir()) == [tmp_path / "map.nc"]
    assert same(HorizonMap.load("~/map.nc"), maps.make())
    unknown = "~nobody of that name/map.nc"
    assert "home" in refused(maps.make(), unknown)
    with pytest.raises(MapFileError, match="home"):
        HorizonMap.load(unknown)


def test_an_open_file_is_not_a_path(tmp_path):
    maps.make().save(tmp_path / "map.nc")
    before = (tmp_path / "map.nc").read_bytes()
    with (tmp_path / "map.nc").open("r+b") as file:
        for thing in (file, io.BytesIO(before), file.fileno(), None):
            assert "path" in refused(maps.make(), thing)
            with pytest.raises(MapFileError, match="path"):
                HorizonMap.load(thing)
    assert (tmp_path / "map.nc").read_bytes() == before


def test_unwritable_places_are_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "map.nc", tmp_path / "file" / "map.nc", "a\0b", "x" * 5000):
        refused(maps.make(), path)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_without_hdf5_the_error_says_what_is_missing(tmp_path, monkeypatch):
    maps.make().save(tmp_path / "map.nc")
    monkeypatch.setitem(sys.modules, "h5netcdf", None)
    assert "pip install h5netcdf" in refused(maps.make(), tmp_path / "other.nc")
    with pytest.raises(MapFileError, match="pip install h5netcdf"):
        HorizonMap.load(tmp_path / "map.nc")
    assert list(tmp_path.iterdir()) == [tmp_path / "map.nc"]


# -- additions of a user ---------------------------------------------------------------------------------------------


def with_attrs(name, **attrs):
    def change(dataset):
        dataset[name].attrs.update(attrs)
        return dataset

    return change


def packed(dataset):
    """A dataset as read from a file that stores it rounded."""
    added = dataset.assign(rounded=("layer", np.array([0.1, 0.25, 0.3])))
    added["rounded"].encoding = {"dtype": "int16", "scale_factor": 0.5, "zlib": True, "source": "elsewhere.nc"}
    return added


TIMES = np.array(["2020-01-01", "2021-05-05T01:02:03.123456789", "NaT"], dtype="datetime64[ns]")
KEPT = {
    "texts": lambda d: d.assign(note=("layer", ["a", "", "é \N{WAVING HAND SIGN}"])),
    "truth": lambda d: d.assign(chosen=(("layer", "source"), np.eye(maps.L, maps.T, dtype=bool))),
    "number": lambda d: d.assign(threshold=0.25, attempts=np.int8(3)),
    "as large as the map": lambda d: d.assign(double=d["influence"].astype(float) * 2),
    "not finite": lambda d: d.assign(limit=("layer", [np.nan, np.inf, -np.inf])),
    "times": lambda d: d.assign(at=("layer", TIMES)),
    "seconds": lambda d: d.assign(took=("layer", np.arange(3.0), {"units": "seconds"})),
    "a dimension with labels": lambda d: d.assign(probe=(("layer", "name"), np.eye(3))).assign_coords(name=list("xyz")),
    "an empty dimension": lambda d: d.assign(none=(("layer", "nothing"), np.zeros((3, 0)))),
    "coordinates": lambda d: d.assign_coords(part=("source", list("abc" * 4)), run=7, draw=[1, 2, 4]),
    "a name with a space": lambda d: d.assign_coords({"part of speech": ("source", np.arange(maps.T))}),
    "packed": packed,
    "attributes": lambda d: d.assign(x=("layer", np.arange(3), {"by": "me", "n": 3, "of": [1.5, 2.5], "e": ""})),
    "of the influence": with_attrs("influence", long_name="mine", seen=np.arange(3)),
    "of the baseline": with_attrs("baseline", by="me", odd="a\0b\ud800", nothing=None),
    "of a coordinate": with_attrs("layer", by="me", seen=np.arange(3)),
    "of token texts": with_attrs("source_token", language="en"),
    "of the sinks": with_attrs("sink", rule="mine"),
    "of the dataset": lambda d: d.assign_attrs(by="me", seen=np.arange(3), nested={"a": [1, None, True]}),
}


@pytest.mark.parametrize("name", KEPT)
def test_additions_of_the_user_are_saved(tmp_path, name):
    hmap = maps.make()
    hmap.dataset = KEPT[name](hmap.dataset)
    hmap.save(tmp_path / "map.nc")
    loaded = HorizonMap.load(tmp_path / "map.nc")
    assert same(loaded, hmap)
    for variable in hmap.dataset.variables:
        assert loaded.dataset[variable].dtype == hmap.dataset[variable].dtype, variable
    copy = loaded.snapshot(layers=[1])
    assert {*copy.dataset.variables} == {*hmap.dataset.variables}
    assert copy.dataset.attrs.keys() == hmap.dataset.attrs.keys()
    loaded.save(tmp_path / "map.nc")
    assert same(HorizonMap.load(tmp_path / "map.nc"), hmap)


def prettier(dataset):
    texts = dataset["source_token"].values.copy()
    texts[0] = "<start>"
    return dataset.assign_coords(source_token=("source", texts))


REFUSED = {
    "objects": (lambda d: d.assign(thing=("layer", np.array([{1}, None, 3], dtype=object))), "'thing'"),
    "durations": (lambda d: d.assign(took=("layer", np.arange(3, dtype="timedelta64[ns]"))), "'took'"),
    "NUL": (lambda d: d.assign(note=("layer", ["a\0b", "", ""])), "'note'"),
    "a lone surrogate": (lambda d: d.assign(note=("layer", ["\ud800", "", ""])), "'note'"),
    "a slash": (lambda d: d.assign({"a/b": 3}), "'a/b'"),
    "a number as name": (lambda d: d.assign({3: 3}), "variable 3"),
    "about": (lambda d: d.assign(about=3), "'about'"),
    "a dimension of the file": (lambda d: d.assign(x=("about_bytes", np.zeros(2))), "'about_bytes'"),
    "several of one": (lambda d: d.assign(x=3, thing=("layer", np.array([{1}, None, 3], dtype=object))), "'thing'"),
    "dates written as numbers": (
        lambda d: d.assign(at=("layer", np.arange(3.0), {"units": "days since 2000-01-01"})),
        "'at'",
    ),
    "a fill value": (lambda d: d.assign(x=("layer", np.arange(3), {"_FillValue": 1})), "'x'"),
    "an attribute of a variable": (lambda d: d.assign(x=("layer", np.arange(3), {"by": None})), "'x'"),
    "an attribute of the influence": (with_attrs("influence", by=object()), "'influence'"),
    "an attribute of a coordinate": (with_attrs("layer", by=object()), "'by'"),
    "an attribute of the dataset": (lambda d: d.assign_attrs(by={1, 2}), "'by'"),
    "keys that are numbers": (lambda d: d.assign_attrs(by={1: 2}), "'by'"),
    "a coordinate that is made anew": (prettier, "'source_token'"),
    "some of the layers": (lambda d: d.isel(layer=[0, 2]), "'layer'"),
    "a missing variable": (lambda d: d.drop_vars("sink"), "sink"),
    "some of the sources": (lambda d: d.isel(source=slice(2)), ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_additions_that_a_file_cannot_hold_are_refused_by_name(tmp_path, name):
    change, named = REFUSED[name]
    hmap = maps.make()
    hmap.dataset = change(hmap.dataset)
    assert named in refused(hmap, tmp_path / "map.nc")
    assert not list(tmp_path.iterdir())


def test_a_users_function_is_not_copied(tmp_path):
    class Function:
        def __call__(self, logits, ids):
            return logits[:, 0]

        def __deepcopy__(self, memo):
            raise AssertionError("copied")

    maps.make(metric=Metric("function", function=Function(), label="mine")).save(tmp_path / "map.nc")
