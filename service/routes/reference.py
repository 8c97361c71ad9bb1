"""``/docs``: Swagger UI of the API, its files from a package: nothing is fetched elsewhere."""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from cache.errors import NotFound

router = APIRouter(include_in_schema=False)

PACKAGE: Final = "fastapi_offline"
"""Carries each release of Swagger UI; nothing of it is imported."""

POLICY: Final = (
    "default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets styles of its own; scripts are the package's and the one in the page."""

_INLINE: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)

FILES: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")


@router.get("/docs")
def get_docs(request: Request) -> HTMLResponse:
    """The page, for browsers."""
    script, style, icon = (f"/docs/{name}" for name in FILES)
    page = get_swagger_ui_html(
        openapi_url=request.app.openapi_url,
        title=request.app.title,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
    )
    page.headers["Content-Security-Policy"] = POLICY.format(hashes=_hashes(bytes(page.body)))
    return page


def _hashes(page: bytes) -> str:
    """Of the scripts that stand in the page itself, as its policy admits them (CSP 3, 2.3.1)."""
    found = _INLINE.findall(page)
    return " ".join(f"'sha256-{b64encode(sha256(text).digest()).decode()}'" for text in found)


@router.get("/docs/{name}")
def get_docs_file(name: str) -> FileResponse:
    """Script, style and icon. Raises NotFound."""
    folder = _folder()
    if name not in FILES or folder is None:
        raise NotFound(
            f"/docs has no file {name!r}",
            value=name,
            remedy="see /openapi.json; the service needs its package fastapi-offline for /docs",
        )
    return FileResponse(folder / name, headers={"Cache-Control": "public, max-age=86400"})


@cache
def _folder() -> Path | None:
    spec = find_spec(PACKAGE)
    return Path(spec.origin).parent / "static" if spec and spec.origin else None
