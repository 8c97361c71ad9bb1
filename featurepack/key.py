"""The key that a service asks for: where it is looked for, and that it is shown to nobody else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from featurepack.errors import InvalidRequest

KEY_VARIABLE = "FEATUREPACK_KEY"
FILE_VARIABLE = "FEATUREPACK_KEY_FILE"


def chosen_key(given: str | None, env: Mapping[str, str] = os.environ) -> str | None:
    """The key that was given, else FEATUREPACK_KEY, else what FEATUREPACK_KEY_FILE holds.

    Raises:
        InvalidRequest: it cannot be one, or the file cannot be read. The error does not hold it.
    """
    found = given if given is not None else env.get(KEY_VARIABLE) or _from_file(env)
    if found is not None and not (found and found.isascii() and _is_one_word(found)):
        raise InvalidRequest(
            "the key is no key", remedy="give it as featurepack keys create printed it"
        )
    return found


def _from_file(env: Mapping[str, str]) -> str | None:
    path = env.get(FILE_VARIABLE)
    if not path:
        return None
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"the key's file {path} cannot be read",
            value=path,
            remedy=f"let {FILE_VARIABLE} name a file that holds the key and nothing else",
        ) from error


def _is_one_word(text: str) -> bool:
    return text.isprintable() and " " not in text
