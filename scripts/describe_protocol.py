"""Writes down what the kernel tells a page of metrics and baselines, for the front end's tests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from horizon_widget.question.facts import METRICS
from horizon_widget.question.metric import Metric
from horizon_widget.result.page import describe_offer

PATH = Path(__file__).parents[1] / "tests" / "protocol" / "facts.json"


def text() -> str:
    """What is written down: the choices on offer, and what is told of a query with each metric."""
    metrics = [Metric(name) for name in METRICS] + [Metric("function", label="mine")]
    words = {
        metric.name: {
            "metric": str(metric),
            "short_metric": metric.short,
            "unit": metric.unit,
            "divergence": metric.facts.divergence,
            "words": asdict(metric.words),
        }
        for metric in metrics
    }
    return json.dumps({"offered": describe_offer(), "metrics": words}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
