"""Who asks for work, so that the same person asking twice counts once."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Final

from featurepack.errors import InvalidRequest

LONGEST: Final = 100


def checked(name: str) -> str:
    """A submitter's name. Raises InvalidRequest for one that the service would not take."""
    if not (1 <= len(name) <= LONGEST and name.isprintable()):
        raise InvalidRequest(
            f"{name[: LONGEST + 1]!r} is no name of a submitter",
            value=name,
            remedy=f"give 1 to {LONGEST} printable characters",
        )
    return name


def user_at_host() -> str:
    """``user@host``; a user without a name, as containers have them, is known by number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = f"uid-{os.getuid()}" if hasattr(os, "getuid") else "somebody"
    name = f"{user}@{socket.gethostname()}"[:LONGEST]
    return "".join(mark if mark.isprintable() else "?" for mark in name)
