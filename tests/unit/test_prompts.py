"""Prompts (texts, token ids, chat messages), metrics and baselines as users write them."""

import numpy as np
import pytest
import torch

import horizon_widget as hw
from tests.architectures import ARCHITECTURES
from tests.conftest import PROMPT

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def chatting(byte_tokenizer):
    tokenizer = type(byte_tokenizer)(tokenizer_object=byte_tokenizer.backend_tokenizer, chat_template=TEMPLATE)
    return hw.load_model(ARCHITECTURES["llama"](), tokenizer=tokenizer)


@pytest.mark.parametrize(
    "as_ids", [list, tuple, np.array, torch.tensor, lambda ids: torch.tensor([ids]), lambda i: [i]]
)
def test_token_ids_give_the_map_of_their_text(model, as_ids):
    ids = list(model.tokenize("abcdef"))
    of_ids = hw.attribute(model, as_ids(ids), layers=1, progress=False)
    of_text = hw.attribute(model, "abcdef", layers=1, progress=False)
    assert of_ids.query == of_text.query
    np.testing.assert_array_equal(of_ids.values, of_text.values)


def test_a_map_as_prompt_gives_its_tokens(model):
    first = hw.attribute(model, "abcdef", layers=1, progress=False)
    assert hw.attribute(model, first, layers=1, metric="logit", progress=False).tokens == first.tokens


def test_chat_messages_go_through_the_model_s_template(chatting):
    question = [{"role": "user", "content": "who?"}]
    tokens = hw.attribute(chatting, question, layers=0, progress=False).tokens
    assert "".join(token.text for token in tokens) == "<user>who?\n<assistant>"
    answered = [*question, {"role": "assistant", "content": "me"}]
    tokens = hw.attribute(chatting, answered, layers=0, progress=False).tokens
    assert "".join(token.text for token in tokens) == "<user>who?\n<assistant>me\n"


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ([], "it is empty"),
        ([1, 256], "token id 256 at position 1 is not in the vocabulary of"),
        ([1, -1], "token id -1 at position 1"),
        ([1, 2.5], "item 1 is a float, not a token id"),
        ([1, True], "item 1 is a bool"),
        ([[1, 2], [3, 4]], "item 0 is a list"),
        (list(range(65)), "65 tokens, and LlamaForCausalLM reads at most 64"),
        ([{"role": "user"}], "message 0 has no text under 'role' and 'content'"),
        ([{"role": "user", "content": "hi"}], "has no chat template"),
        ({"role": "user", "content": "hi"}, "it is a dict, not a text"),
    ],
)
def test_a_wrong_prompt_is_refused(model, prompt, says):
    with pytest.raises(hw.QueryError, match=f"^prompt: .*{says}"):
        hw.attribute(model, prompt)


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (("logprob", "ab"), r"'ab' is 2 tokens \('a', 'b'\), and one is needed"),
        (("logprob", 256), "256 is not a token"),
        (("logprob", 1.5), "1.5 is not a token"),
        (("contrast", "a"), "is not offered"),
        (("entropy", "a"), "is not offered"),
        ("contrast", "is not offered"),
        (None, "is not offered"),
    ],
)
def test_a_wrong_metric_is_refused(model, metric, says):
    with pytest.raises(hw.QueryError, match=f"^metric: .*{says}"):
        hw.attribute(model, PROMPT, metric=metric)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda logits, ids: logits, r"shape \(31, 256\), torch.float32, where one number for each of 31 positions"),
        (lambda logits, ids: logits[:-1, 0], r"shape \(30,\)"),
        (lambda logits, ids: ids, "torch.int64"),
        (lambda logits, ids: 3.0, "gave float"),
        (lambda logits, ids: 1 / 0, "failed: ZeroDivisionError"),
        (lambda logits, ids: logits[:, 0].cumsum(0), "mixes positions"),
        (lambda logits, ids: logits[:, 0] / 0, "not finite at token 0"),
        (lambda logits: logits[:, 0], "failed: TypeError"),
    ],
)
def test_a_wrong_metric_function_is_refused(model, function, says):
    with pytest.raises(hw.QueryError, match=f"^metric: .*{says}"):
        hw.attribute(model, PROMPT, metric=function, progress=False)


@pytest.mark.parametrize(
    ("baseline", "says"),
    [
        (("mean", []), "the reference is empty"),
        (("mean", ["a"]), "no reference text has a second token"),
        (("zero", ["abc"]), "zero uses no texts"),
        (("magic", ["abc"]), "'magic' is not offered"),
        (("counterfactual", "ab"), "has 2 tokens and the prompt 31"),
        (5, "5 is not offered"),
    ],
)
def test_a_wrong_baseline_is_refused(model, baseline, says):
    with pytest.raises(hw.QueryError, match=f"^baseline: .*{says}"):
        hw.attribute(model, PROMPT, baseline=baseline)


def test_a_baseline_of_another_model_is_noticed(model, byte_tokenizer):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**{**model.config.to_dict(), "num_hidden_layers": 2})
    other = hw.load_model(LlamaForCausalLM(config).eval(), tokenizer=byte_tokenizer)
    foreign = hw.attribute(other, PROMPT, progress=False).baseline
    with pytest.raises(hw.QueryError, match="it is from a model with 2 layers, and this one has 4"):
        hw.attribute(model, PROMPT, baseline=foreign, progress=False)


def test_only_keys_and_values_have_heads(model):
    with pytest.raises(hw.QueryError, match="head: the site 'residual' has no heads"):
        hw.attribute(model, PROMPT, head=0)
    with pytest.raises(hw.QueryError, match="head: 2 is out of range"):
        hw.attribute(model, PROMPT, site="key", head=2)
