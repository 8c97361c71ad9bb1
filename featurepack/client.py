"""The client: one object for everything that a Featurepack service does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from featurepack.errors import InvalidRequest
from featurepack.key import chosen_key
from featurepack.local.cache import LocalCache
from featurepack.local.locks import CAN_LOCK
from featurepack.local.settings import LocalSettings
from featurepack.packs import PackCalls
from featurepack.pairs import PairCalls
from featurepack.submitter import checked, user_at_host
from featurepack.teams import TeamCalls
from featurepack.transport import Retry, Transport

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Client(PairCalls, PackCalls, TeamCalls):
    """Talks to one service; may be used by several threads.

    ``key`` is the team's, else FEATUREPACK_KEY, else what the file FEATUREPACK_KEY_FILE holds; no
    error and no log shows it. ``http`` is used as it is in place of a new connection pool
    (Starlette's ``TestClient``, or one with your own certificates and headers, the key's among
    them); closing it stays with you. ``timeout`` is how many seconds the service may be silent.
    ``retry`` is how often calls are repeated that may be. ``submitter`` is who asks, ``user@host``
    unless given: a job is cancelled when all who submitted it have cancelled it.

    Packs that are read are kept in ``cache_dir``, up to ``cache_bytes`` bytes of them; see
    :class:`featurepack.local.settings.LocalSettings` for what holds where these are not given.
    With ``cache=False``, and on Windows, nothing is kept: all arrays come over the wire.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        http: httpx.Client | None = None,
        timeout: float = 60.0,
        retry: Retry | None = None,
        submitter: str | None = None,
        cache: bool = True,
        cache_dir: str | Path | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        """Raises InvalidRequest for a ``url``, a ``submitter`` or a size that cannot be one."""
        self.submitter = user_at_host() if submitter is None else checked(submitter)
        self._owned = http is None
        if http is None:
            http = _new_http(url, timeout, chosen_key(key))
        elif key is not None:
            raise InvalidRequest(
                "key and http are both given",
                remedy="give http the header: httpx.Client(headers={'Authorization': 'Bearer …'})",
            )
        base = "" if http.base_url.is_absolute_url else url
        self._transport = Transport(http, base, retry)
        settings = LocalSettings.chosen(cache_dir, cache_bytes)
        self._cache = LocalCache(settings) if cache and CAN_LOCK else None

    def close(self) -> None:
        """Close the connections that this client opened; wait until what it fetched is kept."""
        if self._cache is not None:
            self._cache.settle()
        if self._owned:
            self._transport.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ready(self) -> dict[str, Any]:
        """Which workers are alive. Raises Unavailable if none is, or the store is gone."""
        answer: dict[str, Any] = self._transport.json("GET", "/readyz", again=False)
        return answer


def _new_http(url: str, timeout: float, key: str | None) -> httpx.Client:
    host = urlsplit(url).hostname
    if urlsplit(url).scheme not in ("http", "https") or not host:
        raise InvalidRequest(
            f"{url!r} is no address of a service",
            value=url,
            remedy=f"give one like {DEFAULT_URL}",
        )
    return httpx.Client(
        base_url=url,
        headers=None if key is None else {"Authorization": f"Bearer {key}"},
        timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
        trust_env=host not in LOOPBACK,  # a proxy does not reach this machine's own services
    )
