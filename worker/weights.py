"""Where a recipe's weights are found, and whether they are the right ones.

A recipe names its weights by content: ``torchvision:<file name>``, whose last part is the head of
the file's SHA-256, ``sha256:<64 digits>`` or ``random:<seed>``. Whatever place a file comes from,
it is hashed before it is used, so a wrong or damaged file is an error and never a feature.
"""

from __future__ import annotations

import functools
import itertools
import re
import shutil
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import torch

from cache.atomic import replacing
from cache.disk_faults import unreadable
from cache.errors import CorruptData, InvalidRequest, NotFound, Unreachable
from cache.identity import sha256_file
from cache.networks import NetworkInfo, WeightsInfo
from cache.store import Store

DOWNLOAD_TIMEOUT_S = 30.0
"""How long a download may stand still."""


_IDENTITY = re.compile(r"torchvision:[^/\\]+|sha256:[0-9a-f]{64}|random:[0-9]{1,19}")


def parse_identity(identity: str) -> tuple[str, str]:
    """``("torchvision", file)``, ``("sha256", digits)`` or ``("random", seed)``.

    Raises:
        InvalidRequest: none of these.
    """
    if not _IDENTITY.fullmatch(identity):
        raise InvalidRequest(
            f"{identity!r} does not name weights",
            value=identity,
            remedy="use torchvision:<file name>, sha256:<64 lower-case digits> or random:<seed>",
        )
    source, _, rest = identity.partition(":")
    return source, rest


def locate(
    identity: str,
    *,
    network: NetworkInfo,
    weights_dir: Path | None,
    store: Store,
    allow_download: bool = True,
) -> Path:
    """The checked file that holds these weights.

    torchvision's files are looked for in ``weights_dir``, in torch's hub cache and among uploaded
    checkpoints, then downloaded into the hub cache; others in the store, then, under any name, in
    ``weights_dir``.

    Raises:
        InvalidRequest: the identity is none, or ``random``, which has no file.
        NotFound: the network has no such official file, or no file has this hash.
        CorruptData: the file that was found or downloaded is not what its name says.
        Unreachable: the file is nowhere here and cannot be downloaded.
    """
    source, rest = parse_identity(identity)
    if source == "torchvision":
        return _official(_published(network, rest), weights_dir, store, allow_download)
    if source == "sha256":
        for path in itertools.chain(_uploads(store, rest), _files_with_hash(weights_dir, rest)):
            return _checked(path, rest)
        raise NotFound(
            f"no weights with the hash {rest} are here",
            value=identity,
            remedy="upload the checkpoint again, or put the file into the weights folder",
        )
    raise InvalidRequest(
        "random weights have no file",
        value=identity,
        remedy="build the network from the seed",
    )


def _published(network: NetworkInfo, file: str) -> WeightsInfo:
    for weights in network.weights:
        if weights.file == file:
            return weights
    raise NotFound(
        f"{network.name} has no official weights file {file!r}",
        value=file,
        remedy=f"use one of: {', '.join(weights.file for weights in network.weights)}",
    )


def _official(
    weights: WeightsInfo, weights_dir: Path | None, store: Store, allow_download: bool
) -> Path:
    hub = Path(torch.hub.get_dir()) / "checkpoints" / weights.file
    named = [weights_dir / weights.file] if weights_dir else []
    for path in (*named, hub, *_uploads(store, weights.hash_prefix)):
        if path.is_file():
            return _checked(path, weights.hash_prefix)
    places = f"{weights_dir or 'the weights folder (FEATUREPACK_WEIGHTS_DIR)'} or {hub.parent}"
    remedy = f"download {weights.url} elsewhere and put {weights.file} into {places}"
    if not allow_download:
        raise Unreachable(f"{weights.file} is not here", value=weights.file, remedy=remedy)
    hub.parent.mkdir(parents=True, exist_ok=True)
    try:  # S310: the address is the catalogue's own, never a user's
        with urlopen(weights.url, timeout=DOWNLOAD_TIMEOUT_S) as reply, replacing(hub) as beside:  # noqa: S310
            with beside.open("wb") as file:
                shutil.copyfileobj(reply, file, 1 << 20)
            if reply.length:  # what is left of Content-Length; reading in pieces does not complain
                raise ConnectionError(f"the connection broke, {reply.length} bytes are missing")
            _checked(beside, weights.hash_prefix, name=f"{weights.file} from {weights.url}")
    except (OSError, HTTPException) as error:
        message = f"{weights.file} is not here and cannot be downloaded: {error}"
        failure = unreadable(error) if isinstance(error, OSError) else Unreachable
        raise failure(message, value=weights.file, remedy=remedy) from error
    return hub


def _checked(path: Path, expected: str, name: str = "") -> Path:
    """The path, if the file's SHA-256 begins with ``expected``."""
    actual = sha256_file(path)
    if not actual.startswith(expected):
        raise CorruptData(
            f"{name or path} is damaged: its SHA-256 should begin with {expected}, but is {actual}",
            value=actual,
            remedy="delete this file and fetch it again",
        )
    return path


def _uploads(store: Store, head: str) -> Iterator[Path]:
    """Uploaded checkpoints whose hash, by their name, begins with ``head``."""
    yield from sorted((store.root / "weights").glob(f"{head}*"))


def _files_with_hash(folder: Path | None, sha256: str) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder and folder.is_dir() else ():
        if path.is_file():
            status = path.stat()
            if _known_sha256(path, status.st_size, status.st_mtime_ns) == sha256:
                yield path


@functools.lru_cache(maxsize=4096)
def _known_sha256(path: Path, size: int, mtime_ns: int) -> str:
    """A file's hash, computed again only when its size or time changed: good for searching."""
    return sha256_file(path)
