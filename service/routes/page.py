"""``/``: the dashboard, as its build left it in ``service/static``, for every path that is no call.

Registered last. Whoever looks with a browser gets ``index.html`` for any path, because the page has
paths of its own; everybody else gets 404 for what is not there.
"""

from __future__ import annotations

import gzip
import mimetypes
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException

STATIC = Path(__file__).parents[1] / "static"

CALLS: Final = ("v1", "h5", "docs", "redoc", r"openapi\.json", "healthz", "readyz", "metrics")

NONCE: Final = "__NONCE__"
"""In ``index.html``, where the answer's own goes: styles that a library inserts carry it."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' 'nonce-{NONCE}'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
FILE_POLICY: Final = POLICY.replace(f" 'nonce-{NONCE}'", "")
"""A worker obeys the policy that its script came with."""
FOR_GOOD: Final = "public, max-age=31536000, immutable"
COMPRESSIBLE: Final = ("text/", "application/json", "image/svg+xml", "application/javascript")

NOT_BUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Featurepack</title></head>
<body><h1>Featurepack</h1>
<p>The service runs, but its dashboard is not built. <code>make dashboard</code> in the project's
folder builds it; reload this page then.</p>
<p>What can be called without it: <a href="/docs">/docs</a>.</p></body></html>
"""


class _PagePath(StringConvertor):
    """Paths that are no calls: for those, 404 and 405 stay what they are."""

    regex = rf"(?!(?:{'|'.join(CALLS)})(?:/|$)).*"


register_url_convertor("page", _PagePath())

router = APIRouter(include_in_schema=False)


@router.head("/{path:page}")
@router.get("/{path:page}")
def get_page(request: Request, path: str) -> Response:
    """A file of the build, or the page itself."""
    asked = request.headers
    gzipped = "gzip" in asked.get("accept-encoding", "").lower()
    if path and (file := _file(path)) is not None:
        return _sent(file, is_hashed=path.startswith("assets/"), gzipped=gzipped)
    names_a_file = "." in path.rpartition("/")[2]
    if path and (names_a_file or "text/html" not in asked.get("accept", "")):
        raise HTTPException(404)
    return _index()


def _file(path: str) -> Path | None:
    """The file of this name below the folder, and nothing outside it."""
    try:
        found = (STATIC / path).resolve()
        inside = found.is_relative_to(STATIC.resolve()) and found.is_file()
    except (OSError, ValueError):  # a name that no file system takes
        return None
    return found if inside and found.name != "index.html" else None


def _index() -> Response:
    """Looked for at each request: whoever builds the page need not restart the service."""
    try:
        text = (STATIC / "index.html").read_text("utf-8")
    except FileNotFoundError:
        text = NOT_BUILT
    nonce = secrets.token_urlsafe(16)
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY.replace(NONCE, nonce),
    }
    return Response(text.replace(NONCE, nonce), media_type="text/html", headers=headers)


def _sent(file: Path, *, is_hashed: bool, gzipped: bool) -> Response:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    headers = {
        "Cache-Control": FOR_GOOD if is_hashed else "no-cache",
        "Content-Security-Policy": FILE_POLICY,
    }
    if not kind.startswith(COMPRESSIBLE):
        return Response(file.read_bytes(), media_type=kind, headers=headers)
    headers["Vary"] = "Accept-Encoding"
    if not gzipped:
        return Response(file.read_bytes(), media_type=kind, headers=headers)
    headers["Content-Encoding"] = "gzip"
    content = _compressed(file, file.stat().st_mtime_ns)
    return Response(content, media_type=kind, headers=headers)


@lru_cache(maxsize=64)
def _compressed(file: Path, _mtime_ns: int) -> bytes:
    return gzip.compress(file.read_bytes(), 9, mtime=0)
