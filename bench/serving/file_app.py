"""Files by Starlette's FileResponse: ``python -m bench.serving.file_app PORT FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route


def application(folder: Path) -> Starlette:
    """``/ready``, and every file of a folder by its name."""

    async def ready(_: Request) -> Response:
        return Response()

    async def file(request: Request) -> Response:
        return FileResponse(folder / request.path_params["name"])

    return Starlette(routes=[Route("/ready", ready), Route("/{name}", file)])


if __name__ == "__main__":
    port, folder = sys.argv[1:]
    uvicorn.run(application(Path(folder)), port=int(port), access_log=False, log_level="warning")
