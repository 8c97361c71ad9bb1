"""The address of the database, with its password from a file of its own.

Whoever may inspect a process or a container sees its variables; a file is shown to those who may
read it.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from cache.errors import InvalidRequest

VARIABLE = "FEATUREPACK_DATABASE_PASSWORD_FILE"


def with_password(url: str, password_file: str | None) -> str:
    """``url`` with the password that the file holds; without a file, as it is.

    White space at the file's end is not part of the password.

    Raises:
        InvalidRequest: the file cannot be read or is empty, or ``url`` is none, has a password
            already, or takes none.
    """
    if not password_file:
        return url
    try:
        parsed = sa.make_url(url)
    except ArgumentError as error:  # which quotes the address, and perhaps a password in it
        raise InvalidRequest(
            "FEATUREPACK_DATABASE is no address of a database",
            remedy="give postgresql+psycopg://user@host/name",
        ) from error
    if parsed.get_backend_name() != "postgresql" or parsed.password is not None:
        raise InvalidRequest(
            f"{VARIABLE} is set, and the database's address has a password already or takes none",
            value=password_file,
            remedy="set FEATUREPACK_DATABASE to postgresql+psycopg://user@host/name",
        )
    return parsed.set(password=_password(Path(password_file))).render_as_string(hide_password=False)


def _password(file: Path) -> str:
    try:
        password = file.read_text("utf-8").rstrip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"{VARIABLE} names a file that cannot be read: {error}",
            value=str(file),
            remedy="let it be read by the user that this process runs as",
        ) from error
    if not password:
        raise InvalidRequest(
            f"{VARIABLE} names an empty file",
            value=str(file),
            remedy="write the password into it",
        )
    return password
