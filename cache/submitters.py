"""Who wants a job or a study, and the priority each asked for (docs/decisions/0010)."""

from __future__ import annotations

import secrets
from typing import Final

from cache.errors import Conflict

MAX_SUBMITTERS: Final = 100
"""So many are remembered by name; a program that submits in a loop must not fill the database."""

UNNAMED: Final = "unnamed-"

Submitters = dict[str, int]


def joined(submitters: Submitters, name: str | None, priority: int) -> Submitters:
    """With one more; who submits again keeps the higher priority.

    Without a name it is somebody of its own.
    """
    name = name or f"{UNNAMED}{secrets.token_hex(4)}"
    if name not in submitters and len(submitters) >= MAX_SUBMITTERS:
        name = f"{UNNAMED}more"
    return submitters | {name: max(priority, submitters.get(name, priority))}


def left(submitters: Submitters, name: str | None, what: str) -> Submitters:
    """Those that remain when one withdraws, by name or one without; ``what`` is for the error.

    Raises:
        Conflict: that one is not among them.
    """
    mine = name or next((each for each in submitters if each.startswith(UNNAMED)), None)
    if mine not in submitters:
        others = ", ".join(submitters)
        who = f"{name!r} is not" if name else "nobody without a name is"
        raise Conflict(
            f"{who} among those who want {what}: {others}",
            value=name,
            remedy="withdraw as ?submitter=NAME, or cancel it for all with ?force=true",
        )
    return {each: priority for each, priority in submitters.items() if each != mine}
