"""What docker-compose.yml starts, started without Docker: the same commands in the same order with
the same environment, on a PostgreSQL that asks for the password of the secret file.

What only Docker can do is not here: images, volumes, limits, networks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.deployment import ROOT, composed, instructions
from tests.postgres_server import PostgresServer, postgres_server
from tests.processes import ended, free_port, insist

DIGITS: dict[str, Any] = {
    "network": "squeezenet1_1",
    "dataset": "digits",
    "weights": "random:0",
    "transform": {"preset": "stretch", "size": 32},
    "view": {"per_class": 3},
}


@dataclass(frozen=True)
class Site:
    """A folder that stands for the containers' places, and the server that is the database."""

    folder: Path
    server: PostgresServer
    port: int

    def environment(self, name: str) -> dict[str, str]:
        """A container's, its places replaced by those here; secrets must be mounted to be used."""
        part = composed()["services"][name]
        mounts = [volume.split(":")[1] for volume in part["volumes"]]
        mounts += [f"/run/secrets/{secret}" for secret in part["secrets"]]
        given = {"FEATUREPACK_STORE": _from_dockerfile("FEATUREPACK_STORE")}
        given |= {variable: value for variable, value in part["environment"].items() if value}
        for variable, value in given.items():
            if value.startswith("/"):
                assert value.startswith(tuple(mounts)), f"{name}: {variable} is not mounted"
                given[variable] = str(self.folder / value.removeprefix("/run/").lstrip("/"))
        place = f"@/featurepack?host={self.server.folder}"
        given["FEATUREPACK_DATABASE"] = given["FEATUREPACK_DATABASE"].replace(
            "@database/featurepack", place
        )
        return given

    def start(self, name: str, stage: str) -> subprocess.Popen[str]:
        command = composed()["services"][name].get("command") or _command(stage)
        assert command[0] == "python"
        if "--host" in command:  # every address, in a network of the container's own
            command = [*command[:-1], "127.0.0.1", "--port", str(self.port)]
        env = {key: value for key, value in os.environ.items() if "FEATUREPACK" not in key}
        env |= self.environment(name) | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            [sys.executable, *command[1:]],
            env=env,
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
        )


def _command(stage: str) -> list[str]:
    """The CMD of a stage of the Dockerfile."""
    lines = instructions()
    first = next(i for i, (_, rest) in enumerate(lines) if rest.endswith(f" AS {stage}"))
    found = next(rest for name, rest in lines[first:] if name == "CMD")
    return [part.strip(' "') for part in found.strip("[]").split(",")]


def _from_dockerfile(variable: str) -> str:
    values = [rest for name, rest in instructions() if name == "ENV" and f"{variable}=" in rest]
    return values[0].split(f"{variable}=")[1].split()[0]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """After ``deploy/prepare.sh``, with a database as its container makes it."""
    for name in ("deploy/prepare.sh", ".env.example"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([tmp_path / "deploy" / "prepare.sh"], check=True, capture_output=True)
    password = (tmp_path / "secrets" / "database_password").read_text().strip()
    with postgres_server() as server:
        with psycopg.connect(
            host=str(server.folder), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            role = sql.SQL("CREATE ROLE featurepack LOGIN PASSWORD {}").format(password)
            connection.execute(role)
            connection.execute("CREATE DATABASE featurepack OWNER featurepack")
        server.ask_for_passwords("featurepack")
        yield Site(tmp_path, server, free_port())


@contextmanager
def running(site: Site, name: str, stage: str) -> Iterator[subprocess.Popen[str]]:
    """Ended as Docker ends it, in less than the time it is given."""
    process = site.start(name, stage)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        grace = composed()["services"][name]["stop_grace_period"]
        _, err = process.communicate(timeout=float(grace.removesuffix("s")))
        assert process.returncode == 0, err
    finally:
        process.kill()
        process.wait()


def test_the_composed_parts_extract_digits_and_end(site: Site) -> None:
    migration = site.start("migrate", "service")
    _, err = migration.communicate(timeout=60)
    assert migration.returncode == 0, err
    key = (site.folder / "secrets" / "admin_key").read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    with ExitStack() as stack:
        stack.enter_context(running(site, "service", "service"))
        stack.enter_context(running(site, "worker-cpu", "worker"))
        http = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{site.port}", timeout=60, headers=headers)
        )
        insist(http, "GET", "/readyz")
        digits = {"name": "digits", "source": {"kind": "builtin", "name": "digits"}}
        insist(http, "POST", "/v1/datasets", json=digits)
        job = insist(http, "POST", "/v1/jobs", json=DIGITS)
        found = ended(http, job["id"])
        assert found["state"] == "succeeded", found
        pack = insist(http, "GET", f"/v1/packs/{found['pack_id']}")
        assert pack["rows"] == 30
        health = site.environment("worker-cpu") | {"PYTHONPATH": str(ROOT)}
        alive = [sys.executable, "-P", "-m", "worker.alive"]
        assert subprocess.run(alive, env=os.environ | health).returncode == 0


def test_a_wrong_password_is_refused(site: Site) -> None:
    """So the password is what lets the others in."""
    (site.folder / "secrets" / "database_password").unlink()
    (site.folder / "secrets" / "database_password").write_text("wrong")
    with site.start("migrate", "service") as migration:
        assert migration.stderr is not None
        try:
            assert any("password authentication failed" in line for line in migration.stderr)
        finally:
            migration.kill()
