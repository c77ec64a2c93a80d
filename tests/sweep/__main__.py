"""Sweep every architecture, and write the result as JSON and as a table.

``python -m tests.sweep [name ...]`` writes ``out/sweep.json`` and ``out/sweep.md``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.architectures import EVERY_TYPE, VARIANTS
from tests.sweep.expected import LEFT_OUT
from tests.sweep.outcome import Outcome
from tests.sweep.table import line_of, table_of
from tests.sweep.worker import Sweeper


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("names", nargs="*", help="names of architectures; all by default")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of sweep.json and sweep.md")
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
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "sweep.json").write_text(json.dumps([outcome.as_dict() for outcome in outcomes], indent=1))
        (given.out / "sweep.md").write_text(table_of(outcomes))
    print(f"{sum(outcome.seconds for outcome in outcomes):.0f} s; see {given.out}/sweep.json and {given.out}/sweep.md")


if __name__ == "__main__":
    main()
