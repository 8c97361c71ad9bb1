"""Servers as processes of their own: started, waited for, and ended with all their children."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

HOST = "127.0.0.1"
START_SECONDS = 60.0
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.05


class ServerFailed(RuntimeError):
    """A server ended by itself or never answered; the message has the end of its log."""


@dataclass(frozen=True)
class Spec:
    """How a server is started. It is ready when ``ready``, a path, is answered with success."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    port: int
    ready: str
    version: str


@dataclass(frozen=True)
class Server:
    """A running server; ``pid`` is the root of its tree of processes."""

    name: str
    url: str
    pid: int
    version: str


class Started:
    """A process that was started; made at once, so that several can start side by side."""

    def __init__(self, spec: Spec, process: subprocess.Popen[bytes], log: Path) -> None:
        self._spec = spec
        self._process = process
        self._log = log

    def wait(self, seconds: float = START_SECONDS) -> Server:
        """Raises ServerFailed."""
        spec, url = self._spec, f"http://{HOST}:{self._spec.port}"
        deadline = time.monotonic() + seconds
        with httpx.Client(trust_env=False, timeout=5.0) as http:
            while time.monotonic() < deadline and self._process.poll() is None:
                with suppress(httpx.TransportError):
                    if http.get(f"{url}{spec.ready}").is_success:
                        return Server(spec.name, url, self._process.pid, spec.version)
                time.sleep(POLL_SECONDS)
        tail = " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])
        raise ServerFailed(f"{spec.name} did not come up at {url}{spec.ready}: {tail}")


@contextmanager
def started(spec: Spec, log: Path) -> Iterator[Started]:
    """The process of ``spec``, whose output goes to ``log``; it ends when the block does."""
    with log.open("wb") as output, group(spec.command, spec.environment, output) as process:
        yield Started(spec, process, log)


@contextmanager
def group(
    command: Sequence[str], environment: Mapping[str, str], output: object, **pipes: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own; they end when the block does."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stderr=output,  # type: ignore[call-overload]
        start_new_session=True,
        **({"stdin": subprocess.DEVNULL, "stdout": output} | pipes),
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole session; its leader is reaped last, so that its number is nobody else's."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
