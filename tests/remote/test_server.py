"""What we rely on in a real NDIF, and in the server of these tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nnsight
import pytest
import torch
from nnsight import TransformersModel
from nnsight.intervention.backends.remote import RemoteError
from nnsight.modeling import huggingface

from tests.remote.conftest import SANDBOXED, TRUSTED, UNKNOWN

PROMPT = "The capital of France is Paris and the capital of Italy is"
LAYER = 5


@pytest.fixture(scope="module")
def traced(demo_folder):
    """The demo model as a client has it: no weights."""
    name = str(demo_folder)
    huggingface._ID_CACHE[name] = name  # a folder has no other spelling on the Hub
    yield TransformersModel(name, task="text-generation", tokenizer=name, dtype=torch.float32)
    del huggingface._ID_CACHE[name]


def remote_state(traced: Any) -> torch.Tensor:
    with traced.trace(PROMPT, remote=True):
        state = traced.model.layers[LAYER].output.save()
    return state  # noqa: RET504 - nnsight sets it when the block ends


def test_a_request_comes_back_with_what_the_model_computes(either, traced, demo_model):
    with torch.no_grad():
        ids = traced.tokenizer(PROMPT, return_tensors="pt")["input_ids"]
        wanted = demo_model.hf_model(ids, output_hidden_states=True).hidden_states[LAYER + 1]
    torch.testing.assert_close(remote_state(traced), wanted, atol=1e-4, rtol=1e-4)


def test_an_unknown_key_is_refused(as_user, traced):
    as_user(UNKNOWN)
    with pytest.raises(RemoteError, match="Invalid API key"):
        remote_state(traced)


def test_code_runs_beside_the_weights_only_if_it_is_trusted(as_user, traced):
    def of_the_host() -> tuple[str, str, bool]:
        with traced.session(remote=True):
            import importlib.util

            device = nnsight.save(next(traced._module.parameters()).device.type)
            dtype = nnsight.save(str(next(traced._module.parameters()).dtype))
            is_installed = nnsight.save(importlib.util.find_spec("horizon_widget") is not None)
        return device, dtype, is_installed

    as_user(TRUSTED)
    assert of_the_host() == ("cpu", "torch.float32", False)
    as_user(SANDBOXED)
    device, _, is_installed = of_the_host()
    assert (device, is_installed) == ("meta", False)


@pytest.mark.parametrize("part", ["model", "api"])
def test_a_part_that_was_killed_can_be_started_again(trusted, traced, part):
    before = remote_state(traced)
    trusted.kill(part)
    trusted.restart(part)
    torch.testing.assert_close(remote_state(traced), before)


def test_it_is_reached_through_loopback_alone(ndif):
    ours = {inode for pid in inside() for inode in sockets_of(pid)}
    listening = [address for address, inode in listeners() if inode in ours]
    assert len(listening) == 2  # the API and the object store
    assert set(listening) == {"0100007F"}


def test_nothing_is_left_of_it_when_its_starter_is_killed(ndif):
    folders, processes = set(Path("/tmp").glob("ndif-*")), set(inside())
    program = "from tests.remote.server.running import Server\nwith Server() as s: print(s.url, flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    starter = subprocess.Popen([sys.executable, "-c", program], text=True, **pipes)
    try:
        assert starter.stdout.readline().startswith("http://127.0.0.1:")
        assert set(inside()) - processes
        starter.send_signal(signal.SIGKILL)
        until = time.monotonic() + 20
        while set(inside()) - processes or set(Path("/tmp").glob("ndif-*")) - folders:
            assert time.monotonic() < until, "processes or files are left"
            time.sleep(0.1)
    finally:
        starter.kill()
        starter.communicate()


def inside() -> list[int]:
    """Processes with process numbers of their own, as those of our servers have."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "ns" / "pid").readlink() != Path("/proc/self/ns/pid").readlink():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return found


def listeners() -> list[tuple[str, str]]:
    """The address and the inode of whatever listens in this network, for IPv4 and IPv6."""
    rows = [
        line.split()
        for file in (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
        if file.exists()
        for line in file.read_text().splitlines()[1:]
    ]
    return [(row[1].partition(":")[0], row[9]) for row in rows if row[3] == "0A"]
