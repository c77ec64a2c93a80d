"""``horizon-widget doctor``, against a real NDIF."""

from __future__ import annotations

import json

import pytest

from horizon_widget.doctor.command import main
from horizon_widget.doctor.finding import MISSING, OK, UNKNOWN, WRONG
from tests.remote.conftest import SANDBOXED, TRUSTED
from tests.remote.conftest import UNKNOWN as UNKNOWN_KEY


@pytest.fixture
def doctor(capsys):
    """Runs it; returns the exit status and the findings by name."""

    def run(*arguments):
        status = main(["doctor", "--json", *arguments])
        printed = capsys.readouterr()
        for key in (TRUSTED, SANDBOXED, UNKNOWN_KEY):
            assert key[:8] not in printed.out + printed.err
        return status, {finding["name"]: finding for finding in json.loads(printed.out)["findings"]}

    return run


def test_where_our_code_is_trusted(trusted, doctor, demo_folder):
    status, found = doctor("--model", "demo")
    assert status == 0, found
    assert found["NDIF host"]["state"] == found["API key"]["state"] == OK
    assert found["API key"]["values"]["tags"] == ["trusted"]
    assert [there["name"] for there in found["models"]["values"]["deployed"]] == [str(demo_folder)]
    assert found["versions"]["state"] == OK
    assert "30 layers in float32 on cpu" in found["demo"]["said"]
    assert found["gradients"]["state"] == OK


def test_in_a_sandbox(sandboxed, doctor):
    status, found = doctor("--model", "demo")
    assert status == 0, found
    assert found["API key"]["values"]["tags"] == []
    assert found["demo"]["values"]["sandboxed"]
    assert (found["gradients"]["state"], found["gradients"]["values"]) == (MISSING, {"gradients": False})
    assert "in a sandbox" in found["gradients"]["said"]


def test_without_a_model_nothing_is_run(trusted, doctor):
    status, found = doctor()
    assert status == 0, found
    assert found["gradients"]["state"] == UNKNOWN
    assert found["models"]["state"] == OK


def test_a_key_that_the_host_does_not_know(as_user, doctor):
    as_user(UNKNOWN_KEY)
    status, found = doctor("--model", "demo")
    assert status == 1
    assert found["API key"]["state"] == found["demo"]["state"] == WRONG
    assert found["demo"]["values"]["fault"] == "key"
    assert found["gradients"]["state"] == UNKNOWN
