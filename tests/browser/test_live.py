"""A job while it really runs: watched, cancelled, gone on with; the service restarted meanwhile."""

from __future__ import annotations

import re
from typing import Any

import httpx

from cache.store import Store
from tests.browser.looking import Looking
from tests.browser.test_away import running
from tests.processes import free_port
from tests.serving import worker_running

SLOW = {
    "network": "resnet50",
    "dataset": "digits",
    "weights": "random:0",
    "tap": {"layer": "layer4", "pool": "none"},
    "transform": {"preset": "stretch", "size": 160},
    "view": {"per_class": 25},
}
"""250 images, too few to choose an engine for; a row is large, so that a shard has only 32."""

FARTHER = "(rows) => Number(document.body.innerText.match(/(\\d+) of 250 rows/)?.[1]) > rows"


def submit(url: str) -> dict[str, Any]:
    source = {"kind": "builtin", "name": "digits"}
    patient = {"Prefer": "wait=60"}
    registered = {"name": "digits", "source": source}
    httpx.post(f"{url}/v1/datasets", json=registered, headers=patient, timeout=70)
    reply = httpx.post(f"{url}/v1/jobs", json=SLOW)
    assert reply.status_code == 202, reply.text
    job: dict[str, Any] = reply.json()
    return job


def rows_shown(page: Any) -> int:
    words = page.get_by_text(re.compile(r"extracting · [\d,]+ of 250 rows")).first
    words.wait_for(timeout=60_000)
    found = re.search(r"([\d,]+) of 250", words.inner_text())
    assert found
    return int(found[1].replace(",", ""))


def test_a_running_job_is_watched_cancelled_and_gone_on_with(
    looking: Looking, store: Store, url: str
) -> None:
    page = looking.page
    with worker_running(store):
        job = submit(url)
        looking.open(f"/jobs/{job['id']}", "Extract features")
        rows_shown(page)
        page.get_by_text(re.compile(r"\d images/s · .+ left$")).first.wait_for()
        looking.sees("Limited by the network itself")
        curve = page.get_by_role("img", name=re.compile(r"^Images per second.+at the end"))
        curve.wait_for()
        first = rows_shown(page)
        looking.picture("running")
        page.wait_for_function("() => document.querySelectorAll('.chart circle').length >= 3")
        page.wait_for_function(FARTHER, arg=first)
        done = rows_shown(page)
        assert done > first > 0
        share = page.get_by_role("progressbar").get_attribute("aria-valuenow")
        assert abs(float(share) - 100 * done / 250) < 20
        looking.press("Cancel")
        page.get_by_text("cancelled").first.wait_for(timeout=20_000)
        looking.picture("cancelled")

        looking.press("Try again")
        page.wait_for_url(lambda address: job["id"] not in address)
        again = rows_shown(page)
        looking.picture("again")
        page.get_by_text("succeeded").first.wait_for(timeout=240_000)
        page.get_by_role("link", name=job["pack_id"]).click()
        looking.sees_heading("resnet50 on digits")
        assert again >= first, "what was done before the cancel is not done again"


def test_a_job_is_followed_through_a_restart_of_the_service(looking: Looking, store: Store) -> None:
    looking.expected = ["net::ERR", "Failed to load resource"]
    page, port = looking.page, free_port()
    with worker_running(store):
        with running(store, port):
            job = submit(f"http://127.0.0.1:{port}")
            page.goto(f"http://127.0.0.1:{port}/jobs/{job['id']}")
            before = rows_shown(page)
        page.get_by_text("The service does not answer").first.wait_for(timeout=20_000)
        looking.sees_heading("Extract features")
        assert rows_shown(page) >= before, "what was seen before stays"
        looking.picture("away")
        with running(store, port):
            page.get_by_text("It may be restarting").wait_for(state="detached", timeout=20_000)
            page.wait_for_function(FARTHER, arg=before)
            looking.picture("back")
            page.goto("about:blank")
