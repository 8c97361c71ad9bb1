"""``serve`` and ``worker``: the processes on this machine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from featurepack.cli.parsing import Subcommands, whole
from featurepack.processes import Children, asked_to_stop, command_for, url_of, usable_port

START_SECONDS = 60.0
CHECK_SECONDS = 0.2

_FOLDERS = {
    "store": ("FEATUREPACK_STORE", "folder of packs, datasets and heads"),
    "data_root": ("FEATUREPACK_DATA_ROOT", "folder below which image folders may be registered"),
    "weights_dir": ("FEATUREPACK_WEIGHTS_DIR", "folder of weight files, looked into first"),
}


def add(commands: Subcommands) -> None:
    serve_parser = commands.add_parser(
        "serve",
        help="run the service, with --worker a worker too, until Ctrl-C",
        description="Run the service on this machine until Ctrl-C or SIGTERM. Without a worker, "
        "here or elsewhere on the same store and database, jobs wait.",
    )
    serve_parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve_parser.add_argument(
        "--port", type=whole, default=8000, help="port to listen on; 0 finds a free one"
    )
    serve_parser.add_argument("--worker", action="store_true", help="run a worker beside it")
    serve_parser.set_defaults(local=serve)
    worker_parser = commands.add_parser(
        "worker",
        help="run a worker until Ctrl-C",
        description="Run a worker on this machine until Ctrl-C or SIGTERM; it then hands back "
        "what is unfinished. Give it the service's store and database.",
    )
    worker_parser.add_argument("--device", help="cpu, cuda or cuda:N (FEATUREPACK_DEVICE)")
    worker_parser.set_defaults(local=work)
    for parser in (serve_parser, worker_parser):
        for name, (variable, text) in _FOLDERS.items():
            option = f"--{name.replace('_', '-')}"
            parser.add_argument(option, type=Path, metavar="FOLDER", help=f"{text} ({variable})")
        parser.add_argument("--database", metavar="URL", help="FEATUREPACK_DATABASE")


def serve(arguments: argparse.Namespace) -> int:
    """Both processes until one is asked to stop, or until one of them ends by itself."""
    port = usable_port(arguments.host, arguments.port)
    url = url_of(arguments.host, port)
    with asked_to_stop() as stop, Children(_environment(arguments)) as children:
        children.start("service", "--host", arguments.host, "--port", str(port))
        if not children.wait_for(f"{url}/healthz", START_SECONDS, stop):
            return 0
        if arguments.worker:
            children.start("worker")
        print(f"Featurepack is at {url}; Ctrl-C ends it", flush=True)
        while not stop.wait(CHECK_SECONDS):
            children.check()
    return 0


def work(arguments: argparse.Namespace) -> int:
    """Become the worker."""
    command, environment = command_for("worker", (), _environment(arguments))
    os.execve(command[0], command, environment)  # noqa: S606 - our own module


def _environment(arguments: argparse.Namespace) -> dict[str, str]:
    """Settings that were given, as the variables that service and worker read."""
    given = {
        variable: getattr(arguments, name) and str(getattr(arguments, name).resolve())
        for name, (variable, _) in _FOLDERS.items()
    }
    given["FEATUREPACK_DATABASE"] = arguments.database
    given["FEATUREPACK_DEVICE"] = getattr(arguments, "device", None)
    return {variable: value for variable, value in given.items() if value}
