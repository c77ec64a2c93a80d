"""The services of an NDIF server: the command and the environment of each.

Ports are the same for every server: each has a network of its own, with only a loopback interface. (Ray listens on
every interface, whatever its settings.) Clients reach the API and the object store through two sockets that listen
outside and are passed in.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REDIS, STORE, RAY, RAY_CLIENT = 7001, 7002, 7003, 7004
MODEL_BYTES = 4_000_000_000  # memory for all models of a server


@dataclass(frozen=True)
class Settings:
    """The settings of a server.

    Args:
        folder: For logs, Ray's files and the like. A short path, since Ray makes sockets below it.
        models: Folders of the models that are loaded at the start.
        keys: The tags of each API key; ``None``: every request is trusted.
        dtype: Of the loaded models.
        time_limit: Seconds that a request may take; ``None``: no limit.
        sandboxes: How many sandbox runners wait for requests.
        store_url: The object store, as clients see it.
    """

    folder: str
    models: list[str]
    keys: dict[str, list[str]] | None
    dtype: str
    time_limit: float | None
    sandboxes: int
    store_url: str

    @property
    def logs(self) -> Path:
        """A file for each service."""
        return Path(self.folder) / "log"


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables of all services."""
    folder = Path(settings.folder)
    passed_on = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ") if name in os.environ}
    limit = {} if settings.time_limit is None else {"NDIF_DEFAULT_EXECUTION_TIMEOUT_SECONDS": str(settings.time_limit)}
    return {
        **passed_on,
        **limit,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count()),  # Ray would set it to 1
        "HOME": settings.folder,
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_OFFLINE": "1",
        "NDIF_REDIS_URL": f"redis://127.0.0.1:{REDIS}",
        "NDIF_OBJECT_STORE_URL": f"http://127.0.0.1:{STORE}",
        "NDIF_OBJECT_STORE_PUBLIC_URL": settings.store_url,
        "NDIF_RAY_ADDRESS": f"ray://127.0.0.1:{RAY_CLIENT}",
        "NDIF_CONTROLLER_IMPORT_PATH": "ndif_on_cpu.actors.Controller",
        "NDIF_MODEL_IMPORT_PATH": "ndif_on_cpu.actors.HostedModel",
        "NDIF_DEPLOYMENTS": "|".join(model_key(model) for model in settings.models),
        "NDIF_DEFAULT_DTYPE": settings.dtype,
        "NDIF_DEFAULT_PADDING_BIAS": "0",
        "NDIF_SANDBOX_POOL_SIZE": str(settings.sandboxes),
        "NDIF_STATUS_TTL_S": "2",
        "NDIF_STATUS_TIMEOUT_S": "5",  # if the API that is asking is killed, no other one asks for this long
        "NDIF_KEYS_FILE": str(folder / "keys.json"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "GRPC_ENABLE_FORK_SUPPORT": "0",  # as in NDIF's own start script; without it, Ray's client servers die
        "no_proxy": "127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def model_key(folder: str) -> str:
    """nnsight's key of a model in a folder."""
    identity = {"repo_id": folder, "revision": None, "task": "text-generation"}
    return f"nnsight.modeling.transformers.TransformersModel:{json.dumps(identity)}"


def redis(settings: Settings) -> list[str]:
    """The queue of requests, and messages between services."""
    kept_nowhere = ["--save", "", "--appendonly", "no", "--dir", settings.folder]
    return ["redis-server", "--bind", "127.0.0.1", "--port", str(REDIS), *kept_nowhere]


def store(listener: int) -> list[str]:
    """The object store."""
    return [sys.executable, "-m", "ndif_on_cpu.store", str(STORE), str(listener)]


def ray_head(settings: Settings) -> list[str]:
    """Ray, told that it has a GPU: the controller places models only on nodes that have one."""
    resources: dict[str, Any] = {"head": 10, "cuda_memory_bytes": MODEL_BYTES, "cpu_memory_bytes": MODEL_BYTES}
    return [
        *("ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={RAY}"),
        *(f"--ray-client-server-port={RAY_CLIENT}", f"--temp-dir={settings.folder}/ray"),
        # the controller asks the dashboard for its nodes
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1"),
        *("--num-cpus=8", "--num-gpus=1", "--object-store-memory=200000000", f"--resources={json.dumps(resources)}"),
    ]


def controller() -> list[str]:
    """A command that starts NDIF's controller in Ray, and ends."""
    return [sys.executable, "-m", "ndif.services.ray.deployments.controller.controller"]


def api(settings: Settings, listener: int) -> list[str]:
    """The API for clients, and the dispatcher that passes their requests to the models."""
    application = "ndif.services.api.app:app" if settings.keys is None else "ndif_on_cpu.api:app"
    configured = ["--config", "python:ndif.services.api.gunicorn_conf", "--bind", f"fd://{listener}"]
    return [sys.executable, "-m", "gunicorn", *configured, application]
