"""Fixtures that several files of unit tests use."""

from __future__ import annotations

from typing import Any

import pytest
from nnsight import TransformersModel

from tests.conftest import tiny_llama


@pytest.fixture(scope="module")
def traced(byte_tokenizer: Any) -> TransformersModel:
    """A small model as nnsight has it."""
    return TransformersModel(tiny_llama(), tokenizer=byte_tokenizer, task="text-generation")
