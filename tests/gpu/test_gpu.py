"""On a GPU: the same numbers, half precision, memory, and a model spread over devices. ``make test-gpu``."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import horizon_widget as hw
from tests import reference
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT

SHORT = PROMPT[:16]
pytestmark = pytest.mark.gpu


def need(gpus):
    """Skip if a user's machine has too few; fail in CI, which requires them."""
    if torch.cuda.device_count() < gpus:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"torch can use {torch.cuda.device_count()} GPUs here, and {gpus} are needed")


@pytest.fixture(autouse=True)
def _one_gpu():
    need(1)


def on(device, tokenizer, architecture="llama", dtype=torch.float32):
    return hw.load_model(ARCHITECTURES[architecture]().to(device, dtype), tokenizer=tokenizer)


@pytest.mark.parametrize("method", ["ablation", "gradient", "energy"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_map_is_the_one_of_the_cpu(architecture, method, byte_tokenizer):
    maps = [
        hw.attribute(on(device, byte_tokenizer, architecture), SHORT, method=method, baseline="zero", progress=False)
        for device in ("cpu", "cuda")
    ]
    scale = float(np.abs(maps[0].values).max())
    np.testing.assert_allclose(maps[1].values, maps[0].values, atol=1e-3 * max(1.0, scale))
    assert maps[1].dataset.attrs["device"] == "cuda"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_agrees_with_a_hook_within_its_noise(dtype, byte_tokenizer):
    model = on("cuda", byte_tokenizer, dtype=dtype)
    hmap = hw.attribute(model, SHORT, baseline="zero", progress=False)
    zero = torch.zeros(model.d_model, device="cuda")
    expected = reference.ablated_row(model.hf_model, model.tokenize(SHORT), 1, 3, zero)
    spread = float(np.abs(hmap.values).max())
    np.testing.assert_allclose(hmap.values.values[1, 3, 3:], expected[3:], atol=0.2 * spread)


@pytest.mark.parametrize("site", ["attention_output", "mlp_output", "key", "value"])
def test_the_other_sites(site, byte_tokenizer):
    maps = [
        hw.attribute(on(device, byte_tokenizer), SHORT, site=site, progress=False, baseline="mean")
        for device in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(maps[1].values, maps[0].values, atol=1e-3)


def test_direct_influence(byte_tokenizer):
    parts = [hw.direct(on(device, byte_tokenizer), SHORT, 1, [2, 3], baseline="zero") for device in ("cpu", "cuda")]
    np.testing.assert_allclose(parts[1]["direct"], parts[0]["direct"], atol=1e-3)


def test_the_measured_peak_stays_within_the_limit(byte_tokenizer):
    model, limit = on("cuda", byte_tokenizer), 40_000_000
    hw.attribute(model, SHORT, layers=3, sources=0, baseline="zero", progress=False)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    hw.attribute(model, PROMPT, baseline="zero", memory_limit=limit, progress=False)
    assert torch.cuda.max_memory_allocated() - before <= limit


def test_a_model_spread_over_devices(byte_tokenizer, tmp_path):
    need(2)
    from transformers import AutoModelForCausalLM

    ARCHITECTURES["llama"]().save_pretrained(tmp_path)
    spread = AutoModelForCausalLM.from_pretrained(tmp_path, device_map="auto", max_memory={0: "20KB", 1: "1GB"}).eval()
    got = hw.attribute(hw.load_model(spread, tokenizer=byte_tokenizer), SHORT, baseline="zero", progress=False)
    expected = hw.attribute(on("cpu", byte_tokenizer), SHORT, baseline="zero", progress=False)
    np.testing.assert_allclose(got.values, expected.values, atol=1e-3)
