"""The service's settings: environment variables, read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cache.database_url import with_password
from cache.errors import InvalidRequest
from cache.logs import LogFormat, log_format
from cache.store import Store
from cache.teams import NO_LIMITS, Limits, limits_of
from cache.tracing import are_traces_wanted

GIB = 1 << 30
SHORTEST_SECRET = 32


@dataclass(frozen=True)
class ServiceSettings:
    """Everything the service can be told.

    ``max_upload_bytes`` bounds one upload, ``max_body_bytes`` any other request body. So many
    answers above 1 MiB (``large_transfers``) and below (``small_transfers``) are sent at once; a
    client that reads nothing for ``stall_seconds`` is dropped. Where jobs wait and no worker has
    done anything for ``work_silence_seconds``, the service is not ready. ``traces``: spans are sent
    as OpenTelemetry's own variables say. ``host`` is what it listens on,
    ``hosts`` the names under which it may be asked (empty: any); ``team`` is what a team
    may for which nothing else is set; ``admin_key`` and ``metrics_key`` are the operator's secrets.
    """

    store: Store
    database_url: str = field(repr=False)  # may hold a password
    weights_dir: Path | None = None
    max_upload_bytes: int = 4 * GIB
    max_body_bytes: int = 8 << 20
    worker_silence_seconds: float = 30.0
    large_transfers: int = 64
    small_transfers: int = 256
    stall_seconds: int = 30
    work_silence_seconds: int = 300
    log_format: LogFormat = "text"
    traces: bool = False
    host: str = "127.0.0.1"
    team: Limits = NO_LIMITS
    admin_key: str | None = field(default=None, repr=False)
    metrics_key: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> ServiceSettings:
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
            max_upload_bytes=_number(env, "FEATUREPACK_MAX_UPLOAD_BYTES", cls.max_upload_bytes),
            large_transfers=_number(env, "FEATUREPACK_LARGE_TRANSFERS", cls.large_transfers),
            small_transfers=_number(env, "FEATUREPACK_SMALL_TRANSFERS", cls.small_transfers),
            stall_seconds=_number(env, "FEATUREPACK_STALL_SECONDS", cls.stall_seconds),
            work_silence_seconds=_number(
                env, "FEATUREPACK_WORK_SILENCE_SECONDS", cls.work_silence_seconds
            ),
            log_format=log_format(env),
            traces=are_traces_wanted(env),
            team=limits_of(env),
            admin_key=_secret(env, "FEATUREPACK_ADMIN_KEY_FILE"),
            metrics_key=_secret(env, "FEATUREPACK_METRICS_KEY_FILE"),
            hosts=tuple(env.get("FEATUREPACK_HOSTS", "").lower().replace(",", " ").split()),
        )


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    given = env.get(name, "")
    if not given:
        return default
    if not given.isdecimal() or not int(given):
        raise InvalidRequest(
            f"{name} is {given!r}", value=given, remedy="give a whole number above 0"
        )
    return int(given)


def _secret(env: Mapping[str, str], name: str) -> str | None:
    """What a file holds; where it is wrong, nothing of it is told."""
    path = env.get(name)
    if not path:
        return None
    try:
        secret = Path(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"the file of {name} cannot be read", value=path, remedy="give a file of ASCII text"
        ) from error
    if len(secret) < SHORTEST_SECRET or not secret.isprintable() or " " in secret:
        raise InvalidRequest(
            f"the file of {name} holds no key",
            value=path,
            remedy=f"write at least {SHORTEST_SECRET} letters and digits into it, drawn at random: "
            "openssl rand -hex 32",
        )
    return secret
