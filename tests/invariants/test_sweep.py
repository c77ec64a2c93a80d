"""Each architecture of transformers loads and gives what plain hooks give, or is refused for a reason that is true."""

import re
from collections.abc import Iterator

import pytest

from tests.architectures import EVERY_TYPE, VARIANTS
from tests.conftest import architectures
from tests.sweep.__main__ import PAGE
from tests.sweep.expected import LEFT_OUT, TRUE_REFUSALS
from tests.sweep.outcome import SITES
from tests.sweep.table import row_of
from tests.sweep.worker import Sweeper

SWEPT = [name for name in (*EVERY_TYPE, *VARIANTS) if name not in LEFT_OUT]


@pytest.fixture(scope="module")
def sweeper() -> Iterator[Sweeper]:
    made = Sweeper()
    yield made
    made.close()


def test_the_lists_name_architectures_of_transformers():
    assert set(LEFT_OUT) | set(TRUE_REFUSALS) <= {*EVERY_TYPE, *VARIANTS}
    assert not set(LEFT_OUT) & set(TRUE_REFUSALS)


@pytest.mark.parametrize("name", architectures(*SWEPT, quick=("llama", "bert")))
def test_an_architecture_agrees_with_plain_hooks_or_is_refused_by_name(name, sweeper):
    outcome = sweeper.outcome(name)
    assert not outcome.aborts
    assert not outcome.crashed
    assert not outcome.wrong, outcome.deviations
    refused = {check: text for check, text in outcome.refused.items() if check not in SITES}
    assert (row_of(outcome) in PAGE.read_text()) == (outcome.kind == "right"), "make sweep writes docs/architectures.md"
    if name in TRUE_REFUSALS:
        assert re.search(TRUE_REFUSALS[name], refused.get("load", refused.get("ablation", "")))
    else:
        assert not refused
