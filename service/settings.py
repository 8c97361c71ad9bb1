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

    ``max_upload_bytes`` bounds one upload, ``max_body_bytes`` any other request body.
    """

    store: Store
    database_url: str
    weights_dir: Path | None = None
    max_upload_bytes: int = 4 * GIB
    max_body_bytes: int = 8 << 20
    worker_silence_seconds: float = 30.0

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> ServiceSettings:
        """Read ``FEATUREPACK_*``; see docs/settings.md. Raises InvalidRequest."""
        root = Path(env.get("FEATUREPACK_STORE", "featurepack-store")).resolve()
        data_root = env.get("FEATUREPACK_DATA_ROOT")
        weights_dir = env.get("FEATUREPACK_WEIGHTS_DIR")
        upload = env.get("FEATUREPACK_MAX_UPLOAD_BYTES", "")
        if upload and not upload.isdecimal():
            raise InvalidRequest(
                f"FEATUREPACK_MAX_UPLOAD_BYTES is {upload!r}",
                value=upload,
                remedy="give a whole number of bytes",
            )
        store = Store(root, Path(data_root) if data_root else None)
        return cls(
            store=store,
            database_url=env.get("FEATUREPACK_DATABASE") or store.database_url,
            weights_dir=Path(weights_dir) if weights_dir else None,
            max_upload_bytes=int(upload) if upload else 4 * GIB,
        )
