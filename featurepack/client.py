"""The client: one object for everything that a Featurepack service does."""

from __future__ import annotations

from typing import Any, Self, Unpack
from urllib.parse import urlsplit

import httpx
import numpy as np
import numpy.typing as npt

from featurepack.datasets import DatasetCalls
from featurepack.errors import InvalidRequest
from featurepack.heads import HeadCalls
from featurepack.jobs import Options
from featurepack.packs import PackCalls
from featurepack.submitter import checked, user_at_host
from featurepack.transport import Retry, Transport
from featurepack.waiting import OnProgress

DEFAULT_URL = "http://127.0.0.1:8000"
CONNECT_SECONDS = 10.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Client(PackCalls, DatasetCalls, HeadCalls):
    """Talks to one service; may be used by several threads.

    ``http`` is used as it is in place of a new connection pool (Starlette's ``TestClient``, or
    one with your own certificates and headers); closing it stays with you. ``timeout`` is how
    many seconds the service may be silent. ``retry`` is how often calls are repeated that may be.
    ``submitter`` is who asks, ``user@host`` unless given: a job is cancelled when all who
    submitted it have cancelled it.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        http: httpx.Client | None = None,
        timeout: float = 60.0,
        retry: Retry | None = None,
        submitter: str | None = None,
    ) -> None:
        """Raises InvalidRequest if ``url`` or ``submitter`` cannot be one."""
        self.submitter = user_at_host() if submitter is None else checked(submitter)
        self._owned = http is None
        if http is None:
            http = _new_http(url, timeout)
        base = "" if http.base_url.is_absolute_url else url
        self._transport = Transport(http, base, retry)

    def close(self) -> None:
        """Close the connections that this client opened."""
        if self._owned:
            self._transport.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def features(
        self,
        network: str,
        dataset: str,
        split: str | None = None,
        *,
        start: int | None = None,
        stop: int | None = None,
        label: str | int | None = None,
        on_progress: OnProgress | None = None,
        **options: Unpack[Options],
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """Features [N, D] or [N, C, H, W] and labels [N] of a pair, built now if not cached.

        Features are float32 (or float16 if ``numerics`` says so), labels int64 with -1 for
        unlabelled. Rows of images that could not be decoded are zero; ``extract`` gives the pack,
        whose ``invalid_rows`` names them, and ``on_error="fail"`` refuses them.

        Raises:
            NotFound, InvalidRequest: no such pair, split or class; an option that cannot be.
            CorruptData: an image, the weights or the transfer is damaged.
            JobCancelled, Unavailable, ConnectionFailed: it could not be built or fetched.
        """
        pack = self.extract(network, dataset, on_progress=on_progress, **options)
        X = self.pack_features(pack.pack_id, split, start=start, stop=stop, label=label)
        y = self.labels(pack.pack_id, split, start=start, stop=stop, label=label)
        return X, y

    def ready(self) -> dict[str, Any]:
        """Which workers are alive. Raises Unavailable if none is, or the store is gone."""
        answer: dict[str, Any] = self._transport.json("GET", "/readyz", again=False)
        return answer


def _new_http(url: str, timeout: float) -> httpx.Client:
    host = urlsplit(url).hostname
    if urlsplit(url).scheme not in ("http", "https") or not host:
        raise InvalidRequest(
            f"{url!r} is no address of a service",
            value=url,
            remedy=f"give one like {DEFAULT_URL}",
        )
    return httpx.Client(
        base_url=url,
        timeout=httpx.Timeout(timeout, connect=CONNECT_SECONDS),
        trust_env=host not in LOOPBACK,  # a proxy does not reach this machine's own services
    )
