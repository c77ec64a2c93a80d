"""The assumptions of this package about a real NDIF, and of the tests about their server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nnsight
import psutil
import pytest
import torch
from nnsight import TransformersModel
from nnsight.modeling import huggingface

from tests.remote.conftest import SANDBOXED, TRUSTED
from tests.remote.server import environment

PROMPT = "The capital of France is Paris and the capital of Italy is"
LAYER = 5


@pytest.fixture(scope="module")
def traced(demo_folder):
    """The demo model as a client has it, without weights."""
    name = str(demo_folder)
    huggingface._ID_CACHE[name] = name  # a folder has no other spelling on the Hub
    yield TransformersModel(name, task="text-generation", tokenizer=name, dtype=torch.float32)
    del huggingface._ID_CACHE[name]


def remote_state(traced: Any) -> torch.Tensor:
    with traced.trace(PROMPT, remote=True):
        state = traced.model.layers[LAYER].output.save()
    return state  # noqa: RET504 - nnsight sets it when the block ends


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
    ours = {process.pid for process in psutil.Process().children(recursive=True)}
    connections = psutil.net_connections("inet")
    listening = [each.laddr for each in connections if each.status == psutil.CONN_LISTEN and each.pid in ours]
    assert int(ndif.url.rpartition(":")[2]) in {address.port for address in listening}
    assert {address.ip for address in listening} == {"127.0.0.1"}


def test_nothing_is_left_of_it_when_its_starter_is_killed(ndif):
    program = "from tests.remote.server.running import Server; Server().start()"
    with subprocess.Popen([sys.executable, "-c", program]) as starter:
        try:
            wait_until(lambda: "raylet" in {process.name() for process in started_by(starter)}, 60)
            processes = started_by(starter)
            [folder] = {Path(process.cwd()) for process in processes if process.name() == "raylet"}
            assert folder.exists()
        finally:
            starter.kill()
    wait_until(lambda: not any(map(runs, processes)), 20)
    wait_until(lambda: not folder.exists(), 20)


@pytest.mark.parametrize(
    ("there", "advice"),
    [
        ({"redis-server"}, "apt-get install util-linux"),
        ({"redis-server", "unshare"}, "CAP_SYS_ADMIN"),
        ({"unshare", "namespaces"}, "apt-get install redis-server"),
    ],
)
def test_missing_parts_are_named_with_advice(monkeypatch, there, advice):
    monkeypatch.setattr(environment.shutil, "which", lambda command: command if command in there else None)
    monkeypatch.setattr(environment, "NAMESPACES", [] if "namespaces" in there else ["false"])
    with pytest.raises(environment.Missing, match=advice):
        environment.prepare()


def started_by(starter: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(starter.pid).children(recursive=True)


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended; zombies have."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
