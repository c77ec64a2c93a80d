"""Writes the tables of ``docs/combinations.md`` that follow from ``question/facts.py``.

python scripts/combinations.py
"""

from __future__ import annotations

from pathlib import Path

from horizon_widget.question.facts import BASELINES, METHODS, METRICS, SITES

DOCUMENT = Path(__file__).parents[1] / "docs" / "combinations.md"
TITLES = ("Method and metric", "Method and baseline", "Method and site")


def yes(holds: bool) -> str:
    """A cell of a table."""
    return "yes" if holds else "no"


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def tables() -> dict[str, str]:
    """The text of each table, by its title."""
    methods = [f"`{name}` ({'exact' if facts.exact else 'estimate'})" for name, facts in METHODS.items()]
    plain = [f"`{name}`" for name in METHODS]

    def written(name: str, n_tokens: int) -> str:
        return f'`("{name}"{", token" * n_tokens})`' if n_tokens else f'`"{name}"`'

    metrics = [
        row(
            written(name, n_tokens),
            *(yes(method.exact or facts.differentiable) for method in METHODS.values()),
            yes(bool(n_tokens) or not facts.of_token),
        )
        for n_named in (0, 1, 2)
        for name, facts in METRICS.items()
        for n_tokens in facts.choices
        if n_tokens == n_named
    ]
    metrics.append(row("a function of `(logits, input_ids)`", *("yes" for _ in METHODS), "yes"))
    baselines = [f'`"{name}"`' for name, facts in BASELINES.items() if facts.reference != "prompt"]
    baselines += [f'`("{name}", {facts.reference})`' for name, facts in BASELINES.items() if facts.reference]
    return {
        "Method and metric": "\n".join(
            [row("metric", *methods, "target after the prompt"), row(*["---"] * (len(methods) + 2)), *metrics]
        ),
        "Method and baseline": "\n".join(
            [
                row("baseline", *plain),
                row(*["---"] * (len(plain) + 1)),
                *(row(form, *("yes" for _ in METHODS)) for form in (*baselines, "another map's `.baseline`")),
            ]
        ),
        "Method and site": "\n".join(
            [
                row("site", *plain, "by head"),
                row(*["---"] * (len(plain) + 2)),
                *(row(f'`"{name}"`', *("yes" for _ in METHODS), yes(facts.by_head)) for name, facts in SITES.items()),
            ]
        ),
    }


def current(text: str) -> str:
    """The document with current tables."""
    for title, table in tables().items():
        before, rest = text.split(f"## {title}\n\n", 1)
        after = rest[rest.index("\n\n") :]
        text = f"{before}## {title}\n\n{table}{after}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(current(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
