"""The guide to the widget names all traits and no others."""

from __future__ import annotations

import re
from pathlib import Path

from horizon_widget.widget.opening import ASKED
from horizon_widget.widget.traits import CONTROLS

GUIDE = Path(__file__).parents[2] / "docs" / "widget.md"


def test_the_guide_documents_every_trait_that_can_be_set():
    table = GUIDE.read_text(encoding="utf-8").split("## From Python")[1]
    named = re.findall(r"^\| `(\w+)` \| \S", table, re.M)
    assert sorted(named) == sorted([*CONTROLS, *ASKED])
