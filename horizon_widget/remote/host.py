"""An NDIF host: requests to it, and its information about its models, its versions and the API key."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import nnsight

from horizon_widget.errors import HorizonError, HostError
from horizon_widget.forks import Lock
from horizon_widget.models import thread
from horizon_widget.remote import sending
from horizon_widget.remote.attempt import Attempt, Wire
from horizon_widget.remote.faults import Fault, Faults, without_causes
from horizon_widget.remote.waiting import Patience, Progress, Waiting

_SENDABLE = re.compile(r"[!-~]*")  # what an HTTP header may hold, without spaces


@dataclass(frozen=True)
class Deployment:
    """A model that a host has.

    Attributes:
        name: The Hub id, or the folder on the host.
        revision: Of the Hub id; ``None``: the default one.
        state: As the host says: ``"RUNNING"``, ``"DEPLOYING"``, ``"UNHEALTHY"``.
        dtype: Name of its torch dtype, if the host says it.
        model_key: The key by which nnsight asks for it.
        replicas: How many copies of it there are.
        time_limit: The longest that a request may take, in seconds, if there is a limit.
    """

    name: str
    revision: str | None
    state: str
    dtype: str | None
    model_key: str
    replicas: int = 1
    time_limit: float | None = None


class Host:
    """An NDIF host, asked for one model.

    Args:
        model_key: The key by which nnsight asks for the model (``to_model_key()``).
        url: Default: ``NDIF_HOST``, as nnsight has it now.
        api_key: Default: ``NDIF_API_KEY``, as nnsight has it now. It is in no message, log or ``repr``.
        patience: How long each step is waited for.

    Attributes:
        name: Of the host, for messages: without scheme, user and password.
        patience: How long each step is waited for.
        faults: Makes the errors of this host.
        requests: How many requests were sent; each attempt counts.
        bytes_sent: By all requests.
        bytes_received: From all answers.

    Raises:
        HostError: if the address or the key is not a valid one.
    """

    def __init__(
        self,
        model_key: str,
        url: str | None = None,
        api_key: str | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        url = (url or nnsight.CONFIG.API.HOST).strip().rstrip("/")
        self._key = (api_key if api_key is not None else nnsight.CONFIG.API.APIKEY) or ""
        self._model_key = model_key
        self._url = url
        self.patience = patience or Patience()
        user_info, _, self.name = urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")
        self.faults = Faults(self.name, _model_name(model_key), self._key, user_info)
        if not url.startswith(("http://", "https://")) or not self.name:
            raise self.faults.of(Fault.BAD_ADDRESS, self.faults.clean(url) or "it is empty")
        if not _SENDABLE.fullmatch(self._key):
            raise self.faults.of(Fault.MALFORMED_KEY)
        self.requests = self.bytes_sent = self.bytes_received = 0
        self._counting = Lock()

    def __repr__(self) -> str:
        return f"Host({self.name!r})"

    def ask(
        self,
        traced: Any,
        task: Callable[[Any, dict[str, Any]], Any],
        request: dict[str, Any],
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        cancelled: threading.Event | None = None,
    ) -> Any:
        """Send a request and wait for its answer, on the caller's thread.

        Args:
            traced: An nnsight model, without weights.
            task: A function of this package, called on the host with the model there and the request.
            request: Plain values.
            on_progress: Called when the progress changes.
            cancelled: Set from another thread when nobody wants the answer any more. The host may go on computing.

        Returns:
            The task's result.

        Raises:
            HostError: saying what went wrong, after up to ``len(patience.pauses)`` more attempts.
            QueryError: or ``ModelError``, if the task raised one.
            CancelledError: within a quarter of a second after ``cancelled`` was set.
        """
        waiting = Waiting(self.patience, cancelled, on_progress)
        waiting.check_cancelled()
        wire = Wire(self._model_key, self._url, self._key)
        capture = functools.partial(sending.capture, traced, wire, task, request)
        # nnsight captures one session at a time in a process: on the thread of local models.
        if thread.LOCAL.is_this:
            capture()
        else:
            waiting.result(thread.LOCAL.submit(capture))
        while True:
            attempt = Attempt(wire, self.faults, waiting)
            try:
                return attempt.run()
            except HorizonError as error:
                failure = error
            finally:
                self._count(attempt)
            may_repeat = isinstance(failure, HostError) and failure.may_repeat
            if not may_repeat or not waiting.begin_next_attempt():
                break
        if isinstance(failure, HostError) and failure.kind == "not deployed":
            failure = self._naming_deployed(failure, cancelled)
        raise without_causes(failure)

    def _count(self, attempt: Attempt) -> None:
        with self._counting:
            self.requests += 1
            self.bytes_sent += attempt.bytes_sent
            self.bytes_received += attempt.bytes_received

    def _naming_deployed(self, failure: HostError, cancelled: threading.Event | None) -> HostError:
        """The same error; its advice names the models that are deployed, if the host says which."""
        try:
            names = ", ".join(sorted({there.name for there in self.deployed(cancelled=cancelled)}))
        except HostError:
            return failure
        advice = f"{failure.advice} Deployed there now: {names or 'none'}."
        return HostError(failure.kind, failure.message, advice=advice, detail=failure.detail)

    def deployed(self, *, cancelled: threading.Event | None = None) -> list[Deployment]:
        """The models that the host has now, by name.

        Raises:
            HostError: if it does not say.
            CancelledError: if ``cancelled`` is set meanwhile.
        """
        entries = self._call("GET", "/status", cancelled=cancelled).get("deployments")
        if not isinstance(entries, dict):
            raise self.faults.of(Fault.NOT_NDIF, "it does not say what is deployed")
        return _deployments(entries)

    def check_key(self) -> tuple[str, ...]:
        """Check that the host accepts the API key, without running anything.

        Returns:
            The key's rights, such as ``"trusted"``; empty if the host requires no keys.

        Raises:
            HostError: of kind ``"key"`` if it does not, and of another kind if it does not say.
        """
        # A request without its session: a host checks the key first, and then misses the rest.
        incomplete = {"data": json.dumps({"model_key": self._model_key})}
        self._call("POST", "/request", data=incomplete, expected=422)
        return tuple(map(str, self._call("GET", "/whoami").get("tags") or ()))

    def versions(self) -> dict[str, str]:
        """The versions of ``"python"`` and of the packages on the host, by the names that they are imported by.

        Raises:
            HostError: if it does not say.
        """
        told = self._call("GET", "/env")
        packages = told.get("packages")
        if not isinstance(packages, dict):
            raise self.faults.of(Fault.NOT_NDIF, "it does not say what is installed")
        python = str(told.get("python_version", "")).partition(" ")[0]
        return {"python": python, **{str(name): str(version) for name, version in packages.items()}}

    def _call(
        self,
        method: str,
        path: str,
        *,
        data: dict[str, str] | None = None,
        expected: int = 200,
        cancelled: threading.Event | None = None,
    ) -> dict[str, Any]:
        """The JSON object that the host answers with; empty if it answers with other JSON."""
        limit = self.patience.asking

        def call() -> Any:
            headers = {"ndif-api-key": self._key} if self._key else {}
            response = httpx.request(method, self._url + path, headers=headers, data=data, timeout=limit)
            if response.status_code != expected:
                response.raise_for_status()
            return response.json()

        try:
            told = Waiting(self.patience, cancelled).run_detached(call, limit=limit)
            return told if isinstance(told, dict) else {}
        except TimeoutError:
            failure = self.faults.of(Fault.SILENT, f"{limit:g} s")
        except httpx.HTTPError as error:
            failure = self.faults.of_http(error, limit=limit)
        except ValueError:
            failure = self.faults.of(Fault.NOT_NDIF, f"{path} is not JSON there")
        raise failure


def _deployments(entries: dict[str, Any]) -> list[Deployment]:
    """Read ``/status``: it has an entry for each replica, and for each model that is only on the host's disk."""
    healthiest = ("RUNNING", "DEPLOYING")
    found: dict[str, Deployment] = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict) or entry.get("deployment_level") not in ("HOT", "WARM"):
            continue
        deployment = Deployment(
            name=str(entry.get("repo_id") or name),
            revision=entry.get("revision"),
            state=str(entry.get("application_state") or entry["deployment_level"]),
            dtype=entry.get("dtype"),
            model_key=str(entry.get("model_key") or name),
            time_limit=entry.get("execution_timeout_seconds"),
        )
        before = found.get(deployment.model_key)
        if before is not None:
            state = next((s for s in healthiest if s in (before.state, deployment.state)), before.state)
            deployment = replace(deployment, state=state, replicas=before.replicas + 1)
        found[deployment.model_key] = deployment
    return sorted(found.values(), key=lambda deployment: deployment.name)


def _model_name(model_key: str) -> str:
    """The Hub id or folder in a model key: ``"class.path:{json}"``."""
    try:
        return str(json.loads(model_key.partition(":")[2])["repo_id"])
    except (ValueError, KeyError, TypeError):
        return model_key
