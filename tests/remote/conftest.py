"""A real NDIF server for the tests of this folder, with the demo model on it.

Fixtures:

- ``ndif``: the server, one for all tests (24 to 60 s to start). ``ndif.url``; ``ndif.kill(part)``,
  ``ndif.pause(part)``, ``ndif.resume(part)`` with part ``"model"`` (its process), ``"api"``, ``"store"``, ``"redis"``,
  ``"everything"``; ``ndif.restart(part)`` with ``"model"`` (8 s), ``"api"`` (7 s) or ``"everything"``; ``ndif.wait()``,
  until it is ready. After each test the server is repaired (``ndif.mend()``). If a test fails, the server's logs are
  shown.
- ``as_user``: ``as_user(key)`` sets nnsight to a key and this server until the end of the test, and returns the server.
  Keys: ``TRUSTED`` (its code runs beside the model), ``SANDBOXED`` (in a sandbox), ``UNKNOWN``.
- ``trusted``, ``sandboxed``: the server, with ``as_user`` called; ``either``: each of the two in turn.
- ``another_ndif``: ``another_ndif(dtype="bfloat16", time_limit=5, …)`` starts a server with other settings, and stops
  it after the module (arguments: ``tests.remote.server.running.Server``). Each takes 30 s and 2 GB.
- ``demo_folder``: the demo model's folder, which is its name on the server.

If the server cannot run, tests are skipped with the reason; with CI=true they fail.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nnsight
import pytest

from horizon_widget.models.demo import demo_model_folder
from tests.remote.server.environment import Missing
from tests.remote.server.running import Server

TRUSTED = "11111111-1111-4111-8111-111111111111"
SANDBOXED = "22222222-2222-4222-8222-222222222222"
UNKNOWN = "33333333-3333-4333-8333-333333333333"
KEYS = {TRUSTED: ["trusted"], SANDBOXED: []}

_servers: list[Server] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.remote)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Add the servers' logs to the report of a failed test."""
    report = yield
    if report.failed:
        report.sections += [(f"NDIF at {server.url}", server.logs()) for server in _servers]
    return report


@contextlib.contextmanager
def _running(config: pytest.Config, **settings: Any) -> Iterator[Server]:
    server = Server([demo_model_folder()], keys=KEYS, **settings)
    try:
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            server.start()  # which prints what it must install first
    except Missing as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    _servers.append(server)
    try:
        yield server
    finally:
        _servers.remove(server)
        server.stop()


@pytest.fixture(scope="session")
def ndif(pytestconfig: pytest.Config) -> Iterator[Server]:
    """A server in float32, like the local model."""
    with _running(pytestconfig) as server:
        yield server


@pytest.fixture(autouse=True)
def _mended(request: pytest.FixtureRequest) -> Iterator[None]:
    """Repair the server after a test."""
    yield
    if "ndif" in request.fixturenames:
        request.getfixturevalue("ndif").mend()


@pytest.fixture(scope="module")
def another_ndif(pytestconfig: pytest.Config) -> Iterator[Callable[..., Server]]:
    """Starts a server with other settings."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_running(pytestconfig, **settings))


@pytest.fixture(scope="session")
def demo_folder() -> Path:
    """The name of the demo model on the server."""
    return demo_model_folder()


@pytest.fixture
def as_user(ndif: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Server]:
    """Sets nnsight to a key, on the server or on another one."""

    def use(key: str, server: Server = ndif) -> Server:
        for name, value in (("NDIF_HOST", server.url), ("NDIF_API_KEY", key)):
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(nnsight.CONFIG.API, "HOST", server.url)
        monkeypatch.setattr(nnsight.CONFIG.API, "APIKEY", key)
        monkeypatch.setattr(nnsight.CONFIG.APP, "REMOTE_LOGGING", False)
        return server

    return use


@pytest.fixture
def trusted(as_user: Callable[[str], Server]) -> Server:
    """The server, for a user whose code runs beside the model."""
    return as_user(TRUSTED)


@pytest.fixture
def sandboxed(as_user: Callable[[str], Server]) -> Server:
    """The server, for a user whose code runs in a sandbox."""
    return as_user(SANDBOXED)


@pytest.fixture(params=[pytest.param(TRUSTED, id="trusted"), pytest.param(SANDBOXED, id="sandboxed")])
def either(request: pytest.FixtureRequest, as_user: Callable[[str], Server]) -> Server:
    """The server, for each kind of user in turn."""
    return as_user(request.param)
