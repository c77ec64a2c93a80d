"""The first process inside: it starts and controls the services, and ends when its starter ends.

It talks with its starter over a socket, in lines of JSON. The first line has the settings, with the two listening
sockets. Then come commands, ``{"do": "kill" | "pause" | "resume" | "start" | "await" | "check", "part": …}``. The
answers are ``{}`` and ``{"error": …}``. When the starter ends, for any reason, the socket closes; this process ends,
and the kernel ends all other processes of the namespace.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ndif_on_cpu import processes, services

SIGNALS = {"pause": signal.SIGSTOP, "resume": signal.SIGCONT}
BOOT_SECONDS = 240

_ending = threading.Lock()


class Line:
    """The socket to the starter."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._rest = b""

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next message and the descriptors that came with it; ``None`` when the starter has ended."""
        descriptors: list[int] = []
        while b"\n" not in self._rest:
            data, came, _, _ = socket.recv_fds(self._socket, 65536, 2)
            descriptors += came
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line), descriptors

    def send(self, message: dict[str, Any]) -> None:
        """Send an answer."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def wait_for_end(self) -> None:
        """Return when the other end is closed."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        poll.poll()


class Supervisor:
    """Runs the services of one server."""

    def __init__(self, settings: services.Settings) -> None:
        self._settings = settings
        self._environment = services.environment(settings)
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._n_models = 0

    def boot(self, api_listener: int, store_listener: int) -> None:
        """Start everything; models may still be loading when this returns.

        Raises:
            RuntimeError: if a service does not start.
        """
        settings = self._settings
        if settings.keys is not None:
            keys = Path(self._environment["NDIF_KEYS_FILE"])
            keys.touch(mode=0o600)
            keys.write_text(json.dumps(settings.keys), encoding="utf-8")
        self._start("redis", services.redis(settings))
        self._start("store", services.store(store_listener), store_listener)
        self._start("ray", services.ray_head(settings))
        self._until(lambda: listens(services.RAY), "Ray answers")
        self._start_api(api_listener)  # it waits for the controller itself
        controller = self._start("controller", services.controller(), RAY_ADDRESS=f"127.0.0.1:{services.RAY}")
        if controller.wait(BOOT_SECONDS) != 0:
            raise RuntimeError("the controller did not start")
        del self._started["controller"]

    def do(self, command: str, part: str, descriptors: list[int]) -> None:
        """Do what the starter asks.

        Raises:
            RuntimeError: if that part does not run, or a service has ended by itself.
        """
        if command == "check":
            self._check()
        elif command == "start":
            self._start_api(*descriptors)
        elif command == "await":
            self._await_models()
        elif command == "kill":
            self._kill(part)
        else:
            pids = self._processes(part)
            if not pids:
                raise RuntimeError(f"there is no {part} to {command}")
            processes.tell(pids, SIGNALS[command])

    def _kill(self, part: str) -> None:
        if part == "model":
            self._n_models = len(processes.model_actors())
        processes.end(self._processes(part))
        if part in self._started:
            self._started.pop(part).wait()

    def _await_models(self) -> None:
        """Wait until Ray has started as many models as were killed."""
        self._until(lambda: len(processes.model_actors()) >= self._n_models, "the models are back")

    def _processes(self, part: str) -> list[int]:
        if part == "everything":
            return [process.pid for process in processes.running()]
        if part == "model":
            return processes.of_models()
        return processes.of_session(self._started[part].pid) if part in self._started else []

    def _check(self) -> None:
        for name, service in self._started.items():
            if service.poll() is not None:
                raise RuntimeError(f"{name} ended with status {service.returncode}")

    def _start(self, name: str, command: list[str], *passed: int, **more: str) -> subprocess.Popen[bytes]:
        with (self._settings.logs / f"{name}.log").open("ab") as log:
            self._started[name] = subprocess.Popen(
                command,
                env={**self._environment, **more},
                cwd=self._settings.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=passed,
                start_new_session=True,
            )
        for descriptor in passed:
            os.close(descriptor)  # when the service ends, nothing listens any more
        return self._started[name]

    def _start_api(self, listener: int) -> None:
        self._start("api", services.api(self._settings, listener), listener, NDIF_SERVICE="api")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition, as long as all services run."""
        for _ in range(BOOT_SECONDS * 10):
            self._check()
            if condition():
                return
            time.sleep(0.1)
        raise RuntimeError(f"after {BOOT_SECONDS} s it is still not true that {what}")


def listens(port: int) -> bool:
    """Whether something accepts connections at a port."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def loopback_up() -> None:
    """Switch on the only interface of this network."""
    get_flags, set_flags, up = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = array.array("B", struct.pack("16sH22x", b"lo", 0))
        fcntl.ioctl(any_socket, get_flags, request)
        (flags,) = struct.unpack_from("H", request, 16)
        struct.pack_into("H", request, 16, flags | up)
        fcntl.ioctl(any_socket, set_flags, request)


def end(folder: str) -> None:
    """End this process and all others of the namespace, and remove their files."""
    _ending.acquire()  # a second thread waits here for the end
    processes.end([process.pid for process in processes.running()])
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def main(descriptor: int) -> None:
    """Serve the starter at the other end of a socket."""
    line = Line(descriptor)
    first = line.receive()
    if first is None:
        return
    settings = services.Settings(**first[0])
    threading.Thread(target=_end_with, args=(line, settings.folder), daemon=True).start()
    try:
        loopback_up()
        supervisor = Supervisor(settings)
        _answer(line, supervisor.boot, *first[1])
        while (message := line.receive()) is not None:
            asked, descriptors = message
            _answer(line, supervisor.do, asked["do"], asked["part"], descriptors)
    finally:
        end(settings.folder)


def _end_with(line: Line, folder: str) -> None:
    line.wait_for_end()
    end(folder)


def _answer(line: Line, function: Any, *arguments: Any) -> None:
    try:
        function(*arguments)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        line.send({"error": str(error)})
    else:
        line.send({})


if __name__ == "__main__":
    main(int(sys.argv[1]))
