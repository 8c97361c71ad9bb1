"""``submit``, ``estimate`` and ``jobs``."""

from __future__ import annotations

import argparse

from featurepack.answers import Estimate, Job, Pack
from featurepack.cli.output import Output, shape, size
from featurepack.cli.parsing import Subcommands, command, group, whole
from featurepack.cli.recipe import add_recipe, options_of
from featurepack.client import Client
from featurepack.progress import duration

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
    for name, run, text in (
        ("show", show, "show a job"),
        ("cancel", cancel, "cancel a job"),
    ):
        parser = command(jobs, name, run, text)
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
        return f"job {found.id} is {found.state}; it builds pack {found.pack_id}"
    broken = f", {len(found.invalid_rows)} images broken" if found.invalid_rows else ""
    return f"pack {found.pack_id}: {shape(found.shape)} {found.dtype}{broken}"


def estimate(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    options, taps = options_of(arguments)
    network, dataset = arguments.network, arguments.dataset
    if taps is None:
        found = [client.estimate(network, dataset, **options)]
    else:
        found = client.estimate(network, dataset, taps=taps, **options)
    columns = ("pack", "cached", "rows", "to compute", "row", "size", "time")
    out.listing(found, columns, _estimate_row)


def _estimate_row(found: Estimate) -> tuple[object, ...]:
    return (
        found.pack_id,
        found.cached,
        found.rows,
        found.rows_to_compute,
        None if found.row_shape is None else shape(found.row_shape),
        None if found.bytes is None else size(found.bytes),
        None if found.seconds is None else duration(found.seconds),
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
        "" if job.error is None else job.error.get("detail"),
    )


def show(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    out.record(client.job(arguments.job_id))


def cancel(client: Client, out: Output, arguments: argparse.Namespace) -> None:
    job = client.cancel(arguments.job_id)
    out.line(job, f"job {job.id} is {'being cancelled' if job.cancelling else job.state}")
