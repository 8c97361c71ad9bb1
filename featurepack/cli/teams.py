"""``teams``: what each may, uses, and had done."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from featurepack.cli.output import Output, size
from featurepack.cli.parsing import Subcommands, UsageError, command, group, whole
from featurepack.client import Client
from featurepack.teams import Day, Limits, Team

DEFAULT = "default"


def add(commands: Subcommands) -> None:
    teams = group(commands, "teams", "show and limit what teams use", show_all)
    command(teams, "list", show_all, "list teams: all for an admin, else one's own")
    parser = command(teams, "show", show, "show a team's limits, use and ledger")
    parser.add_argument("team", metavar="TEAM")
    parser.add_argument("--days", type=int, default=30, metavar="N", help="(default: 30)")
    parser = command(
        teams,
        "limit",
        limit,
        "set a team's limits",
        f"Those that are not named stay; {DEFAULT!r} is the service's own (FEATUREPACK_TEAM_…).",
    )
    parser.add_argument("team", metavar="TEAM")
    for name, kind, what in (
        ("stored-bytes", whole, "of its packs and of the images of its datasets"),
        ("queued-jobs", whole, "jobs that wait at once"),
        ("upload-bytes", whole, "of one upload"),
        ("requests-per-second", float, "to each process of the service"),
        ("heads-per-minute", float, "heads that it asks for"),
    ):
        parser.add_argument(f"--{name}", type=_or_default(kind), metavar="N", help=what)


def _or_default(kind: Callable[[str], float]) -> Callable[[str], object]:
    def number(text: str) -> object:
        return DEFAULT if text == DEFAULT else kind(text)

    number.__name__ = f"number or {DEFAULT!r}"
    return number


def show_all(client: Client, out: Output, _: argparse.Namespace) -> None:
    columns = ("team", "stored", "queued", "device time", "GPU time", "saved")
    out.listing(client.teams(), columns, _row)


def _row(team: Team) -> tuple[object, ...]:
    return (
        team.team,
        _of(size(team.use.stored_bytes), team.limits.stored_bytes, size),
        _of(team.use.queued_jobs, team.limits.queued_jobs),
        _time(sum(day.device_seconds for day in team.days)),
        _time(sum(day.gpu_seconds for day in team.days)),
        _time(sum(map(_saved, team.days))),
    )


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    _show(out, client.team(arguments.team, days=arguments.days))


def limit(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    given = {field.name: getattr(arguments, field.name) for field in fields(Limits)}
    wanted: dict[str, Any] = {
        name: None if value == DEFAULT else value
        for name, value in given.items()
        if value is not None
    }
    if not wanted:
        raise UsageError("no limit was named", remedy="see featurepack teams limit --help")
    _show(out, client.limit_team(arguments.team, **wanted))


def _show(out: Output, team: Team) -> None:
    rows: list[tuple[str, object]] = [
        ("team", team.team),
        ("stored", _of(size(team.use.stored_bytes), team.limits.stored_bytes, size)),
        ("queued jobs", _of(team.use.queued_jobs, team.limits.queued_jobs)),
        ("heads in a minute", _of(team.use.heads, team.limits.heads_per_minute)),
        ("one upload", _of("up to", team.limits.upload_bytes, size)),
        ("requests per second", _of("up to", team.limits.requests_per_second)),
    ]
    out.record(team, rows + [(day.day, _told(day)) for day in team.days])


def _of(used: object, limit: float | None, tell: Callable[[int], str] = str) -> str:
    if limit is None:
        return "no limit" if used == "up to" else f"{used}, no limit"
    told = tell(int(limit)) if limit == int(limit) else f"{limit:g}"
    return f"{used} {told}" if used == "up to" else f"{used} of {told}"


def _told(day: Day) -> str:
    rows = f"{day.rows_computed} rows computed, {day.rows_copied} copied, {day.hits} hits"
    return (
        f"{_time(day.device_seconds)} ({_time(day.gpu_seconds)} on GPUs), {rows}, "
        f"{_time(_saved(day))} saved"
    )


def _saved(day: Day) -> float:
    return day.seconds_saved_by_hits + day.seconds_saved_by_copies


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
