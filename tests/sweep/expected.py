"""What the sweep expects: which entries are left out, and which refusals are true."""

from __future__ import annotations

# Entries of the mapping that are not swept, and why.
HALF = "the decoder of an encoder-decoder model"
SPEECH = "predicts audio codes of several codebooks from the states of a text encoder"
DRAFT = "a draft model: it reads the states of a larger model"
LEFT_OUT = {
    **dict.fromkeys(
        (
            "bart",
            "bigbird_pegasus",
            "blenderbot",
            "blenderbot-small",
            "marian",
            "mbart",
            "mvp",
            "pegasus",
            "plbart",
            "prophetnet",
            "trocr",
            "whisper",
        ),
        HALF,
    ),
    "musicgen": SPEECH,
    "musicgen_melody": SPEECH,
    "gemma4_assistant": DRAFT,
    "gemma4_unified_assistant": DRAFT,
    "blt": "reads bytes in patches: its blocks have fewer positions than the prompt has tokens",
    "gemma3n": "needs the package timm for its images; gemma3n_text is its language model",
}

# Architectures that are swept and must be refused, by a message that matches.
ENCODER = r"not a decoder-only|not causal|does not predict each token from those before it"
STREAMS = r"residual stream"
TRUE_REFUSALS = {
    **dict.fromkeys(
        (
            "bert",
            "bert-generation",
            "big_bird",
            "camembert",
            "data2vec-text",
            "electra",
            "ernie",
            "megatron-bert",
            "rembert",
            "roberta",
            "roberta-prelayernorm",
            "roc_bert",
            "roformer",
            "xlm-roberta",
            "xlm-roberta-xl",
            "xmod",
            "gemma3_text, both ways",
        ),
        ENCODER,
    ),
    # several residual streams a position
    "deepseek_v4": STREAMS,
    "gemma3n_text": STREAMS,
    "hy_v4": STREAMS,
    "reformer": STREAMS,
    "xlm": STREAMS,
    # blocks that read images only
    "mllama": r"not called|skipped",
    # positions come first, or there are more of them than tokens
    "cpmant": r"prompts of 5 tokens",
    "xlnet": r"prompts of 5 tokens",
    "git": r"a module named 'output'",
    # the same blocks run several times
    "hrm_text": r"more than once|several times",
}
