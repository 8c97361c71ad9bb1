"""From an empty store to two compared heads, by hand."""

from __future__ import annotations

import re

import pytest

from cache.store import Store
from tests.browser.looking import Looking
from tests.serving import worker_running


def test_from_an_empty_store_to_a_compared_head(looking: Looking, store: Store) -> None:
    page = looking.page
    looking.open("/", "Packs")
    looking.sees("Nothing is cached yet")
    looking.picture("1-empty")
    with worker_running(store):
        page.get_by_role("link", name="Datasets").click()
        looking.press("Register digits")
        looking.sees("1,797")
        looking.picture("2-datasets")

        page.get_by_role("link", name="Submit", exact=True).click()
        looking.choose("Network", "squeezenet1_1")
        looking.choose("Dataset", "digits")
        looking.choose("Transform", "stretch: straight to the input size")
        page.get_by_label("Size in pixels").fill("64")
        page.get_by_label("Weights").fill("random:1")
        page.get_by_label("Images a class").fill("30")
        page.get_by_label("Percent of train to move to validation").fill("25")
        page.get_by_role("group", name="What it costs").get_by_text("To compute").wait_for()
        looking.sees("How long it takes is known after")
        looking.picture("3-submit")
        looking.press("Extract features")
        looking.sees_heading("Extract features")
        looking.picture("4-job")
        page.get_by_text("succeeded").first.wait_for(timeout=60_000)
        page.get_by_role("link", name=re.compile(r"^[0-9a-f]{12}-[0-9a-f]{12}$")).click()

        looking.sees_heading("squeezenet1_1 on digits")
        looking.sees("A row's norm")
        looking.picture("5-pack")
        _look_at_the_map(looking)
        pack = page.url
        for method in ("linear: softmax regression", "centroid: nearest mean"):
            looking.choose("Method", method)
            looking.press("Train a head")
            page.wait_for_url(re.compile("/(jobs|heads)/"))
            if "/jobs/" in page.url:
                page.get_by_role("link", name="head", exact=True).click(timeout=60_000)
            looking.sees_heading(f"{method.partition(':')[0]} of squeezenet1_1 on digits")
            looking.picture(f"7-head-{method.partition(':')[0]}")
            page.goto(pack)
        page.get_by_role("link", name="Heads").click()
        page.get_by_role("checkbox").nth(1).wait_for()
        for box in page.get_by_role("checkbox").all():
            box.check()
        looking.follow("Compare the two")
        looking.sees("McNemar")
        looking.picture("8-compared")
        page.get_by_role("link", name="Jobs").click()
        looking.sees("Train a head")
        looking.picture("9-jobs")
        page.get_by_role("link", name="Workers").click()
        looking.sees("waits for work")
        looking.picture("10-workers")


def _look_at_the_map(looking: Looking) -> None:
    page = looking.page
    looking.press("Show the map")
    drawn = page.get_by_role("application")
    drawn.wait_for(timeout=60_000)
    box = drawn.bounding_box()
    page.get_by_role("switch", name="Draw a lasso").check()
    corners = [(0.1, 0.02), (0.9, 0.02), (0.9, 0.98), (0.1, 0.98)]
    for number, (across, down) in enumerate(corners):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        if not number:
            page.mouse.down()
    page.mouse.up()
    page.get_by_text("rows chosen").wait_for()
    looking.picture("6-map")
    looking.press("Choose none")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1360])
def test_every_view_can_be_used_by_everybody(looking: Looking, scheme: str, width: int) -> None:
    looking.page.emulate_media(color_scheme=scheme)
    looking.page.set_viewport_size({"width": width, "height": 844})
    for path, heading in (
        ("/", "Packs"),
        ("/submit", "Submit"),
        ("/jobs", "Jobs"),
        ("/heads", "Heads"),
        ("/compare", "Compare heads"),
        ("/datasets", "Datasets"),
        ("/networks", "Networks"),
        ("/workers", "Workers"),
        ("/nowhere", "There is no such view"),
    ):
        looking.open(path, heading)
        looking.page.wait_for_load_state("load")
        looking.picture(f"{path.strip('/') or 'packs'}")
        wide = looking.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is wider than the window"
