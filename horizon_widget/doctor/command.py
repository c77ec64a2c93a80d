"""The command line: ``horizon-widget doctor``."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TextIO

from horizon_widget import __version__
from horizon_widget.doctor import here, there
from horizon_widget.doctor.finding import STATES, WRONG, Finding, unless_it_fails
from horizon_widget.remote.faults import redacted

TITLES = {
    "package": "This package",
    "devices": "Devices",
    "cache": "Cache",
    "host": "NDIF host, for models on another machine",
    "model": "A model there",
}
_STATE, _NAME, _WIDTH = max(map(len, STATES)), 14, 110


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Default: those of the process.

    Returns:
        The exit status: 0: nothing is wrong; 1: something is wrong; 2: invalid arguments; 130: interrupted.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return _doctor(chosen.host, chosen.model, as_json=chosen.json)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="horizon-widget")
    parser.add_argument("--version", action="version", version=f"horizon-widget {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    doctor = commands.add_parser(
        "doctor",
        help="show what works here and on an NDIF host",
        description="Show versions, devices, the cache, and the NDIF host: whether it answers, takes the API key, "
        "which models it has, and whether gradients work there. The host is asked only if NDIF_HOST or NDIF_API_KEY is "
        "set, or --host or --model is given. The key is never shown. Exit status 1: something is wrong.",
    )
    doctor.add_argument(
        "--host", nargs="?", const="", metavar="URL", help="ask this host; without URL, the one nnsight is set to"
    )
    doctor.add_argument("--model", metavar="NAME", help="have the host run a few tokens through this model")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _doctor(url: str | None, model: str | None, *, as_json: bool) -> int:
    out, area = sys.stdout, ""
    found: list[Finding] = []
    with contextlib.redirect_stdout(sys.stderr):  # the output of libraries is not part of the report
        for raw in _findings(url, model):
            finding = raw.cleaned(lambda text: redacted(text, there.secrets(url)))
            found.append(finding)
            if not as_json:
                _write(out, ("" if finding.area == area else f"\n{TITLES[finding.area]}\n") + _line(finding))
                area = finding.area
    wrong = [finding for finding in found if finding.state == WRONG]
    if as_json:
        report = {"horizon_widget": __version__, "ok": not wrong, "findings": [vars(finding) for finding in found]}
        out.write(json.dumps(report, indent=2) + "\n")
    else:
        _write(out, f"\n{f'Wrong: {_names(wrong)}.' if wrong else 'Nothing is wrong.'}\n")
    return 1 if wrong else 0


def _findings(url: str | None, model: str | None) -> Iterator[Finding]:
    yield from unless_it_fails("package", "versions", here.package)
    yield from unless_it_fails("devices", "devices", here.devices)
    yield from unless_it_fails("cache", "demo model", here.cache)
    if not there.asked_for(url, model):
        yield from there.not_asked()
        return

    def of_host() -> Iterator[Finding]:
        with there.nnsight_set_to(url):
            yield from there.host(needed=model is not None)

    def of_model() -> Iterator[Finding]:
        with there.nnsight_set_to(url):
            yield from there.no_model() if model is None else there.model(model)

    yield from unless_it_fails("host", "NDIF host", of_host)
    yield from unless_it_fails("model", model or "gradients", of_model)


def _names(findings: Sequence[Finding]) -> str:
    return ", ".join(finding.name for finding in findings)


def _line(finding: Finding) -> str:
    indent = " " * (_STATE + _NAME + 6)
    texts = [*finding.said.splitlines(), *([f"-> {finding.advice}"] if finding.advice else [])]
    lines = [line for text in texts for line in _wrapped(text)]
    head = f"  {finding.state:{_STATE}}  {finding.name:{_NAME}}  "
    if len(finding.name) > _NAME:  # the name of a model
        head += "\n" + indent
    return head + f"\n{indent}".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    width = _WIDTH - _STATE - _NAME - 6
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _write(out: TextIO, text: str) -> None:
    """Write and flush a text that may be a host's. It must not control the terminal, and must fit any encoding."""
    shown = "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)
    encoding = out.encoding or "utf-8"
    out.write(shown.encode(encoding, "backslashreplace").decode(encoding))
    out.flush()
