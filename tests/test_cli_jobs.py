"""The command on jobs: submitting, following, showing, cancelling."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from featurepack import Job
from featurepack.progress import tell_job, watching
from featurepack.terminal import console_for
from tests.commands import PACK, run
from tests.talking import ATTEMPTS, FAULT, JOB, Script, answer, events, told


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ([], {}),
        (["--tap", "features:avg"], {"tap": "features:avg"}),
        (["--tap", "a", "--tap", "b:max"], {"taps": ["a", "b:max"]}),
        (
            ["--transform", "stretch", "--weights", "random:1", "--on-error", "fail"],
            {"transform": "stretch", "weights": "random:1", "on_error": "fail"},
        ),
        (["--compute", "fast"], {"numerics": {"compute": "fast"}}),
        (
            ["--per-class", "5", "--seed", "0", "--validation", "0.2", "--limit", "9"],
            {"view": {"per_class": 5, "limit": 9, "validation": 0.2, "seed": 0}},
        ),
        (["--priority", "-3"], {"priority": -3}),
    ],
)
def test_submit_sends_what_was_given_and_nothing_else(
    arguments: list[str], sent: dict[str, Any]
) -> None:
    script = Script(answer({"items": [PACK]} if "taps" in sent else PACK))
    assert run(script, "submit", "vgg16", "birds", *arguments) == 0
    always = {"network": "vgg16", "dataset": "birds", "submitter": "ada@lab"}
    assert script.bodies == [always | sent]


def test_submit_waits_and_tells_progress(capsys: pytest.CaptureFixture[str]) -> None:
    progress = {"phase": "extracting", "rows_total": 8, "rows_done": 4, "images_per_second": 2.0}
    progress["limited_by"] = "decode"
    running = told(state="running", progress=progress | {"seconds_left": 70})
    script = Script(answer(JOB, 202), events(running, told(state="succeeded")), answer(PACK))
    assert run(script, "submit", "vgg16", "birds", "--wait") == 0
    printed = capsys.readouterr()
    assert printed.out == "pack r-d: 8 × 4 float32\n"
    assert printed.err.splitlines() == [
        "vgg16 on birds: queued",
        "vgg16 on birds: extracting, 4 of 8 rows, 2 images/s, limited by decode, 1 min 10 s left",
    ]


def test_a_failed_job_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"kind": "corrupt-data", "detail": "image 3 is broken", "remedy": "mend it"}
    script = Script(answer(JOB, 202), events(told(state="failed", error=error)))
    assert run(script, "submit", "vgg16", "birds", "--wait", "--json") == 1
    assert "featurepack: image 3 is broken; mend it\n" in capsys.readouterr().err


def waiting_job(seconds: float = 12.3) -> dict[str, Any]:
    """A job that pauses after a passing fault."""
    then = datetime.now(UTC) + timedelta(seconds=seconds)
    return JOB | {"attempts": ATTEMPTS, "next_try": then.isoformat()}


def test_submit_says_why_a_job_waits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Script(answer(waiting_job(), 202)), "submit", "vgg16", "birds") == 0
    assert capsys.readouterr().out == (
        "job j1 waits after a fault: the disk is full; next try in 12 s; it builds pack r-d\n"
    )
    assert run(Script(answer(waiting_job(-3) | {"attempts": []}, 202)), "submit", "a", "b") == 0
    assert "after a fault: what it was is not known; next try now" in capsys.readouterr().out
    handed_back = ATTEMPTS[0] | {"attempt": 3, "outcome": "handed back"}
    waits = waiting_job() | {"attempts": [*ATTEMPTS, handed_back]}
    assert run(Script(answer(waits, 202)), "submit", "vgg16", "birds") == 0
    assert "after a fault: the disk is full; next" in capsys.readouterr().out


def test_progress_tells_copied_rows_and_pauses(capsys: pytest.CaptureFixture[str]) -> None:
    progress = {"phase": "copying", "rows_total": 1977, "rows_done": 1797, "rows_copied": 1797}
    rate = {"images_per_second": 84.2, "seconds_left": 2.1}
    later = {"phase": "extracting", "rows_done": 1900, "rows_computed": 103}
    with watching("x") as tell:
        tell_job(tell, Job.of(JOB | {"state": "running", "progress": progress | rate}))
        tell_job(tell, Job.of(JOB | {"state": "running", "progress": progress | later}))
        tell_job(tell, Job.of(waiting_job()))
    assert capsys.readouterr().err.splitlines() == [
        "x: copying, 1797 of 1977 rows, 1797 copied, 84 images/s, 2 s left",
        "x: extracting, 1900 of 1977 rows, 1797 copied, 103 computed",
        "x: waits after a fault: the disk is full, next try in 12 s",
    ]


def test_a_job_shows_its_attempts(capsys: pytest.CaptureFixture[str]) -> None:
    last = ATTEMPTS[1] | {"attempt": 3, "ended": None, "outcome": "running", "error": None}
    job = JOB | {"submitters": ["ada@lab", "unnamed-00ff00ff"], "attempts": [*ATTEMPTS, last]}
    assert run(Script(answer(job)), "jobs", "show", "j1") == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[:-3])
    assert shown["submitters"] == "ada@lab, unnamed-00ff00ff"
    assert run(Script(answer(job)), "jobs", "show", "j1") == 0
    *_, first, second, third = capsys.readouterr().out.splitlines()
    assert first.split(maxsplit=2) == ["attempt", "1", "north-7, lost, 30 s"]
    assert second.split(maxsplit=2)[2] == "south-3, retrying, 2 s, the disk is full"
    assert third.split(maxsplit=2)[2].startswith("south-3, running, ")


def test_a_list_of_jobs_tells_their_faults(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {"items": [waiting_job(), JOB | {"error": FAULT | {"detail": "gone"}}, JOB]}
    assert run(Script(answer(listed | {"next_cursor": None})), "jobs") == 0
    _, waits, failed, plain = capsys.readouterr().out.splitlines()
    assert waits.endswith("the disk is full")
    assert failed.endswith("gone")
    assert plain.endswith("03:04:05")


@pytest.mark.parametrize(
    ("after", "text"),
    [
        ({"submitters": ["eve@lab", "x"]}, "job j1: withdrawn; 2 others still want it\n"),
        ({"submitters": ["eve@lab"]}, "job j1: withdrawn; 1 other still wants it\n"),
        ({"state": "running", "cancelling": True, "submitters": []}, "job j1 is being cancelled\n"),
        ({"state": "cancelled", "submitters": []}, "job j1 is cancelled\n"),
    ],
)
def test_cancelling_says_what_became_of_the_job(
    after: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(answer(JOB), answer(JOB | after))
    assert run(script, "jobs", "cancel", "j1") == 0
    assert capsys.readouterr().out == text
    assert str(script.requests[1].url.query, "ascii") == "submitter=ada%40lab"
    script = Script(answer(JOB | {"state": "cancelled"}))
    assert run(script, "jobs", "cancel", "j1", "--force") == 0
    assert script.requests[0].url.query == b"force=true"


def test_an_estimate_tells_known_rows_and_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    one = {
        "pack_id": "r-d",
        "cached": False,
        "rows": 100,
        "rows_cached": 90,
        "rows_to_compute": 10,
        "row_shape": [4],
        "bytes": 1600,
        "seconds": 2.0,
        "images_per_second": 5.0,
        "measured_on": "north",
    }
    assert run(Script(answer({"items": [one]})), "estimate", "vgg16", "birds") == 0
    head, row = capsys.readouterr().out.splitlines()
    columns = ["pack", "cached", "rows", "known", "to compute", "row", "size", "time"]
    assert re.split(" {2,}", head) == [*columns, "measured on"]
    assert re.split(" {2,}", row) == ["r-d", "no", "100", "90", "10", "4", "1.6 kB", "2 s", "north"]


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with watching("work", console_for(stream)) as tell:
        tell(1, 2, "[red]", "half")
    assert "work" in stream.getvalue()
    assert "[red], half" in stream.getvalue()
    assert "\x1b" in stream.getvalue()


def test_progress_of_other_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    training = {"phase": "training", "epoch": 3, "epochs": 50}
    reading = {"phase": "reading images", "rows_done": 70}
    with watching("x") as tell:
        for progress in (training, reading):
            tell_job(tell, Job.of(JOB | {"state": "running", "progress": progress}))
    assert capsys.readouterr().err.splitlines() == [
        "x: training, epoch 3 of 50",
        "x: reading images, 70 rows",
    ]
