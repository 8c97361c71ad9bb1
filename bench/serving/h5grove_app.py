"""h5grove over a folder of HDF5 files: ``python -m bench.serving.h5grove_app PORT FOLDER``."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI
from h5grove import fastapi_utils


def application(folder: str) -> FastAPI:
    """h5grove's own endpoints as its documentation mounts them, and ``/ready``."""
    app = FastAPI()
    fastapi_utils.settings.base_dir = folder
    app.include_router(fastapi_utils.router)
    app.get("/ready")(lambda: None)
    return app


if __name__ == "__main__":
    port, folder = sys.argv[1:]
    uvicorn.run(application(folder), port=int(port), access_log=False, log_level="warning")
