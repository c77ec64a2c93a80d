"""The content of a wheel and a source distribution; the package works from an installed wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = "horizon_widget/static/widget.js"


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def only(folder: Path, pattern: str) -> Path:
    [found] = folder.glob(pattern)
    return found


def tracked() -> set[str]:
    """The files of the repository, by their paths from its root."""
    return {name for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0") if name and (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the tracked files, with nothing built or installed."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    assert not (copy / BUNDLE).exists()
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ".", cwd=checkout)
    return only(folder, "*.whl")


@pytest.fixture(scope="module")
def source_distribution(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source_distribution")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, ".", cwd=checkout)
    return only(folder, "*.tar.gz")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment: this wheel, and the dependencies of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", "environment", cwd=folder)
    environment = folder / "environment"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    site_packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    links = "\n".join(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]))
    Path(site_packages, "dependencies.pth").write_text(links + "\n")
    return python


def answer(python: Path, code: str) -> object:
    """Run code in the installed environment, away from the checkout; return its printed JSON."""
    return json.loads(run(python, "-c", code, cwd=python.parent).splitlines()[-1])


def test_wheel_holds_the_package_with_its_front_end_and_nothing_else(wheel: Path, checkout: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    assert sizes[BUNDLE] > 1000
    top = {name.split("/")[0] for name in sizes}
    assert top == {"horizon_widget", f"{wheel.name.split('-py3')[0]}.dist-info"}
    modules = {path.relative_to(checkout).as_posix() for path in (checkout / "horizon_widget").rglob("*.py")}
    package = {name for name in sizes if name.startswith("horizon_widget/")}
    assert modules <= package
    assert {Path(name).suffix for name in package - modules} <= {".js", ".css", ".typed"}
    assert not any(name.endswith(".map") for name in sizes)


def test_import_is_light(installed: Path) -> None:
    heavy = answer(
        installed,
        "import sys, json, horizon_widget;"
        "print(json.dumps(sorted({'torch', 'nnsight', 'transformers', 'xarray', 'anywidget'} & set(sys.modules))))",
    )
    assert heavy == []


def test_installed_widget_finds_its_front_end(installed: Path) -> None:
    home, front_end = answer(
        installed,
        "import json, horizon_widget as hw;print(json.dumps([hw.__file__, str(hw.HorizonWidget._esm)]))",
    )
    assert Path(home).is_relative_to(installed.parent.parent)
    assert "export" in front_end


def test_version_is_the_package_s_own(installed: Path, wheel: Path) -> None:
    version, metadata = answer(
        installed,
        "import json, importlib.metadata, horizon_widget as hw;"
        "print(json.dumps([hw.__version__, importlib.metadata.version('horizon-widget')]))",
    )
    assert version == metadata
    assert wheel.name.startswith(f"horizon_widget-{version}-")


def test_the_command_is_installed(installed: Path, wheel: Path) -> None:
    said = run(installed.parent / "horizon-widget", "--version", cwd=installed.parent)
    assert said.split() == ["horizon-widget", wheel.name.split("-")[1]]


def test_source_distribution_holds_every_file_of_the_repository(source_distribution: Path) -> None:
    with tarfile.open(source_distribution) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames()}
    made = {name for name in held if name.startswith("horizon_widget/static/")} | {"PKG-INFO"}
    assert BUNDLE in made
    assert held - made == tracked()


def test_source_distribution_installs_without_node(wheel: Path, source_distribution: Path, tmp_path: Path) -> None:
    with tarfile.open(source_distribution) as archive:
        archive.extractall(tmp_path, filter="data") if sys.version_info >= (3, 12) else archive.extractall(tmp_path)
    source = only(tmp_path, "horizon_widget-*/")
    assert (source / "js" / "src").is_dir()
    assert not (source / "js" / "node_modules").exists()
    for path in (source / "js").rglob("*"):
        path.touch()  # some versions of pip give files the time of unpacking

    environment = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    run(*command, cwd=tmp_path, env=environment)
    assert not (source / "js" / "node_modules").exists()
    with zipfile.ZipFile(only(tmp_path, "*.whl")) as made, zipfile.ZipFile(wheel) as expected:
        assert sorted(made.namelist()) == sorted(expected.namelist())
        assert made.read(BUNDLE) == expected.read(BUNDLE)
