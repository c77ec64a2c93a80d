import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import horizon_widget as hw
from horizon_widget.question.query import Query
from horizon_widget.schedule.engine import Engine, engine_for
from tests.conftest import PROMPT, STORY


def test_the_map_is_labelled(model):
    hmap = hw.attribute(model, PROMPT, progress=False)
    values = hmap.values
    assert values.dims == ("layer", "source", "target")
    assert values.attrs["unit"] == "nats"
    assert values.sel(source=3, target=9).sizes == {"layer": 4}
    assert "".join(values["source_token"].values) == PROMPT
    assert values["target_token"].sel(target=5) == PROMPT[5]
    assert int(values["offset"].sel(source=2, target=9)) == 7
    assert hmap.dataset.attrs["model"] == "LlamaForCausalLM"
    assert hmap.own_share().attrs["window"] == hmap.window == 4
    assert "100% computed" in repr(hmap)


def test_the_map_has_only_the_layers_asked_for(model):
    hw.attribute(model, PROMPT, layers=[0], progress=False)
    hmap = hw.attribute(model, PROMPT, layers=[1, -1], progress=False)
    assert hmap.computed_layers == (1, 3)
    causal = hmap.dataset["offset"].values >= 1
    assert np.isnan(hmap.values.values[0][causal]).all()
    assert (hmap.values.values[0][~causal] == 0).all()


def test_a_map_is_a_copy_for_the_caller(model):
    first = hw.attribute(model, PROMPT, layers=1, progress=False)
    before = first.values.values.copy()
    hw.attribute(model, PROMPT, progress=False)
    np.testing.assert_array_equal(first.values.values, before)
    first.values.values[:] = 7.0
    assert hw.attribute(model, PROMPT, layers=1, progress=False).cell(1, 0, 1) != 7.0


def test_the_stop_button_keeps_finished_rows_and_the_next_call_continues(model, monkeypatch):
    computed = []
    compute = Engine.compute

    def slow(self, part):
        computed.append(part)
        if len(computed) == 3:
            os.kill(os.getpid(), signal.SIGINT)  # what the notebook's stop button sends
        return compute(self, part)

    monkeypatch.setattr(Engine, "compute", slow)
    model.cache.clear()
    engine = engine_for(model, Query(model.tokenize(PROMPT)))
    engine.rows_per_part = 16
    with pytest.raises(hw.AttributionInterrupted, match="continues from there") as stopped:
        hw.attribute(model, PROMPT, progress=False)
    assert isinstance(stopped.value, KeyboardInterrupt)
    assert len(computed) <= 4
    kept = stopped.value.map.done.sum()
    assert 0 < kept < stopped.value.map.done.size
    assert hw.attribute(model, PROMPT, progress=False).done.all()
    places = [cell for part in computed for cell in part.cells]
    assert len(places) == len(set(places)), "nothing is computed twice"


def test_the_progress_bar_reaches_its_end(model, capsys):
    hw.attribute(model, PROMPT, layers=[0, 1])
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"layers": 2}, ["layer 2"]),
        ({"layers": [0, 2]}, ["layer 0", "layer 2", "layers 0 and 2"]),
        ({"sources": 4}, ["row of 'c'"]),
        ({"sources": 4, "layers": 1, "method": "gradient", "targets": [5, 6, 9]}, ["3 targets from 5 to 9"]),
        ({"targets": 5}, ["column of 'a'"]),
        ({"targets": len(PROMPT), "metric": "entropy"}, ["column of what follows the prompt"]),
        ({"targets": 5, "method": "gradient"}, ["column of 'a'"]),
        ({"targets": range(5, 9), "method": "gradient"}, ["targets 5 to 8"]),
    ],
    ids=str,
)
def test_the_progress_bar_says_what_is_computed(model, capsys, asked, said):
    hw.attribute(model, PROMPT, baseline="zero", **asked)
    bars = capsys.readouterr().err.split("\r")
    found = {re.sub(r" *\d+%.*", "", bar).strip() for bar in bars if "%" in bar}
    assert found - {""} <= {*said}
    assert found & {*said}


def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, horizon_widget, horizon_widget.result.horizon_map, horizon_widget.result.page\n"
        "heavy = {'torch', 'nnsight', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.long
def test_a_local_model_loads_nothing_of_remote_ones():
    code = (
        "import sys, horizon_widget as hw\n"
        "from tests.architectures import ARCHITECTURES\n"
        "from transformers import PreTrainedTokenizerFast\n"
        "from tokenizers import Tokenizer, models\n"
        "tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({'a': 0, 'b': 1}, [])))\n"
        "model = hw.load_model(ARCHITECTURES['llama']('sdpa'), tokenizer=tokenizer)\n"
        "hw.attribute(model, [0, 1, 0, 1], layers=1, progress=False)\n"
        "hw.HorizonWidget(model, [0, 1, 0, 1])\n"
        "loaded = [name for name in sys.modules if name.startswith('horizon_widget.remote')]\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists():
    for name in hw.__all__:
        assert getattr(hw, name) is not None
    with pytest.raises(AttributeError):
        hw.no_such_name  # noqa: B018


@pytest.mark.demo_model
def test_the_demo_model_s_first_layer_shows_that_its_mean_is_a_shock(demo_model):
    hmap = hw.attribute(demo_model, " ".join(STORY.split()[:40]), layers=[0, 4], progress=False)
    assert hmap.dataset["baseline_shock"].values[[0, 4]].tolist() == [True, False]
    assert hmap.dataset["baseline"].values[[0, 4]].tolist() == ["resample", "mean"]


@pytest.mark.demo_model
def test_a_mean_baseline_asked_for_by_name_is_used_and_flagged(demo_model):
    prompt = " ".join(STORY.split()[:40])
    hmap = hw.attribute(demo_model, prompt, layers=[0], baseline="mean", progress=False)
    assert bool(hmap.dataset["baseline_shock"].values[0])
    assert hmap.dataset["baseline"].values[0] == "mean"
