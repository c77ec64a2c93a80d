"""``horizon-widget doctor``, without a real host."""

from __future__ import annotations

import json
import subprocess
import sys

import nnsight
import pytest

from horizon_widget.doctor import here, there
from horizon_widget.doctor.command import main
from horizon_widget.doctor.finding import DIFFERS, MISSING, OK, STATES, UNKNOWN, WRONG
from horizon_widget.remote.faults import LATER
from tests.odd_hosts import StandInHost, http

KEY = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
NOBODY = "http://127.0.0.1:1"
HOT = {"deployment_level": "HOT", "application_state": "RUNNING", "dtype": "bfloat16"}
STATUS = {"deployments": {"k": {**HOT, "repo_id": "some/model", "model_key": "k", "execution_timeout_seconds": 60}}}
ENVIRONMENT = {"python_version": "3.12.1 (main)", "packages": dict.fromkeys(there.COMPARED, "0.0.1")}
PAGES = {
    "/status": http(200, STATUS),
    "/request": http(422, {"detail": [{"type": "missing"}]}),
    "/whoami": http(200, {"email": "me@example.org", "tags": ["trusted"]}),
    "/env": http(200, ENVIRONMENT),
}


@pytest.fixture(autouse=True)
def set_to(monkeypatch):
    """Sets the values that nnsight reads from the environment; none at first."""

    def set_to(url=None, key=None):
        for name, value in (("NDIF_HOST", url), ("NDIF_API_KEY", key)):
            monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(nnsight.CONFIG.API, "HOST", url or NOBODY)
        monkeypatch.setattr(nnsight.CONFIG.API, "APIKEY", key)

    set_to()
    return set_to


@pytest.fixture
def doctor(capsys):
    """Runs it; returns the exit status and the findings by name."""

    def run(*arguments):
        status = main(["doctor", "--json", *arguments])
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] == (status == 0)
        return status, {finding["name"]: finding for finding in report["findings"]}

    return run


def test_the_report_in_words(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for name in ("horizon-widget", "Python", "torch", "transformers", "nnsight", "anywidget", "CPU", "demo model"):
        [line] = [line for line in out.splitlines() if f"  {name} " in line]
        assert line.strip().startswith(STATES)
    assert "\x1b" not in out
    assert out.endswith("Nothing is wrong.\n")


def test_a_package_is_imported_by_its_module_s_name(doctor, monkeypatch):
    required = {"websocket-client": ">=1.7", "httpx": ">=0.27", "typing-extensions": ">=4"}
    monkeypatch.setattr(here, "_required", lambda: required)
    status, found = doctor()
    assert status == 0
    assert not required.keys() & found.keys()  # these are not wrong


def test_the_report_for_programs(doctor):
    status, found = doctor()
    assert status == 0
    assert found["torch"]["values"]["version"] == here.metadata.version("torch")
    assert found["CPU"]["values"]["free"] < found["CPU"]["values"]["memory"]
    assert {finding["state"] for finding in found.values()} <= set(STATES)


def test_no_host_is_asked_unless_the_user_wants_it(set_to, doctor, monkeypatch):
    with StandInHost(pages=PAGES) as host:
        monkeypatch.setattr(nnsight.CONFIG.API, "HOST", host.url)
        _, found = doctor()
        assert found["NDIF host"]["state"] == UNKNOWN
        assert "--host" in found["NDIF host"]["advice"]
        assert host.taken == 0
        _, found = doctor("--host")
        assert found["NDIF host"]["state"] == OK
        asked = host.taken
        monkeypatch.setenv("NDIF_API_KEY", KEY)
        doctor()
        assert host.taken > asked


def test_another_host_is_asked_for_once(set_to, doctor):
    set_to(NOBODY, KEY)
    with StandInHost(pages=PAGES) as host:
        _, found = doctor("--host", host.url)
    assert found["NDIF host"]["state"] == OK
    assert nnsight.CONFIG.API.HOST == NOBODY


def test_what_a_host_says(set_to, doctor):
    with StandInHost(pages=PAGES) as host:
        set_to(host.url, KEY)
        status, found = doctor()
    assert status == 0
    assert found["NDIF host"]["said"] == f"{host.url.removeprefix('http://')} answers"
    assert found["API key"]["said"] == "set, and accepted; it is trusted"
    assert found["API key"]["values"] == {"key": "set", "accepted": True, "tags": ["trusted"]}
    assert found["models"]["said"] == "some/model (running, bfloat16, at most 60 s a request)"
    assert found["models"]["values"]["deployed"][0]["name"] == "some/model"
    assert found["versions"]["state"] == DIFFERS
    assert f"torch {here.metadata.version('torch')} here, 0.0.1 there" in found["versions"]["said"]
    assert found["gradients"]["state"] == UNKNOWN
    assert "--model" in found["gradients"]["advice"]
    assert host.requests == 0  # nothing runs there


def test_another_build_of_a_release_is_no_other_version(set_to, doctor):
    built = {name: here.metadata.version(name).partition("+")[0] + "+cu130" for name in there.COMPARED}
    with StandInHost(pages={**PAGES, "/env": http(200, {"packages": built})}) as host:
        set_to(host.url)
        _, found = doctor()
    assert found["versions"]["state"] == OK


@pytest.mark.parametrize(
    "environment", [http(404, {"detail": "Not Found"}), http(200, {"packages": 3}), http(200, "x")]
)
def test_a_host_that_does_not_say_its_versions(set_to, doctor, environment):
    with StandInHost(pages={**PAGES, "/env": environment}) as host:
        set_to(host.url)
        status, found = doctor()
    assert (status, found["versions"]["state"]) == (0, UNKNOWN)


def test_a_host_without_models(set_to, doctor):
    with StandInHost(pages={**PAGES, "/status": http(200, {"deployments": {}})}) as host:
        set_to(host.url)
        status, found = doctor()
    assert (status, found["models"]["state"], found["models"]["said"]) == (0, MISSING, "none are deployed now")


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (http(401, {"detail": "Missing or invalid API key."}), MISSING, "requires an API key, and none is set"),
        (http(403, {"detail": "Invalid API key."}), WRONG, "does not know the API key"),
        (http(400, {"detail": f"Invalid API key format: '{KEY}'."}), WRONG, "is not a valid NDIF key"),
    ],
)
def test_keys_that_are_not_accepted(set_to, doctor, answer, state, said):
    with StandInHost(pages={**PAGES, "/request": answer}) as host:
        set_to(host.url, None if state == MISSING else KEY)
        status, found = doctor()
    assert found["API key"]["state"] == state
    assert said in found["API key"]["said"]
    assert found["API key"]["advice"]
    assert found["models"]["state"] == OK  # the rest is asked for anyway
    assert status == (1 if state == WRONG else 0)


def test_a_host_that_cannot_be_reached_is_an_error_only_where_it_is_needed(set_to, doctor, monkeypatch):
    set_to(NOBODY, KEY)
    status, found = doctor()
    assert (status, found["NDIF host"]["state"], found["API key"]["state"]) == (0, MISSING, UNKNOWN)
    assert found["NDIF host"]["advice"]
    monkeypatch.setattr(there, "model", lambda name: there.no_model())
    status, found = doctor("--model", "some/model")
    assert (status, found["NDIF host"]["state"]) == (1, WRONG)


def test_a_model_that_cannot_be_loaded(set_to, doctor, tmp_path):
    with StandInHost(pages=PAGES) as host:
        set_to(host.url, KEY)
        status, found = doctor("--model", str(tmp_path))
    assert status == 1
    assert found[str(tmp_path)]["state"] == WRONG
    assert "neither a local folder with a model" in found[str(tmp_path)]["said"]
    assert found["gradients"]["state"] == UNKNOWN


def test_advice_about_maps_is_left_out(set_to, doctor):
    with StandInHost(pages={"/status": http(503, {"detail": "Reconnecting."})}) as host:
        set_to(host.url)
        _, found = doctor()
    assert (
        found["NDIF host"]["advice"] == "This often passes within minutes; if it does not, tell the host's operators."
    )
    assert LATER not in str(found)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_key_is_shown_nowhere(set_to, capsys, form):
    entry = {**HOT, "repo_id": f"mine/{KEY}", "revision": KEY, "dtype": KEY}
    pages = {
        "/status": http(200, {"deployments": {KEY: entry}}),
        "/request": http(500, {"detail": f"who is {KEY}?"}),
        "/env": http(200, {"packages": {"torch": KEY}}),
    }
    with StandInHost(pages=pages) as host:
        set_to(host.url.replace("://", "://someone:password1@"), KEY)
        main(["doctor", *form])
        set_to(f"ftp://someone:password1@{KEY}/", KEY)
        main(["doctor", *form])
        set_to(host.url, KEY + "\n")
        main(["doctor", *form])
    shown = "".join(capsys.readouterr())
    assert "[removed]" in shown
    assert "someone" not in shown
    assert not [start for start in range(len(KEY) - 5) if KEY[start : start + 6] in shown]
    assert "me@example.org" not in shown


def test_a_host_cannot_control_the_terminal(set_to, capsys):
    entry = {**HOT, "repo_id": "\x1b[2J\rwell", "model_key": "k"}
    with StandInHost(pages={**PAGES, "/status": http(200, {"deployments": {"k": entry}})}) as host:
        set_to(host.url)
        main(["doctor"])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


@pytest.mark.parametrize(
    ("needed", "said"),
    [({"torch": ">=99"}, "but >=99 is needed"), ({"nothing-like-it": ">=1"}, "not installed")],
)
def test_what_this_package_needs(doctor, monkeypatch, needed, said):
    monkeypatch.setattr(here, "_required", lambda: needed)
    status, found = doctor()
    [(name, allowed)] = needed.items()
    assert status == 1
    assert found[name]["state"] == WRONG
    assert said in found[name]["said"]
    assert found[name]["advice"] == f"Run: pip install '{name}{allowed}'"


def test_a_dependency_that_cannot_be_imported(doctor, monkeypatch):
    def broken(name):
        raise OSError("libtorch.so: no such file") if name == "torch" else None

    monkeypatch.setattr(here.importlib, "import_module", broken)
    status, found = doctor()
    assert (status, found["torch"]["state"]) == (1, WRONG)
    assert "libtorch.so: no such file" in found["torch"]["said"]


def test_where_the_demo_model_would_be(doctor, monkeypatch, tmp_path):
    monkeypatch.setenv("HORIZON_WIDGET_CACHE", str(tmp_path))
    status, found = doctor()
    assert (status, found["demo model"]["state"]) == (0, MISSING)
    assert found["demo model"]["said"].startswith(f"not downloaded yet; its folder is {tmp_path}")
    assert list(tmp_path.iterdir()) == []
    folder = found["demo model"]["values"]["folder"]
    here.Path(folder).mkdir()
    assert doctor()[1]["demo model"]["said"].startswith("incomplete")


def test_an_unexpected_error_does_not_hide_the_rest(doctor, monkeypatch):
    def look():
        raise ZeroDivisionError("a surprise")
        yield

    monkeypatch.setattr(here, "devices", look)
    status, found = doctor()
    assert (status, found["devices"]["state"]) == (1, WRONG)
    assert found["devices"]["said"] == "ZeroDivisionError: a surprise"
    assert found["demo model"]["area"] == "cache"


def test_an_interrupt_is_not_an_error(capsys, monkeypatch):
    def look():
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(here, "devices", look)
    assert main(["doctor"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_the_module_is_the_command_and_is_light():
    code = (
        "import sys; sys.argv[1:] = ['--version']\n"
        "import runpy\n"
        "try: runpy.run_module('horizon_widget', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, sorted({'torch', 'nnsight', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, last = done.stdout.splitlines()
    assert version.startswith("horizon-widget ")
    assert last == "0 []"
