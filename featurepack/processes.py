"""Service and worker as child processes: started, watched, ended together.

Children run in sessions of their own, so that a Ctrl-C at the terminal reaches only the parent,
which then ends them in order.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

import httpx

from featurepack.errors import ConnectionFailed, FeaturepackError, InvalidRequest

POLL_SECONDS = 0.1
GRACE_SECONDS = 20.0
"""How long a child may take to end before it is killed."""


NEEDS = {"service": "uvicorn", "worker": "torch"}
"""A library that only the extra of that name brings."""


class ChildEnded(FeaturepackError):
    """A child process ended by itself; ``value`` is its exit status."""


@dataclass(frozen=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path | None

    def tail(self, lines: int = 30) -> str:
        """The last lines of its log, if it has one of its own."""
        if self.log is None:
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Children:
    """Child processes that end when the ``with`` block does, whatever happens in it.

    ``environment`` is added to this process's own. With ``logs``, a folder, each child writes
    ``<name>.log`` there; without, it shares this process's stdout and stderr.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path | None = None) -> None:
        self.environment = environment
        self.logs = logs
        self.all: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, module: str, *arguments: str) -> None:
        """Start ``python -m module``. Raises InvalidRequest if it is not installed."""
        command, environment = command_for(module, arguments, self.environment)
        log = None if self.logs is None else self.logs / f"{module}.log"
        with open(os.devnull if log is None else log, "wb") as file:  # noqa: PTH123
            process = subprocess.Popen(  # noqa: S603 - our own modules
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=None if log is None else file,
                stderr=None if log is None else subprocess.STDOUT,
                start_new_session=True,
            )
        self.all.append(Child(module, process, log))

    def check(self) -> None:
        """Raises ChildEnded if a child is no longer there."""
        for child in self.all:
            if (status := child.process.poll()) is not None:
                raise ChildEnded(
                    f"the {child.name} ended with status {status}",
                    value=status,
                    remedy="its log says why",
                )

    def wait_for(self, url: str, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait until ``url`` answers with success; False if ``stop`` was set before.

        Raises:
            ChildEnded: a child ended in the meantime.
            ConnectionFailed: no success within ``seconds``.
        """
        deadline = time.monotonic() + seconds
        with httpx.Client(trust_env=False, timeout=2.0) as http:
            while stop is None or not stop.is_set():
                self.check()
                with suppress(httpx.TransportError):
                    if http.get(url).is_success:
                        return True
                if time.monotonic() > deadline:
                    raise ConnectionFailed(
                        f"{url} does not answer well after {seconds:g} s",
                        value=url,
                        remedy="the log says why",
                    )
                time.sleep(POLL_SECONDS)
        return False

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Ask all children to end; kill those that do not within ``grace`` seconds."""
        for child in self.all:
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + grace
        for child in self.all:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                child.process.kill()
                child.process.wait()


def command_for(
    module: str, arguments: tuple[str, ...], environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Command line and environment that run the ``module`` that this process would import.

    A ``service.backup`` needs what the service needs.

    ``-P`` keeps a folder ``service`` or ``worker`` in the current directory from being taken.

    Raises:
        InvalidRequest: it is not installed.
    """
    extra = module.partition(".")[0]
    spec = importlib.util.find_spec(extra)
    installed = importlib.util.find_spec(NEEDS.get(extra, extra)) is not None
    if spec is None or spec.origin is None or not installed:
        raise InvalidRequest(
            f"the {extra} is not installed here",
            value=extra,
            remedy=f"pip install 'featurepack[{extra}]'",
        )
    root = str(Path(spec.origin).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return [sys.executable, "-P", "-m", module, *arguments], {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        **environment,
    }


def usable_port(host: str, port: int) -> int:
    """``port`` if it can be bound now, or a free one for 0. Raises InvalidRequest."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            return int(listener.getsockname()[1])
    except OSError as error:
        raise InvalidRequest(
            f"{host} port {port} cannot be used: {error.strerror}",
            value=port,
            remedy="end what uses it, or give another --port (0 finds one)",
        ) from error


def url_of(host: str, port: int) -> str:
    """Where a service that listens there is reached from this machine."""
    reached = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set while the block runs."""
    stop = threading.Event()

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield stop
    finally:
        for number, old in before.items():
            signal.signal(number, old)
