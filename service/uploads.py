"""Uploads: streamed to ``incoming/`` and described for a worker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, TypedDict

from starlette.datastructures import UploadFile
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cache.errors import InvalidRequest, TooLarge
from cache.locks import writing_in
from cache.quotas import ASK
from cache.store import Store
from service.allowances import LIMITS

Upload = dict[str, str]
"""``path`` in the store, ``name`` as the user gave it."""

PIECE_BYTES = 4 << 20
MAX_NAME = 255


class FormLimits(TypedDict):
    max_files: int
    max_fields: int
    max_part_size: int


FORM_LIMITS: Final[FormLimits] = {"max_files": 1000, "max_fields": 20, "max_part_size": 64 << 10}
"""Of one form: fields are kept in memory, in full; files are spooled to the disk."""


@contextmanager
def saved(store: Store, files: Sequence[UploadFile]) -> Iterator[list[Upload]]:
    """The files, kept for a job; removed again if the block that submits it fails."""
    kept: list[Upload] = []
    with writing_in(store.new_incoming().parent):  # no sweep until their job is there
        try:
            for file in files:
                path = store.new_incoming()
                kept.append({"path": str(path), "name": _name(file)})
                with path.open("xb") as target:
                    shutil.copyfileobj(file.file, target, PIECE_BYTES)
                    target.flush()
                    os.fsync(target.fileno())
            yield kept
        except BaseException:
            for upload in kept:
                store.incoming(upload["path"]).unlink(missing_ok=True)
            raise


def size_of(uploads: Sequence[Upload]) -> int:
    """Bytes of what was uploaded, as it came."""
    return sum(Path(upload["path"]).stat().st_size for upload in uploads)


def _name(file: UploadFile) -> str:
    name = PurePosixPath((file.filename or "").replace("\\", "/")).name
    if not name:
        raise InvalidRequest(
            "an uploaded file has no name", value=file.filename, remedy="give its file name"
        )
    if len(name) > MAX_NAME or not name.isprintable():  # it goes into logs and answers
        raise InvalidRequest(
            f"an uploaded file's name has more than {MAX_NAME} letters, or some that are not shown",
            value=name,
            remedy="rename it",
        )
    return name


class LimitBodies:
    """Refuses request bodies beyond a limit, by what arrives and not by what is announced."""

    def __init__(self, app: ASGIApp, upload_bytes: int, other_bytes: int) -> None:
        self.app = app
        self.upload_bytes = upload_bytes
        self.other_bytes = other_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        upload = headers.get(b"content-type", b"").startswith(b"multipart/")
        limit = self.upload_bytes if upload else self.other_bytes
        raised_by = "the operator sets FEATUREPACK_MAX_UPLOAD_BYTES"
        own = scope[LIMITS].upload_bytes if upload and LIMITS in scope else None
        if own is not None and own < limit:
            limit, raised_by = own, f"this is the team's limit; {ASK} --upload-bytes N"
        announced = headers.get(b"content-length", b"0")
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            if announced.isdigit() and int(announced) > limit:
                arrived = int(announced)
                message: Message = {}
            else:
                message = await receive()
                arrived += len(message.get("body", b""))
            if arrived > limit:
                raise TooLarge(
                    f"the request body is larger than {limit} bytes",
                    value=arrived,
                    remedy=f"send less at once; {raised_by}",
                )
            return message

        await self.app(scope, counted, send)
