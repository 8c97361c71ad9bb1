"""``featurepack``: arguments → one command → an exit status.

0 it worked · 1 it did not, one line on stderr says why · 2 wrong usage · 130 Ctrl-C
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Protocol

from featurepack import __version__
from featurepack.cli import (
    backup,
    cache,
    datasets,
    heads,
    jobs,
    keys,
    networks,
    packs,
    serve,
    studies,
    teams,
    using,
    weights,
)
from featurepack.cli.output import Output
from featurepack.cli.parsing import UsageError
from featurepack.client import DEFAULT_URL, Client
from featurepack.errors import FeaturepackError, Forbidden, Unauthorised
from featurepack.terminal import cell

EPILOG = """\
examples:
  featurepack serve --worker                      service and worker on this machine
  featurepack datasets add digits --builtin digits
  featurepack submit mobilenet_v2 digits --transform stretch --validation 0.2 --wait
  featurepack train PACK_ID
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="featurepack",
        description="Frozen networks' features, computed once and reused by all.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"featurepack {__version__}")
    parser.add_argument(
        "--url", help=f"the service's address (else FEATUREPACK_URL, else {DEFAULT_URL})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for part in (
        serve,
        networks,
        datasets,
        weights,
        jobs,
        packs,
        heads,
        using,
        studies,
        keys,
        teams,
        cache,
        backup,
    ):
        part.add(commands)
    return parser


class Connect(Protocol):
    """Makes the client from the service's address and the name of who asks."""

    def __call__(self, url: str, *, submitter: str | None) -> Client: ...


def main(arguments: Sequence[str] | None = None, connect: Connect = Client) -> int:
    """Run one command."""
    parsed = make_parser().parse_args(arguments)
    try:
        if hasattr(parsed, "local"):
            return int(parsed.local(parsed))
        url = parsed.url or os.environ.get("FEATUREPACK_URL") or DEFAULT_URL
        submitter = os.environ.get("FEATUREPACK_SUBMITTER") or None
        with connect(url, submitter=submitter) as client:
            parsed.run(client, Output(as_json=parsed.json), parsed)
        sys.stdout.flush()
        return 0
    except UsageError as error:
        return _say(error.detail, error.remedy, 2)
    except Unauthorised as error:
        return _say(error.detail, error.remedy or _what_to_do(error), 1)
    except FeaturepackError as error:
        return _say(error.detail, error.remedy, 1)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _say(f"{error.filename or 'input or output'}: {error.strerror or error}", "", 1)
    except KeyboardInterrupt:
        return 130


def _what_to_do(error: Unauthorised) -> str:
    """Where something between us and the service refused, and told nothing else."""
    if isinstance(error, Forbidden):
        return "the key does not allow this: ask an admin for one of a larger scope"
    return "set FEATUREPACK_KEY or FEATUREPACK_KEY_FILE; an admin makes keys (keys create)"


def _say(detail: str, remedy: str, status: int) -> int:
    line = "; ".join(filter(None, (detail, remedy)))
    print(f"featurepack: {cell(' '.join(line.split()))}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
