"""A process that reads changed files, and may crash, hang or leak; and who watches it.

Before each file the process writes down its number, so that a crash has a name. An audit hook
notes whatever Python does to files outside the store, and every process or connection it begins.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cache.store import Store
from tests.fuzz.mutations import mutated
from tests.fuzz.readers import READERS, contents, outcome
from tests.fuzz.seeds import SEEDS, Seed

HANG_SECONDS = 15
MEMORY_BYTES = 6 << 30
WARM_FILES = 50
"""Until so many are read, caches fill."""

_WRITES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod",
           "os.truncate", "os.utime", "shutil.rmtree", "os.chown", "os.mknod"}  # fmt: skip
_BEGINS = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen",
           "socket.connect", "socket.bind", "ctypes.dlopen", "os.putenv", "os.kill"}  # fmt: skip


@dataclass
class Report:
    """What came of a format's files. ``findings`` says of each what is wrong, by its number."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[int, str] = field(default_factory=dict)
    grown_bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        told = ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common())
        return f"{told}; {self.grown_bytes >> 10:+} KiB, {self.seconds:.1f} s"


def changed_file(seeds: list[Seed], number: int) -> bytes:
    """File ``number`` of a format; the first ones are the seeds themselves."""
    seed = seeds[number % len(seeds)]
    if number < len(seeds):
        return seed.whole(seed.data)
    return seed.whole(mutated(seed.data, [each.data for each in seeds], number))


def run(kind: str, count: int, folder: Path) -> Report:
    """Read ``count`` files of a kind; after a crash another process goes on with the next."""
    report, began, start = Report(), time.monotonic(), 0
    context = multiprocessing.get_context("spawn")
    store = Store(folder / "store").create()
    while start < count:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_read_all, args=(kind, start, count, store, theirs))
        process.start()
        theirs.close()
        reading, outcomes = start, Counter[str]()
        try:
            while True:
                if not ours.poll(HANG_SECONDS if reading > start else 120):
                    process.kill()
                    report.findings[reading] = "hangs"
                    break
                told, value = ours.recv()
                if told == "reading":
                    reading, outcomes = value
                elif told == "done":
                    outcomes = value["outcomes"]
                    report.findings |= value["findings"]
                    report.grown_bytes += value["grown"]
                    reading = count
                    break
        except EOFError:
            process.join()
            if (process.exitcode or 0) > 0:  # it says more on stderr
                raise RuntimeError(f"the process that reads {kind} files failed") from None
            report.findings[reading] = f"crashes: {_named(process.exitcode)}"
        finally:
            process.join()
            ours.close()
        report.outcomes += outcomes
        for path in (store.root / "incoming").iterdir() if reading < count else ():
            path.unlink()  # what the dead one was reading
        start = reading + 1
    report.seconds = time.monotonic() - began
    left = list(contents(store.root / "incoming"))
    if left:
        report.findings[count] = f"leaves {left[:5]} in incoming"
    return report


def _named(exitcode: int | None) -> str:
    return signal.Signals(-exitcode).name if exitcode and exitcode < 0 else str(exitcode)


# --- in the process --------------------------------------------------------------------------


def _read_all(kind: str, start: int, count: int, store: Store, told: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    os.chdir(store.root.parent)
    seeds, read = SEEDS[kind](), READERS[kind]
    outcomes: Counter[str] = Counter()
    findings: dict[int, str] = {}
    forbidden: list[str] = []
    outcome(read, changed_file(seeds, 0), store)  # loads what is loaded once
    sys.addaudithook(_Watch(store, forbidden))
    before = 0
    for number in range(start, count):
        if number % 16 == 0 or number < 64 or kind == "hdf5":
            told.send(("reading", (number, outcomes)))
        if number == start + WARM_FILES:
            before = _resident()
        try:
            outcomes[outcome(read, changed_file(seeds, number), store)] += 1
        except Exception:
            findings[number] = traceback.format_exc(limit=-8)
        if forbidden:
            findings[number] = f"does {forbidden[:3]}"
            forbidden.clear()
    grown = _resident() - before if before else 0
    told.send(("done", {"outcomes": outcomes, "findings": findings, "grown": grown}))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class _Watch:
    """The audit hook (PEP 578)."""

    def __init__(self, store: Store, forbidden: list[str]) -> None:
        self._root = str(store.root) + "/"
        self._forbidden = forbidden

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in _BEGINS:
            self._forbidden.append(f"{event}{arguments!r:.200}")
        elif event in _WRITES or (event == "open" and _is_writing(arguments)):
            named = arguments[0]
            if isinstance(named, str | bytes | os.PathLike):
                path = os.path.abspath(os.fsdecode(named))  # noqa: PTH100 - no link is followed
                if not path.startswith(self._root) and path != "/dev/null":
                    self._forbidden.append(f"{event}{arguments!r:.200}")


def _is_writing(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
