"""The command: what it sends, what it prints, how it ends."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from featurepack import Client
from featurepack.cli.labs import LabFile, guess
from featurepack.cli.main import main, make_parser
from featurepack.progress import duration, tell_job, watching
from featurepack.terminal import cell, console_for
from tests.talking import JOB, Script, answer, problem

PACK: dict[str, Any] = {
    "object": "pack",
    "pack_id": "r-d",
    "network": "vgg16",
    "dataset": "birds",
    "recipe_id": "r",
    "dataset_id": "d",
    "imported": False,
    "recipe": {},
    "dataset_info": {},
    "classes": ["owl"],
    "splits": {"train": [0, 8]},
    "rows": 8,
    "row_shape": [4],
    "dtype": "float32",
    "bytes": 2048,
    "etag": "e",
    "invalid_rows": [],
    "provenance": {},
    "created": "2026-01-02T03:04:05Z",
    "last_used": None,
    "hits": 2,
}


def run(script: Script, *arguments: str) -> int:
    return main(arguments, connect=lambda _: script.client())


def commands(parser: argparse.ArgumentParser, before: tuple[str, ...] = ()) -> Iterator[Any]:
    """Every command and command of a command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield (*before, name)
                yield from commands(child, (*before, name))


@pytest.mark.parametrize("command", [(), *commands(make_parser())], ids=" ".join)
def test_every_command_has_help(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert f"usage: featurepack {' '.join(command)}".rstrip() in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["submit", "vgg16"],
        ["submit", "vgg16", "birds", "--transform", "wide"],
        ["submit", "vgg16", "birds", "--validation", "1.5"],
        ["datasets", "add", "x", "--builtin", "digits", "--folder", "y"],
        ["packs", "show"],
    ],
)
def test_arguments_that_cannot_be_end_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_dataset_needs_one_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Script(), "datasets", "add", "x") == 2
    assert run(Script(), "datasets", "add", "x", "a.zip", "--builtin", "digits") == 2
    assert "give FILES, or one of" in capsys.readouterr().err


def test_a_problem_is_one_line_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Script(problem("not-found", 404)), "packs", "show", "x") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "featurepack: not-found it is; do this\n"


def test_a_file_that_is_not_there_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Script(), "weights", "add", "vgg16", "missing.pth") == 1
    assert capsys.readouterr().err == "featurepack: missing.pth: No such file or directory\n"


def test_ctrl_c_ends_with_130() -> None:
    def interrupted(_: str) -> Client:
        raise KeyboardInterrupt

    assert main(["packs"], connect=interrupted) == 130


@pytest.mark.parametrize("arguments", [["--json", "packs"], ["packs", "list", "--json"]])
def test_json_is_the_whole_of_stdout(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Script(answer({"items": [PACK], "next_cursor": None})), *arguments) == 0
    (pack,) = json.loads(capsys.readouterr().out)
    assert (pack["pack_id"], pack["created"]) == ("r-d", "2026-01-02T03:04:05+00:00")


def test_tables_are_plain_aligned_text_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = PACK | {"dataset": "a\x1b[31m[bold]\n"}
    assert run(Script(answer({"items": [PACK, hostile], "next_cursor": None})), "packs") == 0
    out = capsys.readouterr().out
    head, first, second = out.splitlines()
    assert "\x1b" not in out
    assert head.index("features") == first.index("8 × 4") == second.index("8 × 4")
    assert "a\N{REPLACEMENT CHARACTER}[31m[bold]\N{REPLACEMENT CHARACTER}" in second


def test_the_address_comes_from_the_option_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def connect(url: str) -> Client:
        seen.append(url)
        return Script(answer({"items": [], "next_cursor": None})).client()

    main(["packs"], connect=connect)
    monkeypatch.setenv("FEATUREPACK_URL", "http://a")
    main(["packs"], connect=connect)
    main(["packs", "--url", "http://b"], connect=connect)
    main(["--url", "http://c", "packs", "list"], connect=connect)
    assert seen == ["http://127.0.0.1:8000", "http://a", "http://b", "http://c"]


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
    assert script.bodies == [{"network": "vgg16", "dataset": "birds"} | sent]


def test_submit_waits_and_tells_progress(capsys: pytest.CaptureFixture[str]) -> None:
    progress = {"phase": "extracting", "rows_total": 8, "rows_done": 4, "images_per_second": 2.0}
    running = JOB | {"state": "running", "progress": progress | {"seconds_left": 70}}
    script = Script(
        answer(JOB, 202), answer(running), answer(JOB | {"state": "succeeded"}), answer(PACK)
    )
    assert run(script, "submit", "vgg16", "birds", "--wait") == 0
    printed = capsys.readouterr()
    assert printed.out == "pack r-d: 8 × 4 float32\n"
    assert printed.err.splitlines() == [
        "vgg16 on birds: queued",
        "vgg16 on birds: extracting, 4 of 8 rows, 2 images/s, 1 min 10 s left",
    ]


def test_a_failed_job_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    error = {"kind": "corrupt-data", "detail": "image 3 is broken", "remedy": "mend it"}
    script = Script(answer(JOB, 202), answer(JOB | {"state": "failed", "error": error}))
    assert run(script, "submit", "vgg16", "birds", "--wait", "--json") == 1
    assert "featurepack: image 3 is broken; mend it\n" in capsys.readouterr().err


def test_import_guesses_the_pair_from_the_names(tmp_path: Path) -> None:
    train = tmp_path / "vgg_cifar10_100_bottleneck_features_train.p"
    validation = tmp_path / "vgg_cifar10_bottleneck_features_validation.p"
    other = tmp_path / "vgg_traffic_bottleneck_features_validation.p"
    for path in (train, validation, other):
        path.write_bytes(b"pickle")
    networks = answer({"items": [], "next_cursor": None})
    script = Script(networks, answer(PACK, 201))
    assert run(script, "import", str(train), str(validation)) == 0
    content = script.requests[1].content
    assert b'name="network"\r\n\r\nvgg\r\n' in content
    assert b'name="dataset"\r\n\r\ncifar10\r\n' in content
    assert b'name="train"; filename="vgg_cifar10_100_bottl' in content
    assert run(Script(networks), "import", str(train), str(other)) == 2
    assert (
        run(Script(answer(PACK, 201)), "import", "--network", "a", "--dataset", "b", str(other))
        == 0
    )


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("vgg_cifar10_100_bottleneck_features_train.p", ("vgg", "cifar10")),
        ("inception_traffic_bottleneck_features_validation.p", ("inception", "traffic")),
        ("mobilenet_v2_my_set_100_bottleneck_features_train.p", ("mobilenet_v2", "my_set")),
        ("own_net_x_bottleneck_features_validation.p", ("own", "net_x")),
        ("vgg_bottleneck_features_train.p", None),
        ("features.h5", None),
    ],
)
def test_the_labs_names(name: str, pair: tuple[str, str] | None) -> None:
    assert guess(name, ["mobilenet_v2", "mobilenet_v3"]) == (pair and LabFile(*pair))


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
    from featurepack import Job

    training = {"phase": "training", "epoch": 3, "epochs": 50}
    reading = {"phase": "reading images", "rows_done": 70}
    with watching("x") as tell:
        for progress in (training, reading):
            tell_job(tell, Job.of(JOB | {"state": "running", "progress": progress}))
    assert capsys.readouterr().err.splitlines() == [
        "x: training, epoch 3 of 50",
        "x: reading images, 70 rows",
    ]


def test_values_are_shown_for_people() -> None:
    assert [cell(value) for value in (None, True, [1], "ä")] == ["-", "yes", "[1]", "ä"]
    assert [duration(seconds) for seconds in (4.4, 200, 7500)] == ["4 s", "3 min 20 s", "2 h 5 min"]
