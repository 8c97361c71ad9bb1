"""How soon something is there: many packs, many points, few bytes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from cache.catalogue import Catalogue
from cache.database import Database
from cache.store import Store
from tests.browser.looking import Looking
from tests.test_catalogue import pack_row

FIRST_LOAD_BYTES = 500_000
FIRST_TABLE_MS = 1000
LOADS = 8
"""At most, each with an empty cache. The quickest counts: what slows some is the machine."""

STANDS = """
new MutationObserver((_, observer) => {
    if (!document.querySelector('tbody tr')) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => {
        document.documentElement.dataset.stands = performance.now();
    }));
}).observe(document, { childList: true, subtree: true });
"""
"""When the table's first rows were painted, in milliseconds since the page was asked for."""


@pytest.fixture
def many(store: Store, url: str) -> None:
    database = Database(f"sqlite:///{store.root / 'featurepack.db'}")
    catalogue = Catalogue(database)
    names = ("vgg16", "resnet50", "mobilenet_v2", "alexnet")
    with database.write() as connection:
        for number in range(5000):
            row = pack_row(f"{number:012x}-0123456789ab", network=names[number % 4], hits=number)
            catalogue.add_pack(connection, row)
    database.close()


def test_5000_packs_are_there_soon_and_are_searched_smoothly(looking: Looking, many: None) -> None:
    page = looking.page
    page.add_init_script(STANDS)
    page.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
    shown: list[float] = []
    while len(shown) < LOADS and min(shown, default=FIRST_TABLE_MS) >= FIRST_TABLE_MS:
        page.goto("/")
        page.get_by_text("1 to 50 of 5,000").wait_for()
        shown.append(float(page.locator("html[data-stands]").get_attribute("data-stands")))
    looking.picture("many")
    page.evaluate(
        """() => { window.longest = 0; new PerformanceObserver((list) => {
        for (const one of list.getEntries())
            window.longest = Math.max(window.longest, one.duration);
        }).observe({ type: 'event', durationThreshold: 16 }); }"""
    )
    page.get_by_role("searchbox", name="Search").press_sequentially("resnet", delay=60)
    page.get_by_text("of 1,250").wait_for()
    longest = page.evaluate("window.longest")
    page.get_by_role("button", name="Hits").click()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("51 to 100 of 1,250").wait_for()
    assert "sort=hits" in page.url
    page.reload()
    page.get_by_text("51 to 100 of 1,250").wait_for()
    print(f"first table {[round(one) for one in shown]} ms, longest event {longest:.0f} ms")
    assert min(shown) < FIRST_TABLE_MS
    assert longest < 400


def test_packs_are_chosen_one_by_one_by_ranges_and_by_pages(looking: Looking, many: None) -> None:
    page = looking.page
    page.goto("/?sort=hits")
    boxes = page.get_by_role("checkbox", name=re.compile("^Choose .* on birds"))
    boxes.nth(1).click()
    looking.sees("1 pack chosen")
    boxes.nth(4).click(modifiers=["Shift"])
    looking.sees("4 packs chosen")
    boxes.nth(2).click()
    looking.sees("3 packs chosen")
    looking.picture("some")
    all_of_page = page.get_by_role("checkbox", name="Choose all of this page")
    assert all_of_page.evaluate("(box) => box.indeterminate")
    all_of_page.click()
    looking.sees("50 packs chosen")
    looking.press("Next")
    page.get_by_text("51 to 100").wait_for()
    boxes.nth(0).click()
    looking.sees("51 packs chosen")
    looking.press("Pin")
    looking.sees("51 packs pinned")
    page.get_by_text("pinned", exact=True).first.wait_for()


def test_100000_points_are_drawn_soon(looking: Looking, many: None) -> None:
    count = 100_000
    random = np.random.default_rng(0)
    kinds = np.dtype([("x", "<f4"), ("y", "<f4"), ("row", "<u4"), ("label", "<i4")])
    points_N = np.zeros(count, kinds)
    points_N["label"] = np.arange(count) % 10
    points_N["x"] = random.normal(points_N["label"], 1)
    points_N["y"] = random.normal(points_N["label"] % 3, 1)
    points_N["row"] = np.arange(count)

    def answer(route: Any) -> None:
        route.fulfill(status=200, content_type="application/octet-stream", body=points_N.tobytes())

    page = looking.page
    page.route("**/map?*", answer)
    looking.expected = ["Failed to load resource"]  # the pack's file is made up
    page.goto("/packs/000000000000-0123456789ab")
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert not any("MapPanel" in name for name in loaded), "the map's code is loaded when shown"
    looking.press("Show the map")
    page.get_by_role("application").wait_for()
    spent = None
    while spent is None:
        page.wait_for_timeout(50)
        spent = page.evaluate(
            """() => {
            const at = (name) => performance.getEntriesByName(name)[0]?.startTime;
            return at("map-drawn") === undefined ? null : at("map-drawn") - at("map-arrived");
            }"""
        )
    page.wait_for_timeout(300)
    page.get_by_role("application").scroll_into_view_if_needed()
    looking.picture("map")
    print(f"first picture {spent:.0f} ms after its data")
    assert spent < 2000


def test_the_first_load_is_small_and_fetches_nothing_from_outside(looking: Looking) -> None:
    asked: list[str] = []
    looking.page.on("request", lambda request: asked.append(request.url))
    looking.open("/", "Packs")
    looking.sees("Nothing is cached yet")
    origin = looking.page.evaluate("location.origin")
    assert [url for url in asked if not url.startswith((origin, "data:"))] == []
    sizes = looking.page.evaluate(
        "[...performance.getEntriesByType('navigation'), "
        "...performance.getEntriesByType('resource')].map((one) => one.encodedBodySize)"
    )
    print(f"first load {sum(sizes):,} bytes")
    assert sum(sizes) < FIRST_LOAD_BYTES
