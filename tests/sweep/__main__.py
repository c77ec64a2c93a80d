"""Sweep architectures: ``python -m tests.sweep [name ...]`` writes the results to ``out/sweep.json``.

Without names all are swept, and ``docs/architectures.md`` is written, too.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.architectures import EVERY_TYPE, VARIANTS
from tests.sweep.expected import LEFT_OUT
from tests.sweep.outcome import Outcome
from tests.sweep.table import line_of, page_of
from tests.sweep.worker import Sweeper

ROOT = Path(__file__).parents[2]
OUT, PAGE = ROOT / "out" / "sweep.json", ROOT / "docs" / "architectures.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of architectures; all by default")
    given = parser.parse_args()
    sweeper, outcomes = Sweeper(), list[Outcome]()
    try:
        for name in given.names or [name for name in (*EVERY_TYPE, *VARIANTS) if name not in LEFT_OUT]:
            try:
                outcomes.append(sweeper.outcome(name))
            except Exception as error:
                outcomes.append(Outcome(name, aborts=f"the sweep itself fails: {error!r}"))
            print(line_of(outcomes[-1]), flush=True)
    finally:
        sweeper.close()
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps([outcome.as_dict() for outcome in outcomes], indent=1))
    if not given.names:
        PAGE.write_text(page_of(outcomes))
    print(f"{sum(outcome.seconds for outcome in outcomes):.0f} s; see {OUT}")


if __name__ == "__main__":
    main()
