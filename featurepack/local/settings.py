"""Where the packs of this machine lie, and how much room they may take: read here alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from featurepack.errors import InvalidRequest

DEFAULT_BYTES = 50 * 10**9


@dataclass(frozen=True)
class LocalSettings:
    """A folder and how many bytes of packs may be in it."""

    folder: Path
    limit_bytes: int = DEFAULT_BYTES

    @classmethod
    def chosen(
        cls,
        folder: str | Path | None = None,
        limit_bytes: int | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> LocalSettings:
        """What is given, else ``FEATUREPACK_CACHE`` and ``FEATUREPACK_CACHE_BYTES``, else
        ``featurepack`` in XDG's folder of caches and 50 GB.

        Raises:
            InvalidRequest: the limit is no number of bytes.
        """
        text = env.get("FEATUREPACK_CACHE_BYTES", "")
        if limit_bytes is None and text:
            limit_bytes = int(text) if text.isdecimal() else -1
        limit_bytes = DEFAULT_BYTES if limit_bytes is None else limit_bytes
        if limit_bytes < 0:
            raise InvalidRequest(
                "the limit of the cache is no number of bytes",
                value=text or limit_bytes,
                remedy="give a whole number (FEATUREPACK_CACHE_BYTES)",
            )
        chosen = folder or env.get("FEATUREPACK_CACHE") or _caches(env) / "featurepack"
        return cls(Path(chosen).expanduser().absolute(), limit_bytes)


def _caches(env: Mapping[str, str]) -> Path:
    """XDG's folder of caches; a relative one does not count, as the specification says."""
    named = Path(env.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"
