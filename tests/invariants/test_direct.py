"""Direct influence equals a full forward pass with all other positions clamped. Indirect influence is the rest."""

from __future__ import annotations

import numpy as np
import pytest

import horizon_widget as hw
from horizon_widget.compute.ablation import Ablation
from horizon_widget.models import thread
from horizon_widget.models.strategies import FULL, REPLAY, SUFFIX
from horizon_widget.question.reading import read_query
from tests import reference
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT, architectures

SHORT = PROMPT[:10]
CELLS = [(0, 2), (1, 0), (2, 5)]


def direct_rows(model, **arguments):
    ablation = Ablation(model, read_query(model, SHORT, baseline="zero", **arguments))

    def work():
        return ablation.experiment.direct(CELLS, ablation.states(CELLS, "zero"))

    return thread.run(work)


def zeros(model, layer, site="residual"):
    return 0.0 * reference.mean_state(model.hf_model, model.tokenize(SHORT), layer, site)


def test_direct_equals_clamped_forward_passes(any_model):
    for (layer, source), got in zip(CELLS, direct_rows(any_model), strict=True):
        ids = any_model.tokenize(SHORT)
        expected = reference.direct_row(any_model.hf_model, ids, layer, source, zeros(any_model, layer))
        np.testing.assert_allclose(got, expected, atol=1e-4)
    assert np.abs(got).max() > 1e-3


@pytest.mark.parametrize("site", ["attention_output", "mlp_output", "key", "value"])
def test_direct_equals_clamped_forward_passes_at_other_sites_and_metrics(model, site):
    got = direct_rows(model, site=site, metric="entropy")
    for (layer, source), row in zip(CELLS, got, strict=True):
        expected = reference.direct_row(
            model.hf_model,
            model.tokenize(SHORT),
            layer,
            source,
            zeros(model, layer, site),
            site=site,
            metric="entropy",
        )
        np.testing.assert_allclose(row, expected, atol=1e-4)


@pytest.mark.parametrize("strategy", [SUFFIX, REPLAY, FULL])
@pytest.mark.parametrize("architecture", architectures("llama", "mistral", "gpt_neox"))
def test_all_strategies_agree(architecture, strategy, byte_tokenizer):
    model = hw.load_model(ARCHITECTURES[architecture](), tokenizer=byte_tokenizer)
    ablation = Ablation(model, read_query(model, SHORT, baseline="zero"), strategy=strategy)
    got = thread.run(lambda: ablation.experiment.direct(CELLS, ablation.states(CELLS, "zero")))
    np.testing.assert_allclose(got, direct_rows(model), atol=1e-4)


def test_nothing_is_indirect_from_a_state_that_enters_the_last_block(any_model):
    parts = hw.direct(any_model, SHORT, -1, [0, 3], baseline="zero")
    np.testing.assert_allclose(parts["indirect"], 0.0, atol=1e-4)
    np.testing.assert_allclose(parts["direct"], parts["total"], atol=1e-4)


def test_direct_and_indirect_add_up_to_the_map_s_value(model):
    hmap = hw.attribute(model, SHORT, baseline="mean", progress=False)
    parts = hw.direct(model, hmap, 1, [2, 4])
    np.testing.assert_allclose(parts["direct"] + parts["indirect"], parts["total"], atol=1e-6)
    np.testing.assert_allclose(parts["total"], hmap.values.values[1, [2, 4]], atol=1e-5)
    assert float(np.abs(parts["indirect"]).max()) > 1e-3, "some influence is indirect in the middle of a model"
    own = [float(parts["indirect"].sel(source=source, target=source + 1)) for source in (2, 4)]
    np.testing.assert_allclose(own, 0.0, atol=1e-5), "no token is between a source and its own next token"


def test_an_estimate_has_no_direct_part(model):
    with pytest.raises(hw.QueryError, match="method: 'gradient' is an estimate"):
        hw.direct(model, SHORT, 1, 2, method="gradient")


def test_the_strongest_links_of_a_map_with_their_parts(model):
    hmap = hw.attribute(model, PROMPT, baseline="mean", progress=False)
    links = hw.direct_links(model, hmap, 6)
    assert list(links["influence"].abs()) == sorted(links["influence"].abs(), reverse=True)
    assert (links["offset"] >= 2).all()
    np.testing.assert_allclose(links["direct"] + links["indirect"], links["influence"], atol=1e-4)
    for link in links.itertuples():
        parts = hw.direct(model, hmap, link.layer, link.source, targets=link.target)
        assert link.direct == pytest.approx(float(parts["direct"].values[0, 0]), abs=1e-4)
    share = links["direct"].abs().sum() / (links["direct"].abs().sum() + links["indirect"].abs().sum())
    assert links.attrs["direct_share"] == pytest.approx(share)
    assert 0 < share < 1
    none = hw.direct_links(model, hmap, 6, least_offset=31)
    assert len(none) == 0
    with pytest.raises(hw.QueryError, match="method: 'gradient' is an estimate"):
        hw.direct_links(model, hw.attribute(model, SHORT, method="gradient", progress=False))
