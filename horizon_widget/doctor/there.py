"""The NDIF host: whether it answers and accepts the key, what it has, and what it allows with one model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from horizon_widget.doctor.finding import DIFFERS, MISSING, OK, UNKNOWN, WRONG, Finding, of_error
from horizon_widget.errors import HorizonError, HostError

if TYPE_CHECKING:
    from horizon_widget.remote.host import Deployment, Host

MAY_PASS = ("unreachable", "unavailable", "lost", "silent")
"""Kinds of fault that are not caused by wrong settings: they are wrong only if a model on the host is wanted now."""

NOT_SET = "not set"  # the API key
COMPARED = ("torch", "transformers", "nnsight")


def asked_for(url: str | None, model: str | None) -> bool:
    """Whether the user asked for a host; otherwise nothing is sent to any."""
    return url is not None or model is not None or any(os.environ.get(name) for name in ("NDIF_HOST", "NDIF_API_KEY"))


def not_asked() -> Iterator[Finding]:
    """Say that no host was asked."""
    yield Finding(
        "host",
        "NDIF host",
        UNKNOWN,
        "not asked, as neither NDIF_HOST nor NDIF_API_KEY is set",
        "Only needed for models on another machine. To ask https://api.ndif.us, or the host that nnsight is set to: "
        "horizon-widget doctor --host",
        {"asked": False},
    )


@contextmanager
def nnsight_set_to(url: str | None) -> Iterator[None]:
    """For the duration, nnsight is set to another host; an empty ``url``: to its own."""
    import nnsight

    before = nnsight.CONFIG.API.HOST
    nnsight.CONFIG.API.HOST = url or before
    try:
        yield
    finally:
        nnsight.CONFIG.API.HOST = before


def secrets(url: str | None) -> list[str]:
    """The secrets that must not be shown: the key, and the user and password in the address."""
    keys, urls = [os.environ.get("NDIF_API_KEY")], [url, os.environ.get("NDIF_HOST")]
    nnsight = sys.modules.get("nnsight")
    if nnsight is not None:
        keys.append(nnsight.CONFIG.API.APIKEY)
        urls.append(nnsight.CONFIG.API.HOST)
    users = [urlsplit(address if "://" in address else f"//{address}").netloc for address in urls if address]
    return [secret for secret in (*keys, *(user.rpartition("@")[0] for user in users)) if secret]


def host(*, needed: bool) -> Iterator[Finding]:
    """The host that nnsight is set to.

    Args:
        needed: Whether a host that cannot be reached is wrong, and not only unavailable.
    """
    import nnsight

    from horizon_widget.remote.host import Host

    key = "set" if nnsight.CONFIG.API.APIKEY else NOT_SET
    try:
        asked = Host("")
    except HostError as fault:  # the address or the key is not valid
        yield _of_fault("API key" if fault.kind == "key" else "NDIF host", fault, needed)
        return
    try:
        deployed = asked.deployed()
    except HostError as fault:
        yield _of_fault("NDIF host", fault, needed, host=asked.name)
        yield Finding("host", "API key", UNKNOWN, f"{key}; whether it is accepted could not be asked")
        return
    yield Finding("host", "NDIF host", OK, f"{asked.name} answers", values={"host": asked.name})
    yield _key(asked, key, needed)
    yield _models(deployed)
    yield _versions(asked)


def _of_fault(name: str, fault: HostError, needed: bool, **values: Any) -> Finding:
    may_pass = fault.kind in MAY_PASS or (fault.kind == "key" and values.get("key") == NOT_SET)
    state = MISSING if may_pass and not needed else WRONG
    return of_error("host", name, fault, state, fault=fault.kind, **values)


def _key(asked: Host, key: str, needed: bool) -> Finding:
    try:
        tags = asked.check_key()
    except HostError as fault:
        return _of_fault("API key", fault, needed, key=key, **({"accepted": False} if fault.kind == "key" else {}))
    said = f"{key}, and accepted" + (f"; it is {' and '.join(tags)}" if tags else "")
    return Finding("host", "API key", OK, said, values={"key": key, "accepted": True, "tags": list(tags)})


def _models(deployed: list[Deployment]) -> Finding:
    listed = "\n".join(map(_deployment, deployed)) or "none are deployed now"
    values = {"deployed": [asdict(there) for there in deployed]}
    return Finding("host", "models", OK if deployed else MISSING, listed, values=values)


def _deployment(there: Deployment) -> str:
    facts = [
        there.state.lower(),
        there.dtype,
        f"{there.replicas} replicas" if there.replicas > 1 else None,
        f"at most {there.time_limit:g} s a request" if there.time_limit else None,
    ]
    revision = f" at {there.revision}" if there.revision else ""
    return f"{there.name}{revision} ({', '.join(fact for fact in facts if fact)})"


def _versions(asked: Host) -> Finding:
    """Compare the versions that values and requests depend on; builds such as ``+cpu`` do not count."""
    try:
        there = asked.versions()
    except HostError as fault:
        return Finding("host", "versions", UNKNOWN, "the host does not say", values={"fault": fault.kind})
    here = {name: metadata.version(name) for name in COMPARED}
    there = {name: there.get(name, "unknown") for name in COMPARED}
    differ = [name for name in COMPARED if _release(here[name]) != _release(there[name])]
    same = ", ".join(f"{name} {_release(here[name])}" for name in COMPARED if name not in differ)
    lines = [f"the same here and there: {same}"] if same else []
    lines += [f"{name} {here[name]} here, {there[name]} there" for name in differ]
    advice = "Values may differ slightly. If requests fail, try the host's versions." if differ else ""
    values = {"here": here, "there": there}
    return Finding("host", "versions", DIFFERS if differ else OK, "\n".join(lines), advice, values)


def _release(version: str) -> str:
    return version.partition("+")[0]


def model(name: str) -> Iterator[Finding]:
    """The capabilities of the host with one model, which runs a few tokens. The progress is shown on stderr."""
    from horizon_widget.remote.load import load_remote

    try:
        loaded = load_remote(name)
        unsubscribe = loaded.listen(lambda: _tell(loaded.news))
        try:
            allowed = loaded.capabilities
        finally:
            unsubscribe()
    except HorizonError as error:
        yield of_error("model", name, error, **({"fault": error.kind} if isinstance(error, HostError) else {}))
        yield Finding("model", "gradients", UNKNOWN, "could not be tried", values={"gradients": None})
        return
    where = "in a sandbox, apart from the weights" if allowed.sandboxed else "beside the weights"
    said = f"{loaded.n_layers} layers in {allowed.dtype} on {allowed.device}; our code runs {where}"
    yield Finding("model", name, OK, said, values=asdict(allowed))
    if allowed.gradients:
        yield Finding("model", "gradients", OK, "work", values={"gradients": True})
    else:
        reason = allowed.not_offered["gradient"]
        yield Finding("model", "gradients", MISSING, reason, 'method="ablation" works there.', {"gradients": False})


def _tell(news: str | None) -> None:
    if news is not None:
        sys.stderr.write(f"{news}\n")


def no_model() -> Iterator[Finding]:
    """Say that no model was tried."""
    said, advice = "not tried", "To try it with a small request: horizon-widget doctor --model NAME"
    yield Finding("model", "gradients", UNKNOWN, said, advice, {"gradients": None})
