"""The service's settings: environment variables, read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cache.errors import InvalidRequest
from cache.store import Store

GIB = 1 << 30


@dataclass(frozen=True)
class ServiceSettings:
    """Everything the service can be told.

    ``max_upload_bytes`` bounds one upload, ``max_body_bytes`` any other request body. So many
    answers above 1 MiB (``large_transfers``) and below (``small_transfers``) are sent at once; a
    client that reads nothing for ``stall_seconds`` is dropped. ``hosts`` are the names under which
    the service may be asked; empty: any.
    """

    store: Store
    database_url: str
    weights_dir: Path | None = None
    max_upload_bytes: int = 4 * GIB
    max_body_bytes: int = 8 << 20
    worker_silence_seconds: float = 30.0
    large_transfers: int = 64
    small_transfers: int = 256
    stall_seconds: int = 30
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
            database_url=env.get("FEATUREPACK_DATABASE") or store.database_url,
            weights_dir=Path(weights_dir) if weights_dir else None,
            max_upload_bytes=_number(env, "FEATUREPACK_MAX_UPLOAD_BYTES", cls.max_upload_bytes),
            large_transfers=_number(env, "FEATUREPACK_LARGE_TRANSFERS", cls.large_transfers),
            small_transfers=_number(env, "FEATUREPACK_SMALL_TRANSFERS", cls.small_transfers),
            stall_seconds=_number(env, "FEATUREPACK_STALL_SECONDS", cls.stall_seconds),
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
