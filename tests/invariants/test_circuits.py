"""In a model that is built by hand so that a state serves a single offset, the whole horizon is at this offset."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import horizon_widget as hw

N_POSITIONS, D_MODEL, VOCABULARY = 24, 64, 256
CONTENT = slice(0, 16)  # the content of a token
POSITION = slice(16, 16 + N_POSITIONS)  # one-hot, so that attention can point at a position
FETCHED = slice(40, 56)  # the last block writes the content that it has read here
SHARP = 200.0


def reads_back(offset: int, *, layers: int = 3) -> GPT2LMHeadModel:
    """A model in which position j's prediction depends only on the token at ``j + 1 - offset``.

    The last block's one head attends from each position to the one ``offset - 1`` before it and copies its content to
    ``FETCHED``, which the unembedding reads. The content at its own position is not read. All other blocks add nothing.
    """
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=D_MODEL, n_layer=layers, n_head=1, n_positions=N_POSITIONS,
        bos_token_id=0, eos_token_id=0, tie_word_embeddings=False, attn_implementation="eager",
    )  # fmt: skip
    hf_model = GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in hf_model.named_parameters():
            parameter.zero_()
            if ".ln_" in name and name.endswith("weight"):
                parameter.fill_(1.0)
        words = torch.randn(VOCABULARY, 8, generator=generator)
        # The mean is 0 and all lengths are equal, so layer norms scale all tokens alike.
        words = torch.cat([words, -words], dim=1)
        words = 4 * words / words.norm(dim=1, keepdim=True)
        hf_model.transformer.wte.weight[:, CONTENT] = words
        hf_model.transformer.wpe.weight[:, POSITION] = 4 * torch.eye(N_POSITIONS)
        attention = hf_model.transformer.h[-1].attn
        query, key, value = (attention.c_attn.weight[:, part * D_MODEL :][:, :D_MODEL] for part in range(3))
        back = offset - 1
        for position in range(N_POSITIONS):
            key[16 + position, position] = SHARP
            query[16 + position, max(0, position - back)] = SHARP
        value[CONTENT, CONTENT] = torch.eye(16)
        attention.c_proj.weight[CONTENT, FETCHED] = torch.eye(16)
        hf_model.lm_head.weight[:, FETCHED] = torch.randn(VOCABULARY, 16, generator=generator)
    return hf_model


@pytest.mark.parametrize("offset", [2, 3, 4])
def test_the_horizon_distribution_is_one_at_the_offset_that_is_served(offset, byte_tokenizer):
    model = hw.load_model(reads_back(offset), tokenizer=byte_tokenizer)
    # Another token's content replaces a state's. Its position stays, and decides which positions attend to it.
    prompt, other = "the cat sat on mats.", "a dog ran in circle!"
    hmap = hw.attribute(model, prompt, baseline=("counterfactual", other), metric="logit", progress=False)
    shares = hmap.horizon_distribution(window=4)
    changed = np.array([a != b for a, b in zip(prompt, other, strict=True)])
    counted = changed & ~np.isnan(shares.values).any(axis=(0, 2))
    counted[:1] = False  # positions without a token so far back read position 0
    assert counted.sum() >= 10
    expected = np.zeros(4)
    expected[offset - 1] = 1.0
    np.testing.assert_allclose(shares.values[:, counted], np.broadcast_to(expected, (3, counted.sum(), 4)), atol=0.02)


def test_its_influence_is_all_direct(byte_tokenizer):
    model = hw.load_model(reads_back(3), tokenizer=byte_tokenizer)
    parts = hw.direct(
        model, "the cat sat on mats.", 1, 5, baseline=("counterfactual", "a dog ran in circle!"), metric="logit"
    )
    assert int(np.abs(parts["total"]).argmax("target").item()) + 1 == 8
    np.testing.assert_allclose(parts["indirect"], 0.0, atol=1e-4)
