"""What paths mean: ``split/class/file`` or ``class/file``, and which files are images at all.

- Ignored: hidden files and folders (a name that starts with a dot), ``__MACOSX``, and files whose
  extension is not an image's.
- Refused: pictures in formats that are not read here (TIFF, HEIC, AVIF, …). Leaving them out
  without a word would make a dataset smaller than its owner believes.
- With one folder level the split is ``train``. All images must lie equally deep.
- Names may be in any language; they are compared and ordered by code point, as they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from cache.errors import InvalidRequest
from worker.sources.source import Place

IMAGE_EXTENSIONS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "png", "ppm", "pgm", "pbm", "pnm", "bmp", "webp", "gif")
)
_UNREAD_EXTENSIONS = frozenset(
    ("tif", "tiff", "heic", "heif", "avif", "jp2", "j2k", "jxl", "dng", "cr2", "nef", "arw", "psd")
)

_RANKS = (
    ("train", "training"),
    ("validation", "val", "valid"),
    ("test", "testing"),
)
_RANK = {name: rank for rank, names in enumerate(_RANKS) for name in names}
SPLIT_OF_WORD = {name: names[0] for names in _RANKS for name in names}
"""How a split is called in a manifest, by the words that file and array names use for it."""


def split_order(split: str) -> tuple[int, str]:
    """Sort key of splits: train, validation, test, then others by name; case does not matter."""
    return _RANK.get(split.lower(), len(_RANKS)), split


def is_image(parts: Sequence[str]) -> bool:
    """Whether a path (its folders and file name) is an image to take in.

    Raises:
        InvalidRequest: it is a picture in a format that is not read here.
    """
    if any(is_hidden(part) for part in parts):
        return False
    extension = parts[-1].rpartition(".")[2].lower()
    if extension in _UNREAD_EXTENSIONS:
        path = "/".join(parts)
        raise InvalidRequest(
            f"{path!r} is a picture in a format that is not read here",
            value=path,
            remedy="convert it to PNG or JPEG, or take it out",
        )
    return extension in IMAGE_EXTENSIONS and "." in parts[-1]


def is_sane(name: str) -> bool:
    """Whether a name is text in one line, without letters that steer a terminal.

    Names are shown in logs, answers and tables, and end up in CSV files.
    """
    return name.isprintable() or not any(
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name
    )


def is_hidden(name: str) -> bool:
    """Whether a file or folder is left out because of its name."""
    return name.startswith(".") or name == "__MACOSX"


def place_all(paths: Sequence[str], *, strip_top: bool) -> list[Place]:
    """The split and class of each image path (``/`` between the parts).

    With ``strip_top`` one folder that holds everything is taken off, as archives tend to have
    one: at three levels always, at two unless its name is that of a split.

    Raises:
        InvalidRequest: images at other depths, or at two different ones; an example is shown.
    """
    split_paths = [tuple(path.split("/")) for path in paths]
    depths = {len(parts) - 1: parts for parts in split_paths}
    if len(depths) > 1:
        shallow, deep = depths[min(depths)], depths[max(depths)]
        raise InvalidRequest(
            f"images lie at different depths: {'/'.join(shallow)!r} and {'/'.join(deep)!r}",
            value="/".join(deep),
            remedy="arrange all images as split/class/file, or all as class/file",
        )
    for depth, example in depths.items():
        strip = strip_top and _has_top(split_paths, depth)
        if depth - strip not in (1, 2):
            raise InvalidRequest(
                f"the image {'/'.join(example)!r} lies {depth} folders deep",
                value="/".join(example),
                remedy="arrange the images as split/class/file or class/file",
            )
        if depth - strip == 1:
            return [("train", parts[-2]) for parts in split_paths]
    return [(parts[-3], parts[-2]) for parts in split_paths]


def _has_top(split_paths: Sequence[tuple[str, ...]], depth: int) -> bool:
    tops = {parts[0].lower() for parts in split_paths}
    return len(tops) == 1 and (depth == 3 or (depth == 2 and tops.isdisjoint(_RANK)))
