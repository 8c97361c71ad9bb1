"""``/docs``: Swagger UI of the API, its files from a package: nothing is fetched elsewhere."""

from __future__ import annotations

from functools import cache
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

FILES: Final = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")


@router.get("/docs")
def get_docs(request: Request) -> HTMLResponse:
    """The page, for browsers."""
    script, style, icon = (f"/docs/{name}" for name in FILES)
    return get_swagger_ui_html(
        openapi_url=request.app.openapi_url,
        title=request.app.title,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=icon,
    )


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
