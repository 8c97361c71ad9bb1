"""The command: what it sends, what it prints, how it ends."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from featurepack import Client
from featurepack.cli.labs import LabFile, guess
from featurepack.cli.main import main, make_parser
from featurepack.progress import duration
from featurepack.terminal import cell
from tests.commands import PACK, run
from tests.talking import FAULT, JOB, Script, answer, events, problem, told


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
        ["verify", "r-d", "--rows", "0"],
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
    def interrupted(_: str, *, submitter: str | None) -> Client:
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

    def connect(url: str, *, submitter: str | None) -> Client:
        assert submitter is None
        seen.append(url)
        return Script(answer({"items": [], "next_cursor": None})).client()

    main(["packs"], connect=connect)
    monkeypatch.setenv("FEATUREPACK_URL", "http://a")
    main(["packs"], connect=connect)
    main(["packs", "--url", "http://b"], connect=connect)
    main(["--url", "http://c", "packs", "list"], connect=connect)
    assert seen == ["http://127.0.0.1:8000", "http://a", "http://b", "http://c"]


def test_packs_are_pinned_and_marked(capsys: pytest.CaptureFixture[str]) -> None:
    script = Script(answer(PACK | {"pinned": True}))
    assert run(script, "packs", "pin", "r-d") == 0
    assert (script.requests[0].method, script.requests[0].url.path) == ("PUT", "/v1/packs/r-d/pin")
    script = Script(answer(PACK))
    assert run(script, "packs", "unpin", "r-d") == 0
    assert script.requests[0].method == "DELETE"
    capsys.readouterr()
    bad = PACK | {"pinned": True, "problem": FAULT | {"detail": "shard 3 is damaged"}}
    pinned = PACK | {"pinned": True}
    assert run(Script(answer({"items": [bad, pinned, PACK], "next_cursor": None})), "packs") == 0
    _, first, second, third = capsys.readouterr().out.splitlines()
    assert first.endswith("  pinned, problem")
    assert second.endswith("  pinned")
    assert third.endswith("03:04:05")
    assert run(Script(answer(bad)), "packs", "show", "r-d") == 0
    assert "shard 3 is damaged; make room\n" in capsys.readouterr().out


def test_verify_tells_what_was_checked(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"pack_id": "r-d", "shards": 3, "rows_checked": 0}
    script = Script(answer(JOB, 202), events(told(state="succeeded", result=result)))
    assert run(script, "verify", "r-d") == 0
    assert script.requests[0].url.query == b""
    result = {"pack_id": "r-d", "shards": 3, "rows_checked": 8}
    script = Script(answer(JOB, 202), events(told(state="succeeded", result=result)))
    assert run(script, "verify", "r-d", "--rows", "8") == 0
    assert script.requests[0].url.query == b"rows=8"
    assert capsys.readouterr().out.splitlines() == [
        "pack r-d is sound; shards checked: 3",
        "pack r-d is sound; shards checked: 3, rows extracted again: 8",
    ]


def test_the_submitter_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def connect(_: str, *, submitter: str | None) -> Client:
        seen.append(submitter)
        return Script(answer({"items": [], "next_cursor": None})).client()

    for value in ("", "night-run"):
        monkeypatch.setenv("FEATUREPACK_SUBMITTER", value)
        main(["packs"], connect=connect)
    assert seen == [None, "night-run"]


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


def test_values_are_shown_for_people() -> None:
    assert [cell(value) for value in (None, True, [1], "ä")] == ["-", "yes", "[1]", "ä"]
    assert [duration(seconds) for seconds in (4.4, 200, 7500)] == ["4 s", "3 min 20 s", "2 h 5 min"]
