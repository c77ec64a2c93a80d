"""The generated files of the front end agree with the kernel."""

from __future__ import annotations

import pytest

from scripts.describe_protocol import WRITTEN


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_the_generated_files_are_current(path):
    assert path.read_text() == WRITTEN[path](), "run scripts/describe_protocol.py"
