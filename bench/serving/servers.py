"""How each server is started: ours, nginx, Starlette's FileResponse, tiled and h5grove."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.serving.material import SMALL, Material
from bench.serving.running import HOST, Spec
from featurepack.processes import command_for, usable_port

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".bench"

OURS, NGINX, FILE_RESPONSE, H5GROVE, TILED = "ours", "nginx", "file_response", "h5grove", "tiled"

MAKE_PEERS = "make bench-serving-peers"
NGINX_CONF = """
daemon off;
{user}
worker_processes {cores};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port};
    root {files};
  }}
}}
"""


class Missing(RuntimeError):
    """A server is not installed; the message says how to get it."""


@dataclass(frozen=True)
class Places:
    """Where others are looked for: a binary, and interpreters of Python. None: the usual places."""

    nginx: Path | None = None
    h5grove: Path | None = None
    tiled: Path | None = None


def makers(places: Places) -> Mapping[str, Callable[[Material, Path], Spec]]:
    """By name what makes a server's spec, given a folder for itself. Each may raise Missing."""
    return {
        OURS: lambda material, _: _ours(material),
        NGINX: lambda material, folder: _nginx(material, folder, places.nginx),
        FILE_RESPONSE: lambda material, _: _file_response(material),
        H5GROVE: lambda material, _: _h5grove(material, places.h5grove),
        TILED: lambda material, _: _tiled(material, places.tiled),
    }


def _ours(material: Material) -> Spec:
    port = usable_port(HOST, 0)
    settings = {"FEATUREPACK_STORE": str(material.store.root), "FEATUREPACK_DATABASE": ""}
    command, environment = command_for("service", ("--host", HOST, "--port", str(port)), settings)
    return Spec(OURS, command, environment, port, "/healthz", version("featurepack"))


def _nginx(material: Material, folder: Path, given: Path | None) -> Spec:
    """Unprivileged, with one worker for each core and all its files in ``folder``."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    binary = shutil.which(str(given) if given else "nginx", path=path)
    if binary is None:
        raise Missing(f"{given or 'nginx'} is not installed: apt-get install nginx-light")
    port = usable_port(HOST, 0)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        NGINX_CONF.format(
            user="user root;" if os.geteuid() == 0 else "",  # or its workers may not read our files
            cores=len(os.sched_getaffinity(0)),
            folder=folder,
            host=HOST,
            port=port,
            files=material.files,
        )
    )
    told = subprocess.run([binary, "-v"], capture_output=True, text=True, check=True).stderr
    found = re.search(r"nginx/(\S+)", told)
    command = [binary, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")]
    return Spec(NGINX, command, {}, port, f"/{SMALL}", found[1] if found else "")


def _file_response(material: Material) -> Spec:
    """In our interpreter, so that it runs on the same uvicorn as ours does."""
    return _program(
        FILE_RESPONSE, "file_app", "starlette", Path(sys.executable), str(material.files)
    )


def _h5grove(material: Material, given: Path | None) -> Spec:
    python = given or PEERS / "h5grove" / "bin" / "python"
    return _program(H5GROVE, "h5grove_app", "h5grove", python, str(material.pack.parent))


def _tiled(material: Material, given: Path | None) -> Spec:
    python = given or PEERS / "tiled" / "bin" / "python"
    layout = material.layout
    rows, (width,) = layout.rows, layout.row_shape
    where = (str(material.pack), str(layout.features_offset), str(rows), str(width))
    return _program(TILED, "tiled_app", "tiled", python, *where)


def _program(name: str, module: str, package: str, python: Path, *arguments: str) -> Spec:
    """One of this folder's programs; it is told its port first, and answers ``/ready``."""
    port = usable_port(HOST, 0)
    return Spec(
        name,
        [str(python), "-m", f"bench.serving.{module}", str(port), *arguments],
        {"PYTHONPATH": str(ROOT)},
        port,
        "/ready",
        _version(package, python),
    )


def _version(package: str, python: Path) -> str:
    """Of a package that an interpreter has. Raises Missing."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    try:
        asked = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f"{python} has no {package}: {MAKE_PEERS}") from error
    return asked.stdout.strip()
