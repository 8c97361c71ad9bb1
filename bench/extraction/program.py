"""A contender that is a program: the parent's end of the pipe. See ``contending.py``."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.extraction.memory import PeakMemory
from bench.extraction.turn import Turn

ROOT = Path(__file__).parents[2]
GRACE_SECONDS = 20.0


class ProgramFailed(RuntimeError):
    """A contender ended by itself; the message has the end of its log."""


class Program:
    """A running program that waits for its turns; made when it is ready for the first."""

    def __init__(
        self, name: str, process: subprocess.Popen[str], log: Path, memory: PeakMemory
    ) -> None:
        self._name = name
        self._process = process
        self._log = log
        self._memory = memory
        began = time.time()
        self._start_seconds = self._answer()["ready"] - began

    def turn(self) -> Turn:
        """Raises ProgramFailed."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._answer()
        return Turn(
            images=answer["images"],
            seconds=answer["seconds"],
            start_seconds=self._start_seconds,
            first_row_seconds=answer["first_row_seconds"],
            peak_bytes=self._memory.look(),
            facts=answer.get("facts", {}),
        )

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
            raise ProgramFailed(f"{self._name} ended:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def program(python: str, module: str, spec: Mapping[str, Any], scratch: Path) -> Iterator[Program]:
    """``python -m module`` with ``spec``, told a folder for itself alone as its ``scratch``."""
    scratch.mkdir(parents=True, exist_ok=True)
    log = scratch / "log"
    command: Sequence[str] = [python, "-m", module, json.dumps({**spec, "scratch": str(scratch)})]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process, PeakMemory([process.pid]) as memory:
        try:
            # Ready before anyone else begins: two torch processes at once take minutes to start.
            yield Program(module, process, log, memory)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
