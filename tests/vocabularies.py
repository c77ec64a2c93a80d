"""Small tokenizers that behave as well-known ones do; all are made here, none is fetched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SPACE = "▁"  # sentencepiece's sign for a space
TEXT = [
    "the cat sat on the mat (the end). The cat and the key.\n",
    "Paris is the capital of France, Rome of Italy (Paris, Rome). In Paris and in Rome.\n",
    "Anna kept the key to the old library, and the librarian knew the key.\n",
] * 4
END = "<|endoftext|>"


def byte_level() -> PreTrainedTokenizerFast:
    """One token for each byte of UTF-8: an emoji is four tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def gpt2_like(*, append_eos: bool = False, added: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Byte-level BPE: ``" Paris"`` and ``"Paris"`` are tokens, other characters are some bytes.

    Args:
        append_eos: Whether ``<|endoftext|>`` is put after each text.
        added: Tokens added to the vocabulary, not special.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[END],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    if append_eos:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 0)])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in added])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)


def llama2_like(
    *, bos: bool = True, prefix_space: bool = True, legacy: bool = True, added: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Sentencepiece's BPE with byte fallback, as of Llama 2, Mistral and Gemma.

    ``"▁Paris"`` and ``"Paris"`` are tokens; so are ``<0x00>`` to ``<0xFF>``, for characters that are no tokens.

    Args:
        bos: Whether ``<s>`` is put before each text.
        prefix_space: Whether a space is put before each text, and taken away when it is decoded; Gemma does not.
        legacy: Llama 2's way to put it there, before each piece between special tokens; else once, at the start.
        added: Tokens added to the vocabulary, not special.
    """
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always" if prefix_space else "never")
    trained.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=200, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    pieces = [piece for piece in sorted(model["vocab"], key=model["vocab"].get) if piece != "\n"]
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    merges = [tuple(merge) for merge in model["merges"] if "\n" not in "".join(merge)]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: i for i, piece in enumerate(dict.fromkeys(vocabulary))},
            merges=merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    _with_spaces(tokenizer, prefix_space=prefix_space, legacy=legacy)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in added])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def _with_spaces(tokenizer: Tokenizer, *, prefix_space: bool, legacy: bool) -> None:
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix_space:
        steps.append(decoders.Strip(content=" ", left=1, right=0))
    tokenizer.decoder = decoders.Sequence(steps)
    if legacy:
        first = [normalizers.Prepend(SPACE)] if prefix_space else []
        tokenizer.normalizer = normalizers.Sequence([*first, normalizers.Replace(" ", SPACE)])
    else:
        scheme = "first" if prefix_space else "never"
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)


def unigram_like(*, bos: bool = False) -> PreTrainedTokenizerFast:
    """Sentencepiece's Unigram with a space before each text, no bytes, as of XGLM: the first space is not shown."""
    words = sorted({word for line in TEXT for word in line.replace("\n", "").split(" ") if word})
    characters = sorted({character for word in words for character in word})
    pieces = [("<s>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (SPACE, -4.0)]
    pieces += [(SPACE + word, -2.0) for word in words] + [("Paris", -3.0)] + [(one, -6.0) for one in characters]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def wordpiece_like() -> PreTrainedTokenizerFast:
    """Words, and pieces that continue a word after ``##``; spaces are put back between words."""
    tokens = ["[UNK]", "[CLS]", "the", "key", "in", "paris", "rome", "##s", "##in", "##is", "par", ",", "."]
    tokenizer = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


VOCABULARIES = {
    "gpt2": gpt2_like,
    "gpt2, with an end": lambda: gpt2_like(append_eos=True),
    "llama 2": llama2_like,
    "llama 2, not legacy": lambda: llama2_like(legacy=False),
    "llama 2, no <s>": lambda: llama2_like(bos=False),
    "gemma": lambda: llama2_like(prefix_space=False),
    "unigram": unigram_like,
    "unigram, <s>": lambda: unigram_like(bos=True),
    "wordpiece": wordpiece_like,
}


def sized_for(hf_model: Any, tokenizer: Any) -> Any:
    """The model, in place, with as many tokens as the tokenizer has."""
    hf_model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return hf_model.eval()
