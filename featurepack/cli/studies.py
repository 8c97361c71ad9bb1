"""``study``, ``studies`` and ``advise``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from featurepack.cli.output import Output, percent, size
from featurepack.cli.parsing import Subcommands, UsageError, add_private, command, group, whole
from featurepack.cli.recipe import add_how, add_taps, add_which, how_of, view_of
from featurepack.client import Client
from featurepack.comparison import Advice, Cell, Place, Study, StudyBrief
from featurepack.progress import Tell, duration

PLACE = (
    "rank",
    "network",
    "layer",
    "method",
    "accuracy",
    "95 %",
    "p",
    "training",
    "extraction",
    "size",
)


def add(commands: Subcommands) -> None:
    parser = command(
        commands,
        "study",
        study,
        "compare networks, layers and methods on datasets",
        "Builds what packs are missing, trains all heads, and shows tables and a ranking. What is "
        "there is not made again.",
    )
    parser.add_argument("networks", metavar="NETWORK,…", type=names)
    parser.add_argument("datasets", metavar="DATASET,…", type=names)
    parser.add_argument(
        "--method",
        action="append",
        type=method,
        metavar="NAME[:JSON]",
        help="lab, linear, ridge, knn, mlp or centroid, with parameters such as 'knn:{\"k\": 5}'; "
        "several times for several (default: linear)",
    )
    parser.add_argument("--priority", type=int, default=0, metavar="N", help="-100 to 100")
    add_taps(add_how(parser))
    add_which(parser)
    add_private(parser)
    advice = command(
        commands,
        "advise",
        advise,
        "say which layer serves a dataset, whether more images would help, and what to do",
        "Trains linear heads on layers from early to late, and on the last one with parts of "
        "train.",
    )
    advice.add_argument("network", metavar="NETWORK")
    advice.add_argument("dataset", metavar="DATASET", help="a name, or NAME@VERSION")
    add_how(advice)
    add_which(advice)
    add_private(advice)
    studies = group(commands, "studies", "list, show and cancel studies", show_all)
    listed = command(studies, "list", show_all, "list studies, newest first")
    listed.add_argument("--limit", type=whole, metavar="N", default=argparse.SUPPRESS)
    shown = command(studies, "show", show, "show a study as it is now")
    shown.add_argument("--format", choices=["table", "csv", "markdown"], default="table")
    cancelled = command(
        studies,
        "cancel",
        cancel,
        "no longer want a study, or advice",
        "When nobody wants it, its jobs end that nobody else wants.",
    )
    cancelled.add_argument("--force", action="store_true", help="cancel it whoever wants it")
    for each in (shown, cancelled):
        each.add_argument("study_id", metavar="STUDY_ID")


def names(text: str) -> list[str]:
    """Names with commas between."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise ValueError
    return found


names.__name__ = "name, or several with commas"


def method(text: str) -> Any:
    """``knn`` or ``knn:{"k": 5}``."""
    name, given, params = text.partition(":")
    return {"method": name, "params": json.loads(params)} if given else name


def study(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    taps = arguments.tap or []
    if taps and len(arguments.networks) > 1:
        raise UsageError("--tap goes with one network", remedy="layers differ between networks")
    how = how_of(arguments) | ({"taps": taps} if taps else {})
    view = view_of(arguments)
    with out.watching("study") as tell:
        found = client.study(
            [{"network": name, **how} for name in arguments.networks],
            [{"dataset": name, **({"view": view} if view else {})} for name in arguments.datasets],
            arguments.method or "linear",
            priority=arguments.priority,
            private=arguments.private,
            on_progress=lambda now: _tell(tell, now.progress, now.cells),
        )
    _print(out, found)


def _tell(tell: Tell, progress: dict[str, Any], cells: Sequence[Cell] = ()) -> None:
    done, total = progress["cells_done"], progress["cells_total"]
    states = ", ".join(f"{count} {state}" for state, count in progress["states"].items())
    busy = next((cell for cell in cells if cell.state in ("extracting", "training")), None)
    now = f"{busy.state} {busy.network} on {busy.dataset}" if busy else "heads"
    tell(done, total, now, states)


def _print(out: Output, found: Study) -> None:
    if out.as_json:
        out.json(found)
        return
    for table in found.tables:
        out.line(found, f"\n{table['method']}")
        rows = [
            (row["network"], *(_entry(entry) for entry in row["entries"])) for row in table["rows"]
        ]
        out.listing(rows, ("network", *table["datasets"]), tuple)
    cells = {cell.head_id: cell for cell in found.cells if cell.head_id}
    for ranking in found.ranking:
        if ranking.places:
            out.line(found, f"\nranking on {ranking.dataset}; = are ties")
            places = [(place, cells[place.head_id]) for place in ranking.places]
            out.listing(places, PLACE, lambda pair: _place(*pair))
    others = [cell for cell in found.cells if cell.state != "succeeded"]
    if others:
        out.line(found, "\nnot there")
        out.listing(others, ("network", "layer", "dataset", "method", "state", "why"), _other)
    out.hint(f"study {found.study_id} {found.state}")


def _entry(entry: dict[str, Any] | None) -> str:
    return "-" if entry is None else f"{percent(entry['accuracy'])}  {entry['tap']}"


def _between(interval: Sequence[float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def _place(place: Place, cell: Cell) -> tuple[object, ...]:
    return (
        f"{place.rank} =" if place.tie else place.rank,
        place.network,
        place.tap,
        place.method,
        percent(place.accuracy),
        _between(place.interval),
        None if place.p_value is None else f"{place.p_value:.2g}",
        None if cell.train_seconds is None else f"{cell.train_seconds:.2f} s",
        None if cell.extraction_seconds is None else duration(cell.extraction_seconds),
        None if cell.pack_bytes is None else size(cell.pack_bytes),
    )


def _other(cell: Cell) -> tuple[object, ...]:
    why = cell.error.get("detail") if cell.error else ""
    return (cell.network, cell.tap, cell.dataset, cell.method, cell.state, why)


def show_all(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    columns = ("study", "kind", "state", "cells", "networks", "datasets", "methods", "created")
    out.listing(client.studies(limit=vars(arguments).get("limit", 50)), columns, _study_row)


def _study_row(found: StudyBrief) -> tuple[object, ...]:
    return (
        found.study_id,
        found.kind,
        found.state,
        f"{found.progress['cells_done']} of {found.progress['cells_total']}",
        ", ".join(found.networks),
        ", ".join(found.datasets),
        ", ".join(found.methods),
        found.created,
    )


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    if arguments.format == "csv":
        out.text(client.study_csv(arguments.study_id))
        return
    found = client.study_of(arguments.study_id)
    if arguments.format == "markdown":
        out.text(found.markdown())
    else:
        _print(out, found)


def cancel(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    found = client.cancel_study(arguments.study_id, force=arguments.force)
    if found.submitters:
        out.line(found, f"study {found.study_id}: withdrawn; others still want it")
    else:
        out.line(found, f"study {found.study_id} is {found.state}")


def advise(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    view = view_of(arguments)
    with out.watching(f"{arguments.network} on {arguments.dataset}") as tell:
        found = client.advice(
            arguments.network,
            arguments.dataset,
            **how_of(arguments),
            view=view or None,
            private=arguments.private,
            on_progress=lambda now: _tell(tell, now.progress),
        )
    if out.as_json:
        out.json(found)
    else:
        _print_advice(out, found)


def _print_advice(out: Output, found: Advice) -> None:
    layers = [
        (one["tap"], percent(one["accuracy"]), _between(one["interval"]), _gain(one["over_last"]))
        for one in found.layers
    ]
    out.listing(layers, ("layer", "accuracy", "95 %", "over the last layer"), tuple)
    out.line(found, "")
    curve = [
        (round(one["train_rows"]), f"{one['share']:g}", percent(one["accuracy"]))
        for one in found.curve
    ]
    out.listing(curve, ("images", "share of train", "accuracy of the last layer"), tuple)
    if found.case is not None:
        case = found.case
        out.line(found, f"\n{case['size']}, {case['likeness']}: {case['do']}")
    for sentence in found.words:
        out.line(found, f"- {sentence}")


def _gain(gain: dict[str, float] | None) -> str | None:
    if gain is None:
        return None
    low, high = 100 * gain["low"], 100 * gain["high"]
    return f"{100 * gain['points']:+.1f} ({low:+.1f} to {high:+.1f})"
