"""Images in a folder below the operator's data root. They stay where they are.

Symbolic links are never followed: one that looks like an image or leads to a folder is refused,
others are ignored as all files are that are no images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cache.disk_faults import unreadable
from cache.errors import InvalidRequest, TooLarge, Unavailable
from cache.regular_file import not_regular, read_regular_file
from cache.store import Store
from worker.sources.layout import is_hidden, is_image, is_sane, place_all
from worker.sources.source import Images, IngestLimits, Place, Source, SourceImage


def open_folder(path: str, store: Store, limits: IngestLimits) -> Source:
    """The images of ``path``, a folder relative to the data root.

    Raises:
        NotFound: there is no such folder.
        InvalidRequest: it leads out of the data root, is not laid out as ``split/class/file`` or
            ``class/file``, or holds links, special files or names that are not UTF-8 in one line.
        TooLarge: more files than allowed.
        Unavailable: a file or folder cannot be read.
    """
    root = store.folder(path)
    assert store.data_root is not None  # store.folder has said so otherwise
    try:
        paths = list(_walk(root, limits))
    except OSError as error:
        raise _unreadable(str(error.filename), error) from error
    places = place_all(paths, strip_top=False)
    return Source(
        images=_read(root, paths, places, limits),
        folder=root.relative_to(store.data_root.resolve()).as_posix(),
    )


def _walk(root: Path, limits: IngestLimits) -> Iterator[str]:
    """Paths of the images, relative to ``root``."""
    seen = 0
    pending: list[tuple[str, ...]] = [()]
    while pending:
        folder = pending.pop()
        with os.scandir(root.joinpath(*folder)) as entries:
            for entry in entries:
                seen += 1
                if seen > limits.max_members:
                    raise TooLarge(
                        f"the folder holds more than {limits.max_members} files",
                        value=limits.max_members,
                        remedy="register a part of it, or raise the limit",
                    )
                if is_hidden(entry.name):
                    continue
                parts = (*folder, _sane(entry.name))
                if entry.is_dir(follow_symlinks=False):
                    pending.append(parts)
                elif is_image(parts) or (entry.is_symlink() and entry.is_dir()):
                    if not entry.is_file(follow_symlinks=False):
                        raise not_regular("/".join(parts))
                    yield "/".join(parts)


def _sane(name: str) -> str:
    if not is_sane(name):  # what is no UTF-8 is a lone surrogate here
        raise InvalidRequest(
            f"the file name {os.fsencode(name)!r} is not UTF-8, or not in one line",
            value=repr(os.fsencode(name)),
            remedy="rename it",
        )
    return name


def _read(
    root: Path, paths: Sequence[str], places: Sequence[Place], limits: IngestLimits
) -> Images:
    for path, (split, label) in zip(paths, places, strict=True):
        try:
            data = read_regular_file(root, path, limits.max_image_bytes)
        except OSError as error:
            raise _unreadable(path, error) from error
        yield SourceImage(path, split, label, data)


def _unreadable(name: str, error: OSError) -> Unavailable:
    return unreadable(error)(
        f"{name!r} cannot be read: {error.strerror}",
        value=name,
        remedy="check that the worker may read it and that it is still there, then try again",
    )
