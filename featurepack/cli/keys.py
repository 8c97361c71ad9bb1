"""``keys``: what teams come in with."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

from featurepack.answers import Key
from featurepack.cli.output import Output
from featurepack.cli.parsing import Subcommands, command, group
from featurepack.client import Client

SCOPES = ("read", "submit", "admin")


def add(commands: Subcommands) -> None:
    keys = group(commands, "keys", "create, list and revoke keys of teams", show_all)
    parser = command(
        keys,
        "create",
        create,
        "create a key",
        "It is printed once, and kept nowhere. The first key of a service must be an admin's; "
        "from then on nobody comes in without one.",
    )
    parser.add_argument("--team", required=True, metavar="NAME", help="whose key it is")
    parser.add_argument(
        "--scope",
        required=True,
        choices=SCOPES,
        help="read: look and download; submit: ask for work, too; admin: everything",
    )
    parser.add_argument(
        "--expires", type=moment, metavar="WHEN", help="30d, 12h or 2027-01-01 (default: never)"
    )
    parser.add_argument("--note", default="", help="for whom or for what it is")
    command(keys, "list", show_all, "list keys, newest first")
    revoked = command(keys, "revoke", revoke, "let nobody come in with a key any more")
    revoked.add_argument("key_id", metavar="KEY_ID", help="as featurepack keys list shows it")


def moment(text: str) -> datetime:
    """So many days or hours from now, or the beginning of a day (UTC)."""
    if span := re.fullmatch(r"(\d{1,5})([dh])", text):
        number = int(span[1])
        ahead = timedelta(days=number) if span[2] == "d" else timedelta(hours=number)
        return datetime.now(UTC) + ahead
    given = datetime.fromisoformat(text)
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given


moment.__name__ = "time"


def create(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    made = client.create_key(
        arguments.team, arguments.scope, note=arguments.note, expires=arguments.expires
    )
    out.line(made, made.key)
    out.hint(
        f"key {made.key_id} of team {made.team} ({made.scope}): keep it now, it is not shown again"
    )


def show_all(client: Client, out: Output, _: argparse.Namespace) -> None:
    columns = ("key", "team", "scope", "note", "created", "last used", "expires", "revoked")
    out.listing(client.keys(), columns, _row)


def _row(key: Key) -> tuple[object, ...]:
    times = (key.created, key.last_used, key.expires, key.revoked)
    return (key.key_id, key.team, key.scope, key.note, *times)


def revoke(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    key = client.revoke_key(arguments.key_id)
    out.line(key, f"key {key.key_id} of team {key.team} is revoked")
