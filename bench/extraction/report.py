"""Results for people: a table, and what the numbers mean."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

MEANING = {
    "naive": "plain torch: ImageFolder, DataLoader of 32, eval, no_grad, np.save and fsync; "
    "seconds from loaded weights to features on the disk; the faster of 0 and 2 workers counts",
    "naive_kept": "the same with the worker's allocator settings",
    "thingsvision": "thingsvision 2.7 as its README does it, batches of 32; the same seconds",
    "ours": "rows / (finished - started) of the job: loading the weights, extraction, certificate, "
    "sealing and publishing; a job of a few other images went through the network before, in the "
    "same worker, so that the engine is chosen",
    "ours_cold": "the same as the first job of a new worker",
    "forward": "images/s of the worker's engine alone, all lanes busy, a batch in memory",
    "mobilenet_v2_vs_naive": "ours_vs_naive of the work that 'of' names: the median of ours' "
    "images/s (the job's wall clock, see ours) divided by the median of naive's images/s, float32",
    "fraction_of_forward": "ours_fraction_of_forward of that work: the median of "
    "images_per_second in the packs' provenance (from the first image read to the last row "
    "written) divided by the median of forward's images/s, same network, engine and numerics",
    "ratios": "median is the ratio of medians; min and max are the rounds' own ratios",
    "peak_mib": "largest sum of VmHWM over the contender's processes; ours is service and worker; "
    "in a quick run processes stay, so it is that of all turns so far",
    "seconds_with_start": "seconds, and from the start of the processes to loaded weights (naive, "
    "thingsvision) or to readiness (ours)",
    "first_row_seconds": "after the beginning of seconds; ours is told at most twice a second; "
    "None where nobody is told before the end",
}


def show(console: Console, result: dict[str, Any]) -> None:
    """Tables of all work and of scaling."""
    for one in result["work"]:
        console.print(_table(one))
        for name, value in one["ratios"].items():
            console.print(f"  {name}: {value['median']:g} ({value['min']:g} to {value['max']:g})")
        for name, why in one["skipped"].items():
            console.print(f"  {name} was skipped: {why}")
    if result.get("scaling"):
        console.print(_scaling(result["scaling"]))


def _table(one: dict[str, Any]) -> Table:
    work = one["work"]
    table = Table(title=f"{work['name']}: {work['network']}, {work['preset']}", min_width=72)
    table.add_column("contender")
    headings = ("images", "images/s", "min … max", "seconds", "with start", "first row", "MiB")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, of in one["contenders"].items():
        rate, first = of["images_per_second"], of["first_row_seconds"]
        table.add_row(
            name,
            str(of["images"]),
            f"{rate['median']:g}",
            f"{rate['min']:g} … {rate['max']:g}",
            f"{of['seconds']['median']:g}",
            f"{of['seconds_with_start']['median']:g}",
            f"{first['median']:g}" if first else "",
            f"{of['peak_mib']['median']:.0f}",
        )
    return table


def _scaling(sizes: list[dict[str, Any]]) -> Table:
    table = Table(title="rows of 32 × 32 arrays: squeezenet1_1", min_width=72)
    for heading in ("rows", "seconds", "images/s", "MiB", "seconds ×", "MiB ×"):
        table.add_column(heading, justify="right")
    for size in sizes:
        table.add_row(*(f"{value:g}" for value in size.values()))
    return table
