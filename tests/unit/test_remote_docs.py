"""``docs/remote.md`` says the same as the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from horizon_widget.remote.capabilities import Capabilities
from horizon_widget.remote.faults import KINDS, Fault, Faults
from horizon_widget.remote.waiting import STATES, Patience

DOCUMENT = Path(__file__).parents[2] / "docs" / "remote.md"
IN_WORDS = {2: "two", 3: "three", 4: "four"}


def table(header):
    """The rows of the table that begins so: ``{first cell: other cells}``, without markup."""
    [lines] = [part for part in DOCUMENT.read_text().split("\n\n") if part.startswith(f"| {header} |")]
    rows = [[cell.strip().replace("`", "") for cell in line.strip("| ").split("|")] for line in lines.splitlines()[2:]]
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("fault", Fault)
def test_faults(fault):
    error = Faults("api.ndif.us", "some/model").of(fault, "…")
    kind, meaning, advice = table("you see")[error.message]
    assert kind == error.kind
    assert meaning
    assert advice


def test_no_fault_is_invented():
    assert len(table("you see")) == len(Fault)


def test_which_kinds_of_fault_are_tried_again():
    [line] = [line for line in DOCUMENT.read_text().split("\n\n") if line.startswith("After a fault of kind")]
    assert set(re.findall(r"\*([a-z ]+)\*", line)) == {name for name, kind in KINDS.items() if kind.may_repeat}


def test_states():
    assert {state: cells[0] for state, cells in table("state").items()} == STATES


def test_time_limits():
    patience = Patience()
    said = {name.partition(":")[0]: float(cells[0]) for name, cells in table("step").items()}
    assert said == {name: value for name, value in vars(patience).items() if name != "pauses"}
    assert f"is sent again, {IN_WORDS[len(patience.pauses) + 1]} times in all" in DOCUMENT.read_text()


def test_what_a_sandbox_does_not_offer():
    refused = Capabilities(True, False, "float32", "cpu", {}).not_offered
    kinds = next(line for line in DOCUMENT.read_text().splitlines() if line.startswith("| | trusted | sandbox |"))
    rows = DOCUMENT.read_text().split(kinds)[1].split("\n\n")[0].splitlines()[2:]
    said = {row.split("|")[1].strip(): [cell.strip() for cell in row.split("|")[2:4]] for row in rows}
    assert all(trusted == "yes" for trusted, _ in said.values())
    names = {"`gradient`": "gradient", "`energy`": "energy", "`verify`": "verification"}
    assert {names[name] for name, (_, sandbox) in said.items() if sandbox == "no"} == set(refused)
    assert Capabilities(False, True, "float32", "cpu", {}).not_offered == {}
