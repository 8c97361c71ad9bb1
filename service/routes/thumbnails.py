"""``/v1/packs/{id}/rows/{row}/thumbnail``: the image that a row was made of, to be looked at."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Response

from cache.dataset import Manifest
from cache.errors import CorruptData, InvalidRequest, NotFound
from cache.manifest_file import load_manifest
from cache.rows import PackRow
from cache.stored_images import StoredImages
from service.caller import Asking
from service.ranges import is_known
from service.state import Kept, State

router = APIRouter(prefix="/v1/packs/{pack_id}/rows/{row}", tags=["packs"])

MEDIA_TYPE = "image/webp"

FOR_GOOD = "private, max-age=31536000, immutable"
"""A pack's id says which images it is of, by their content."""

_THUMBNAIL: dict[int | str, dict[str, Any]] = {
    200: {"description": "the image, made smaller", "content": {MEDIA_TYPE: {}}},
    304: {"description": "If-None-Match names its ETag"},
}


@router.get("/thumbnail", response_class=Response, responses=_THUMBNAIL)
async def get_thumbnail(
    pack_id: str,
    row: int,
    kept: Kept,
    caller: Asking,
    size: Annotated[int, Query(ge=16, le=512, description="of the longer side; never enlarged")] = (
        64
    ),
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The image of a row, upright, as WebP. Browsers keep it for good."""
    pack = await run_sync(kept.catalogue.find_pack, pack_id, caller.sight)
    manifest = await run_sync(_manifest_of, kept, pack, row)
    etag = f'"{manifest.hash_NH[row].tobytes().hex()}-{size}"'
    headers = {"ETag": etag, "Cache-Control": FOR_GOOD}
    if is_known(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    make = partial(_thumbnail, kept, manifest, row, size)
    found = await run_sync(make, limiter=kept.thumbnails)
    return Response(found, media_type=MEDIA_TYPE, headers=headers)


def _manifest_of(kept: State, pack: PackRow, row: int) -> Manifest:
    """Raises NotFound."""
    if pack.imported:
        raise NotFound(
            f"pack {pack.pack_id} was imported: its images are not known here",
            value=pack.pack_id,
            remedy="register the images and submit the pair to see them",
        )
    if not 0 <= row < pack.rows:
        raise NotFound(
            f"pack {pack.pack_id} has no row {row}",
            value=row,
            remedy=f"use 0 to {pack.rows - 1}",
        )
    path = kept.store.manifest(pack.dataset_id)
    try:
        return _loaded(path, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise NotFound(
            f"the images of dataset {pack.dataset!r} are no longer registered",
            value=pack.dataset,
            remedy="register the dataset again",
        ) from error


@lru_cache(maxsize=4)
def _loaded(path: Path, _mtime_ns: int) -> Manifest:
    """Registered again, a manifest's images may lie elsewhere."""
    return load_manifest(path)


def _thumbnail(kept: State, manifest: Manifest, row: int, size: int) -> bytes:
    """Raises NotFound where the image is no longer what was registered, CorruptData, TooLarge."""
    from service.thumbnails import thumbnail  # loads Pillow, which nothing else here needs

    try:
        with StoredImages(manifest, kept.store) as images:
            data = images.read(row)
    except (CorruptData, InvalidRequest) as error:
        raise NotFound(error.message, value=row, remedy=error.remedy) from error
    return thumbnail(data, size)
