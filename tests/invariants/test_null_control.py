"""A random model has no far links as strong as those of the trained model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

import horizon_widget as hw
from tests.conftest import STORY

FAR = 9  # tokens ahead
LAYER = 15


def far_influence(model):
    options = {"layers": [LAYER], "baseline": "resample", "draws": 1, "progress": False}
    hmap = hw.attribute(model, STORY[:160], **options)
    counted = (hmap.dataset["offset"].values >= FAR) & ~hmap.dataset["sink"].values[:, None]
    return np.abs(hmap.values.values[LAYER][counted])


@pytest.mark.demo_model
def test_far_links_of_a_random_model_lie_far_below_those_of_the_trained_one(demo_model):
    torch.manual_seed(0)
    random = LlamaForCausalLM(copy.deepcopy(demo_model.config)).eval()
    real, null = far_influence(demo_model), far_influence(hw.load_model(random, tokenizer=demo_model.tokenizer))
    assert len(real) > 200
    for share in (0.5, 0.99, 1.0):
        assert np.quantile(null, share) < np.quantile(real, share) / 5
