"""What a call needs: one rule, and one short table of exceptions."""

from __future__ import annotations

import re
from typing import Final, Literal

from cache.keys import KeyScope
from service.routes.page import CALLS

Need = KeyScope | Literal["nothing", "metrics"]
"""``metrics``: a secret of its own will do, too."""

SAFE: Final = ("GET", "HEAD", "OPTIONS")

# As routes are matched: $ lets a line's end follow, so what stands here does, too.
_CALL: Final = re.compile(rf"/(?:{'|'.join(CALLS)})(?:/|$)")
_NOTHING: Final = re.compile(
    r"/(?:healthz|readyz|docs(?:/[^/]*)?|openapi\.json|v1/session)$",
)
_ADMIN: Final = re.compile(r"/v1/(?:keys|audit)(?:/|$)")
_ADMIN_WRITES: Final = re.compile(r"/v1/teams(?:/|$)")
READING_POSTS: Final = re.compile(r"/v1/(?:packs/[^/]+/rows|jobs/estimate)$")


def need_of(method: str, path: str) -> Need:
    """GET and HEAD read, everything else submits; but for what stands here.

    Paths that are no calls are the page's.
    """
    if not _CALL.match(path) or _NOTHING.match(path):
        return "nothing"
    if path.startswith("/metrics"):
        return "metrics"
    if _ADMIN.match(path):
        return "admin"
    if method in SAFE:
        return "read"
    if READING_POSTS.match(path):
        return "read"
    return "admin" if _ADMIN_WRITES.match(path) else "submit"
