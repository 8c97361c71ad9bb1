"""The versions of what is written to disk, and what it means to meet a newer one.

A file of a newer version is whole, and only this program is too old for it. It must not count as
damaged: damaged packs are quarantined, swept and built anew, damaged heads forgotten.
"""

from __future__ import annotations

from typing import Final

from cache.errors import Unreachable

PACK: Final = 1
MANIFEST: Final = 1
HEAD: Final = 1
BACKUP: Final = 1

REMEDY: Final = "use the version of featurepack that wrote it, or a newer one; it is not damaged"


def refuse_newer(what: str, version: int, known: int) -> None:
    """Raises Unreachable where ``what`` has a later version than the last one ``known``."""
    if version > known:
        raise Unreachable(
            f"{what} has format {version}, this version of featurepack knows {known}",
            value=version,
            remedy=REMEDY,
        )
