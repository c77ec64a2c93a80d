"""``docs/combinations.md`` agrees with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import horizon_widget as hw
from scripts import combinations
from tests.conftest import PROMPT

pytestmark = pytest.mark.long

SHORT, OTHER = PROMPT[:8], "A dog ra"
DOCUMENT = Path(__file__).parents[2] / "docs" / "combinations.md"
WRITTEN = {
    '("logprob", token)': ("logprob", "a"),
    '("logit", token)': ("logit", "a"),
    '("centred_logit", token)': ("centred_logit", "a"),
    '("contrast", token, token)': ("contrast", "a", "t"),
    "a function of (logits, input_ids)": lambda logits, input_ids: torch.logsumexp(logits, -1),
    '("auto", texts)': ("auto", ["some text", "more"]),
    '("mean", texts)': ("mean", ["some text", "more"]),
    '("resample", texts)': ("resample", ["some text", "more"]),
    '("counterfactual", prompt)': ("counterfactual", OTHER),
    "another map's .baseline": None,
}


def table(title):
    """The table under a title as ``{(row, column): cell}``, without markup."""
    lines = DOCUMENT.read_text().split(f"## {title}\n\n")[1].split("\n\n")[0].splitlines()
    rows = [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]
    header = [name.removesuffix(" (exact)").removesuffix(" (estimate)") for name in rows[0]]
    return {(row[0], column): cell for row in rows[2:] for column, cell in zip(header[1:], row[1:], strict=True)}


def value(text):
    return WRITTEN[text] if text in WRITTEN else text.strip('"')


def cases(title, columns=("ablation", "gradient", "energy")):
    return [(*place, answer) for place, answer in table(title).items() if place[1] in columns]


def works(model, **arguments):
    hmap = hw.attribute(model, SHORT, progress=False, **arguments)
    assert np.isfinite(hmap.values).all()
    assert float(np.abs(hmap.values).max()) > 0
    return hmap


@pytest.mark.parametrize(("metric", "method", "answer"), cases("Method and metric"))
def test_method_and_metric(model, metric, method, answer):
    if answer == "yes":
        hmap = works(model, method=method, metric=value(metric))
        after_the_prompt = table("Method and metric")[metric, "target after the prompt"] == "yes"
        assert (int(hmap.values["target"].max()) == len(SHORT)) == after_the_prompt
    else:
        with pytest.raises(hw.QueryError, match="^metric: "):
            hw.attribute(model, SHORT, method=method, metric=value(metric))


@pytest.mark.parametrize(("baseline", "method", "answer"), cases("Method and baseline"))
def test_method_and_baseline(model, baseline, method, answer):
    assert answer == "yes"
    taken = value(baseline)
    if taken is None:
        taken = hw.attribute(model, PROMPT, layers=1, progress=False).baseline
    works(model, method=method, baseline=taken)


@pytest.mark.parametrize(
    ("site", "column", "answer"), cases("Method and site", ("ablation", "gradient", "energy", "by head"))
)
def test_method_and_site(model, site, column, answer):
    if column == "by head":
        if answer == "yes":
            works(model, site=value(site), head=1)
        else:
            with pytest.raises(hw.QueryError, match="^head: "):
                hw.attribute(model, SHORT, site=value(site), head=1)
    else:
        works(model, site=value(site), method=column)


def test_the_tables_follow_from_the_facts():
    """``python scripts/combinations.py`` writes the tables."""
    text = DOCUMENT.read_text()
    assert text == combinations.current(text)
    assert all(cases(title) for title in combinations.TITLES)
