"""What is written down for the front end is what the kernel says."""

from __future__ import annotations

from scripts import describe_protocol


def test_the_front_end_is_tested_with_the_facts_that_the_kernel_sends():
    assert describe_protocol.PATH.read_text() == describe_protocol.text(), "run scripts/describe_protocol.py"
