"""An NDIF host: one request to it and its answer, again where that may help, and what is deployed there."""

from __future__ import annotations

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
from horizon_widget.remote import travel
from horizon_widget.remote.exchange import Exchange, Wire, of_http
from horizon_widget.remote.faults import Faults
from horizon_widget.remote.news import News, Patience
from horizon_widget.remote.waiting import TooLate, aside, look, pause, until_done

_SENDABLE = re.compile(r"[!-~]*")  # what a header of HTTP may hold, without spaces


@dataclass(frozen=True)
class Deployment:
    """A model that a host has.

    Attributes:
        name: The Hub id, or the folder on the host.
        revision: Of the Hub id; none if it is the default one.
        state: As the host says: ``"RUNNING"``, ``"DEPLOYING"``, ``"UNHEALTHY"``.
        dtype: Name of its torch dtype, if the host says it.
        model_key: What nnsight asks for it with.
        replicas: How many there are.
        time_limit: Longest that a request may take, in seconds, if there is a limit.
    """

    name: str
    revision: str | None
    state: str
    dtype: str | None
    model_key: str
    replicas: int = 1
    time_limit: float | None = None


@dataclass(frozen=True)
class Identity:
    """What a host makes of the API key.

    Attributes:
        accepted: Whether requests with it are taken.
        email: Whose key it is, if the host knows and tells.
        tags: What the key may do, such as ``"trusted"``; empty where the host asks for no keys.
        fault: Why it is not accepted.
    """

    accepted: bool
    email: str | None
    tags: tuple[str, ...]
    fault: HostError | None = None


def _nobody(news: News | None) -> None:
    del news


class Host:
    """An NDIF host, asked for one model.

    Args:
        model_key: What nnsight asks for the model with (``to_model_key()``).
        url: Default: ``NDIF_HOST``, as nnsight has it now.
        api_key: Default: ``NDIF_API_KEY``, as nnsight has it now. It stands in no message, log or repr.
        patience: For how long each step is waited for.

    Attributes:
        name: Of the host, for messages: without scheme, user and password.
        requests: How many requests were sent, repeats included.
        bytes_sent: Of all requests.
        bytes_received: Of all answers.

    Raises:
        HostError: if the address or the key cannot be one.
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
        self.model_key = model_key
        self.patience = patience or Patience()
        self.name, user_info = _named(url)
        self._url = url
        self._faults = Faults(self.name, _model_name(model_key), [self._key, user_info])
        if not url.startswith(("http://", "https://")) or not self.name:
            raise self._faults.of("bad address", self._faults.clean(url) or "it is empty")
        if not _SENDABLE.fullmatch(self._key):
            raise self._faults.of("malformed key")
        self.requests = self.bytes_sent = self.bytes_received = 0
        self._counting = Lock()

    def __repr__(self) -> str:
        return f"Host({self.name!r})"

    def ask(
        self,
        traced: Any,
        entry: str,
        request: dict[str, Any],
        *,
        on_news: Callable[[News | None], None] = _nobody,
        abandoned: threading.Event | None = None,
    ) -> Any:
        """One request and its answer; on the caller's thread, which waits.

        Args:
            traced: An nnsight model, without weights.
            entry: ``"package.module:function"``, of this package; called on the host with the model there and the
                request.
            request: Plain values.
            on_news: Called as the state changes, and with none at the end.
            abandoned: Set from another thread when nobody waits any more. The host may go on computing.

        Returns:
            What the function returned.

        Raises:
            HostError: of the kind of fault, after at most ``len(patience.pauses)`` more tries.
            QueryError: or ``ModelError``, if our own code on the host raised one.
            Abandoned: within a quarter of a second after ``abandoned`` was set.
        """
        abandoned = abandoned or threading.Event()
        try:
            return self._ask(traced, entry, request, on_news, abandoned)
        finally:
            on_news(None)

    def _ask(
        self,
        traced: Any,
        entry: str,
        request: dict[str, Any],
        on_news: Callable[[News | None], None],
        abandoned: threading.Event,
    ) -> Any:
        look(abandoned)
        wire = Wire(self.model_key, self._url, self._key)

        def capture() -> None:
            travel.trace_request(traced, wire, entry, request)

        # nnsight captures one session at a time in a process: on the thread of local models.
        if thread.LOCAL.is_this:
            capture()
        else:
            until_done(thread.LOCAL.submit(capture), abandoned)

        attempts = len(self.patience.pauses) + 1
        for attempt in range(1, attempts + 1):
            try:
                return self._attempt(wire, _Telling(on_news, attempt, attempts), abandoned)
            except HostError as error:
                failure: HorizonError = error
                if attempt == attempts or not error.may_repeat:
                    break
            except HorizonError as error:
                failure = error
                break
            _Telling(on_news, attempt + 1, attempts)("waiting", None)
            pause(self.patience.pauses[attempt - 1], abandoned)
        if isinstance(failure, HostError) and failure.kind in ("not deployed", "no room"):
            failure = self._naming_others(failure, abandoned)
        # Not with the frames of the libraries, in whose local variables the key stands.
        raise failure.with_traceback(None)

    def _attempt(self, wire: Wire, tell: _Telling, abandoned: threading.Event) -> Any:
        exchange = Exchange(wire, self._faults, self.patience, abandoned, tell)
        try:
            saved = exchange.run()
        finally:
            with self._counting:
                self.requests += 1
                self.bytes_sent += exchange.sent
                self.bytes_received += exchange.received
        answer = saved.get("answer") if isinstance(saved, dict) else None
        if isinstance(answer, dict) and "answer" in answer:
            return answer["answer"]
        if isinstance(answer, dict) and "error" in answer:
            raise self._faults.of_our_code(answer["error"])
        # NDIF 0.1 sends such an answer now and then after a request that it stopped for its time limit.
        raise self._faults.of("no values")

    def _naming_others(self, failure: HostError, abandoned: threading.Event) -> HostError:
        """The same, with the models that are deployed, if the host tells."""
        try:
            names = ", ".join(sorted({there.name for there in self.deployed(abandoned=abandoned)}))
        except HostError:
            return failure
        advice = f"{failure.advice} Deployed there now: {names or 'none'}."
        return HostError(failure.kind, failure.message, advice=advice, detail=failure.detail)

    def fault(self, kind: str, said: str = "") -> HostError:
        """An error of this host's; see ``faults.Faults.of``."""
        return self._faults.of(kind, said)

    def deployed(self, *, abandoned: threading.Event | None = None) -> list[Deployment]:
        """The models that the host has now, by name.

        Raises:
            HostError: if it does not say.
            Abandoned: if ``abandoned`` is set meanwhile.
        """
        told = self._call("GET", "/status", abandoned).json()
        entries = told.get("deployments") if isinstance(told, dict) else None
        if not isinstance(entries, dict):
            raise self._faults.of("not NDIF", "it does not say what is deployed")
        return _deployments(entries)

    def whoami(self, *, abandoned: threading.Event | None = None) -> Identity:
        """What the host makes of the key, without running anything.

        Raises:
            HostError: if it does not say.
            Abandoned: if ``abandoned`` is set meanwhile.
        """
        try:
            # A request without its session: a host looks at the key first, and then misses the rest.
            form = {"data": json.dumps({"model_key": self.model_key})}
            self._call("POST", "/request", abandoned, data=form)
        except HostError as fault:
            if "key" in fault.kind:
                return Identity(False, None, (), fault.with_traceback(None))
            if fault.kind != "refused":
                raise
        told = self._call("GET", "/whoami", abandoned).json()
        told = told if isinstance(told, dict) else {}
        return Identity(True, told.get("email"), tuple(map(str, told.get("tags") or ())))

    def versions(self, *, abandoned: threading.Event | None = None) -> dict[str, str]:
        """Of the packages that the host has, by the names they are imported by, and of ``"python"``.

        Raises:
            HostError: if it does not say.
            Abandoned: if ``abandoned`` is set meanwhile.
        """
        told = self._call("GET", "/env", abandoned).json()
        packages = told.get("packages") if isinstance(told, dict) else None
        if not isinstance(packages, dict):
            raise self._faults.of("not NDIF", "it does not say what is installed")
        python = str(told.get("python_version", "")).partition(" ")[0]
        return {"python": python, **{str(name): str(version) for name, version in packages.items()}}

    def _call(
        self, method: str, path: str, abandoned: threading.Event | None, data: dict[str, str] | None = None
    ) -> httpx.Response:
        limit = self.patience.asking

        def call() -> httpx.Response:
            headers = {"ndif-api-key": self._key} if self._key else {}
            response = httpx.request(method, self._url + path, headers=headers, data=data, timeout=limit)
            response.raise_for_status()
            response.json()
            return response

        try:
            return aside(call, abandoned or threading.Event(), limit=limit)
        except TooLate:
            fault = self._faults.of("silent", f"{limit:g} s")
        except httpx.HTTPError as error:
            fault = of_http(self._faults, error, limit=limit, with_key=bool(self._key))
        except ValueError:
            fault = self._faults.of("not NDIF", f"{path} is no JSON there")
        raise fault


class _Telling:
    """Tells of news where there are any."""

    def __init__(self, on_news: Callable[[News | None], None], attempt: int, attempts: int) -> None:
        self._on_news = on_news
        self._numbers = {"attempt": attempt, "attempts": attempts}
        self._last: News | None = None

    def __call__(self, state: str, position: int | None) -> News:
        """The news that a state has begun, or that it lasts."""
        news = News(state, position, **self._numbers)
        if self._last is None or news != self._last:
            self._last = news
            self._on_news(news)
        return self._last


def _deployments(entries: dict[str, Any]) -> list[Deployment]:
    """Of ``/status``, which has an entry for each replica, and for what is merely on the host's disk."""
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


def _named(url: str) -> tuple[str, str]:
    """What a host is called, and the user and password before it, which are not shown."""
    user_info, _, name = urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")
    return name, user_info


def _model_name(model_key: str) -> str:
    """The Hub id or folder in a model key: ``"class.path:{json}"``."""
    try:
        return str(json.loads(model_key.partition(":")[2])["repo_id"])
    except (ValueError, KeyError, TypeError):
        return model_key
