"""``submit``, ``estimate`` and ``jobs``."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime

from featurepack.answers import Attempt, Estimate, Job, Pack
from featurepack.cli.output import Output, shape, size
from featurepack.cli.parsing import Subcommands, command, group, whole
from featurepack.cli.recipe import add_recipe, options_of
from featurepack.client import Client
from featurepack.progress import duration, fault_of, next_try

STATES = ("queued", "running", "succeeded", "failed", "cancelled")


def add(commands: Subcommands) -> None:
    parser = command(
        commands,
        "submit",
        submit,
        "ask for the features of a network on a dataset",
        "Answers the pack if it is cached, else the job that builds it.",
    )
    add_recipe(parser)
    parser.add_argument("--priority", type=int, metavar="N", help="-100 to 100 (default: 0)")
    parser.add_argument("--wait", action="store_true", help="wait until the pack is there")
    parser = command(commands, "estimate", estimate, "say what a submission would cost")
    add_recipe(parser)
    jobs = group(commands, "jobs", "list, show and cancel jobs", show_all)
    listed = command(jobs, "list", show_all, "list jobs, newest first")
    listed.add_argument("--state", choices=STATES, default=argparse.SUPPRESS)
    listed.add_argument(
        "--kind", default=argparse.SUPPRESS, help="extract, ingest, head, predict, verify, …"
    )
    listed.add_argument(
        "--limit", type=whole, metavar="N", default=argparse.SUPPRESS, help="default: 50"
    )
    shown = command(jobs, "show", show, "show a job and every attempt at it")
    cancelled = command(
        jobs,
        "cancel",
        cancel,
        "no longer want a job",
        "It is cancelled when all who submitted it have cancelled it.",
    )
    cancelled.add_argument("--force", action="store_true", help="cancel it whoever wants it")
    for parser in (shown, cancelled):
        parser.add_argument("job_id", metavar="JOB_ID")


def submit(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    options, taps = options_of(arguments)
    if arguments.priority is not None:
        options["priority"] = arguments.priority
    network, dataset = arguments.network, arguments.dataset
    if taps is None:
        found = [client.submit(network, dataset, **options)]
    else:
        found = client.submit(network, dataset, taps=taps, **options)
    if arguments.wait:
        with out.watching_job(f"{network} on {dataset}") as on_progress:
            for job in [one for one in found if isinstance(one, Job)]:
                done = client.wait(job, on_progress=on_progress)
                found[found.index(job)] = client.pack(str(done.pack_id))
    if out.as_json:
        out.json(found[0] if taps is None else found)
    else:
        for one in found:
            out.line(one, _sentence(one))
    if any(isinstance(one, Job) for one in found):
        out.hint("the same command with --wait follows the job")


def _sentence(found: Pack | Job) -> str:
    if isinstance(found, Job):
        return f"job {found.id} {_state(found)}; it builds pack {found.pack_id}"
    broken = f", {len(found.invalid_rows)} images broken" if found.invalid_rows else ""
    return f"pack {found.pack_id}: {shape(found.shape)} {found.dtype}{broken}"


def _state(job: Job) -> str:
    if job.next_try is None:
        return f"is {job.state}"
    return f"waits after a fault: {fault_of(job)}; {next_try(job.next_try)}"


def estimate(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    options, taps = options_of(arguments)
    network, dataset = arguments.network, arguments.dataset
    if taps is None:
        found = [client.estimate(network, dataset, **options)]
    else:
        found = client.estimate(network, dataset, taps=taps, **options)
    columns = (
        "pack",
        "cached",
        "rows",
        "known",
        "to compute",
        "row",
        "size",
        "time",
        "measured on",
    )
    out.listing(found, columns, _estimate_row)


def _estimate_row(found: Estimate) -> tuple[object, ...]:
    return (
        found.pack_id,
        found.cached,
        found.rows,
        found.rows_cached,
        found.rows_to_compute,
        None if found.row_shape is None else shape(found.row_shape),
        None if found.bytes is None else size(found.bytes),
        None if found.seconds is None else duration(found.seconds),
        found.measured_on,
    )


def show_all(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    given = vars(arguments)
    found = client.jobs(
        state=given.get("state"), kind=given.get("kind"), limit=given.get("limit", 50)
    )
    columns = ("job", "kind", "state", "progress", "pack", "created", "problem")
    out.listing(found, columns, _job_row)


def _job_row(job: Job) -> tuple[object, ...]:
    progress = job.progress
    done, total = progress.get("rows_done"), progress.get("rows_total")
    return (
        job.id,
        job.kind,
        job.state,
        f"{done} of {total}" if done is not None and total else done,
        job.pack_id,
        job.created,
        _problem(job),
    )


def _problem(job: Job) -> object:
    if job.error is not None:
        return job.error.get("detail")
    return "" if job.next_try is None else fault_of(job)


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    job = client.job(arguments.job_id)
    out.record(job, _details(job))


def _details(job: Job) -> Iterator[tuple[str, object]]:
    values = {field.name: getattr(job, field.name) for field in dataclasses.fields(job)}
    del values["attempts"]
    values["submitters"] = ", ".join(job.submitters)
    yield from values.items()
    for attempt in job.attempts:
        yield f"attempt {attempt.attempt}", ", ".join(_attempt(attempt))


def _attempt(attempt: Attempt) -> Iterator[str]:
    seconds = ((attempt.ended or datetime.now(UTC)) - attempt.began).total_seconds()
    yield from (attempt.worker, attempt.outcome, duration(max(0.0, seconds)))
    if attempt.error is not None:
        yield str(attempt.error.get("detail"))


def cancel(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    job = client.cancel(arguments.job_id, force=arguments.force)
    if job.goes_on_for_others:
        count = len(job.submitters)
        others = "1 other still wants" if count == 1 else f"{count} others still want"
        out.line(job, f"job {job.id}: withdrawn; {others} it")
    else:
        out.line(job, f"job {job.id} is {'being cancelled' if job.cancelling else job.state}")
