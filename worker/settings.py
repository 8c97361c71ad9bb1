"""The worker's settings: environment variables, read once."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cache.database_url import with_password
from cache.errors import InvalidRequest
from cache.logs import LogFormat, log_format
from cache.store import Store
from cache.teams import NO_LIMITS, Limits, limits_of
from cache.tracing import are_traces_wanted
from worker.cores import cores_given


@dataclass(frozen=True)
class WorkerSettings:
    """Everything a worker can be told.

    ``device`` is ``auto``, ``cpu``, ``cuda``, ``cuda:<n>``, or several with commas between.
    ``lease_seconds`` is how long a job stays with a worker that is not heard of, ``poll_seconds``
    the pause between looks for work. Beyond ``max_pack_bytes`` the least recently used packs go.
    ``keep_seconds`` is how long unfinished work that no job belongs to is kept. ``traces``: spans
    are sent as OpenTelemetry's own variables say.
    """

    store: Store
    database_url: str = field(repr=False)  # may hold a password
    weights_dir: Path | None = None
    device: str = "cpu"
    threads: int = 1
    lease_seconds: float = 30.0
    poll_seconds: float = 0.2
    max_pack_bytes: int | None = None
    keep_seconds: float = 86400.0
    name: str = "worker"
    log_format: LogFormat = "text"
    traces: bool = False
    team: Limits = NO_LIMITS

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> WorkerSettings:
        """Read ``FEATUREPACK_*``; see docs/settings.md. Raises InvalidRequest."""
        root = Path(env.get("FEATUREPACK_STORE", "featurepack-store")).resolve()
        data_root = env.get("FEATUREPACK_DATA_ROOT")
        weights_dir = env.get("FEATUREPACK_WEIGHTS_DIR")
        store = Store(root, Path(data_root) if data_root else None)
        return cls(
            store=store,
            database_url=with_password(
                env.get("FEATUREPACK_DATABASE") or store.database_url,
                env.get("FEATUREPACK_DATABASE_PASSWORD_FILE"),
            ),
            weights_dir=Path(weights_dir) if weights_dir else None,
            device=env.get("FEATUREPACK_DEVICE") or "auto",
            threads=int(_number(env, "FEATUREPACK_THREADS", cores_given())),
            lease_seconds=_number(env, "FEATUREPACK_LEASE_SECONDS", 30.0),
            max_pack_bytes=_whole_number(env, "FEATUREPACK_MAX_PACK_BYTES"),
            keep_seconds=_number(env, "FEATUREPACK_KEEP_SECONDS", 86400.0, allow_zero=True),
            team=limits_of(env),
            name=env.get("FEATUREPACK_WORKER") or f"{socket.gethostname()}-{os.getpid()}",
            log_format=log_format(env),
            traces=are_traces_wanted(env),
        )


def _whole_number(env: Mapping[str, str], name: str) -> int | None:
    text = env.get(name, "")
    if text and not text.isdecimal():
        raise InvalidRequest(
            f"{name} is {text!r}", value=text, remedy="give a whole number of bytes"
        )
    return int(text) if text else None


def _number(
    env: Mapping[str, str], name: str, default: float, *, allow_zero: bool = False
) -> float:
    text = env.get(name, "")
    try:
        value = float(text) if text else float(default)
    except ValueError as error:
        raise InvalidRequest(f"{name} is {text!r}", value=text, remedy="give a number") from error
    if not (value >= 0 if allow_zero else value > 0):
        least = "a number from 0 on" if allow_zero else "a number above 0"
        raise InvalidRequest(f"{name} is {text!r}", value=text, remedy=f"give {least}")
    return value
