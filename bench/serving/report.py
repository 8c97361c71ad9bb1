"""Results for people: tables, and what the numbers mean."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

MEANING = {
    "client_vs_nginx": "the whole pack into a NumPy array: the rate of featurepack.Client.features "
    "with nothing cached before over that of httpx iter_raw from nginx into np.empty; the ratio of "
    "the medians of all turns; at least 1 is as fast",
    "slice_vs_nginx": "neighbouring rows as raw bytes: p50 of our service over p50 of nginx, which "
    "serves a file of exactly these bytes, both read by the same httpx loop; at most 1 is as fast",
    "scattered_vs_nginx": "the same of scattered rows, asked for by POST /rows",
    "whole": "from asking to the sum of all 8-byte words of the array, so every byte was read; "
    "making the array, and of client the submission, the labels, its own file and the check of "
    "its hash, count (not the disk, for which it does not wait); nginx_by_our_loop is nginx read "
    "past httpx as our client reads, without a file and without a hash; "
    "mb_per_second is features' bytes (10^6) over these seconds; files are the whole HDF5 file",
    "slice, scattered": "from asking to the last byte in an array; a kept connection, one client; "
    "formats are received and not decoded (they were before, to compare the rows)",
    "ratios": "median is the ratio of the medians of all values; min and max are the rounds' own",
    "crowd": "so many processes, a connection each, by turns; the same clients for all, on the "
    "same cores as the servers; refused counts 429s, which are asked again and whose wait is part "
    "of the request; peak memory is that of the server's whole tree of processes, rss with the "
    "pages of mapped files",
    "soak": "our service alone, sizes drawn by weight; memory from before the first request, half "
    "way, with the last answers, and a second later",
}


def show(console: Console, result: dict[str, Any]) -> None:
    """Tables of all measurements, and a sentence for each who took no part."""
    console.print(_whole(result["whole"]))
    for work in ("slice", "scattered"):
        console.print(_latency(work, result[work]))
    for work in ("whole", "slice", "scattered"):
        for name, value in result[work]["ratios"].items():
            spread = f"({value['min']:g} to {value['max']:g})"
            console.print(f"  {work}: {name} {value['median']:g} {spread}")
    console.print(_crowd(result["crowd"]))
    console.print(_soak(result["soak"]))
    for name, why in skipped(result).items():
        console.print(f"  {name} was skipped: {why}", markup=False)


def skipped(result: dict[str, Any]) -> dict[str, str]:
    """Who took no part, in all or in one measurement, and why."""
    found = dict(result["skipped"])
    for work in ("whole", "slice", "scattered"):
        found |= {f"{name} ({work})": why for name, why in result[work]["skipped"].items()}
    return found


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, min_width=72)
    table.add_column(headings[0])
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    return table


def _whole(work: dict[str, Any]) -> Table:
    table = _table("the whole pack into an array", "contender", "MB/s", "min … max", "s", "turns")
    for name, of in work["contenders"].items():
        rate = of["mb_per_second"]
        extremes = f"{rate['min']:g} … {rate['max']:g}"
        row = (f"{rate['median']:g}", extremes, f"{of['seconds']:g}", str(of["turns"]))
        table.add_row(name, *row)
    return table


def _latency(work: str, of: dict[str, Any]) -> Table:
    table = _table(f"{work}, one client", "contender", "p50 ms", "p99 ms", "min ms", "requests")
    for name, found in of["contenders"].items():
        shown = ("p50_ms", "p99_ms", "min_ms", "requests")
        table.add_row(name, *(f"{found[key]:g}" for key in shown))
    return table


def _crowd(turns: list[dict[str, Any]]) -> Table:
    headings = ("clients", "MB/s", "p50 ms", "p99 ms", "rss MiB", "anon. MiB", "429", "errors")
    table = _table("many clients", "work", *headings)
    for of in turns:
        table.add_row(
            f"{of['work']} {of['contender']}",
            str(of["clients"]),
            f"{of['mb_per_second']['median']:g}",
            f"{of.get('p50_ms', float('nan')):g}",
            f"{of.get('p99_ms', float('nan')):g}",
            f"{of['peak_rss_mib']['median']:.0f}",
            f"{of['peak_anonymous_mib']['median']:.0f}",
            str(of["refused"]),
            str(of["error_count"]),
        )
    return table


def _soak(of: dict[str, Any]) -> Table:
    title = f"soak: {of['clients']} clients, {of['seconds']:g} s, {of['mb_per_second']:g} MB/s"
    table = _table(title, "size or moment", "p50 ms", "p99 ms", "requests", "rss MiB", "anon. MiB")
    for name, found in of["sizes"].items():
        table.add_row(name, *(f"{found[key]:g}" for key in ("p50_ms", "p99_ms", "requests")))
    for moment, memory in of["memory"].items():
        sizes = (f"{memory['rss_mib']:g}", f"{memory['anonymous_mib']:g}")
        table.add_row(f"memory at {moment}", "", "", "", *sizes)
    table.caption = (
        f"{of['error_count']} errors, {of['refused']} × 429, "
        f"p99 of small {of['small_p99_to_p50']} × their p50"
    )
    return table
