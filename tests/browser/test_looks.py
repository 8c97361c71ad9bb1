"""Every view with something in it, from phone to wide screen, in light and dark."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.furnished import Furnished
from tests.browser.looking import Looking

SHIFTS = """window.shifts = []; new PerformanceObserver((list) => {
  for (const one of list.getEntries())
    if (!one.hadRecentInput) window.shifts.push([one.value, one.sources.map(({ node }) =>
      node?.outerHTML?.slice(0, 90) ?? String(node?.textContent).slice(0, 60))]);
}).observe({ type: "layout-shift", buffered: true });"""
LARGEST_SHIFT = 0.1
"""What web.dev/articles/cls calls good."""


@pytest.fixture
def url(rooms: Furnished) -> str:
    return rooms.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1920, 1080)])
def test_views_with_something_in_them(
    looking: Looking, rooms: Furnished, scheme: str, width: int, height: int
) -> None:
    page = looking.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    page.add_init_script(SHIFTS)
    linear, mlp = (rooms.heads[name]["head_id"] for name in ("linear", "mlp"))
    name = "squeezenet1_1 on birds"
    looking.open("/", "Packs")
    page.get_by_role("checkbox").nth(2).check()
    _look(looking, "packs")
    looking.open(f"/packs/{rooms.pack['pack_id']}", name)
    looking.sees("A row's norm")
    _look(looking, "pack")
    looking.press("Show the map")
    page.get_by_role("application").scroll_into_view_if_needed()
    _look(looking, "map")
    looking.open("/submit?network=squeezenet1_1&dataset=birds", "Submit")
    looking.sees("A row has 512 values")
    _look(looking, "submit")
    looking.open("/jobs", "Jobs")
    page.get_by_role("table").wait_for()
    _look(looking, "jobs")
    page.get_by_role("link", name="Train a head:").first.click()
    looking.sees_heading("Train a head")
    _look(looking, "job")
    looking.open("/heads", "Heads")
    page.get_by_role("table").nth(1).wait_for()
    _look(looking, "heads")
    looking.open(f"/heads/{mlp}", f"mlp of {name}")
    looking.sees("Surest mistakes")
    _look(looking, "head")
    page.get_by_role("group", name="Surest mistakes").scroll_into_view_if_needed()
    _look(looking, "mistakes")
    looking.open(f"/compare?left={linear}&right={mlp}", "Compare heads")
    looking.sees("McNemar")
    _look(looking, "compare")


def _look(looking: Looking, name: str) -> None:
    page: Any = looking.page
    page.wait_for_load_state("networkidle")
    looking.picture(name)
    sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert sizes[0] <= sizes[1], f"{name} is wider than the window"
    shifts = page.evaluate("window.shifts")
    total = sum(value for value, _ in shifts)
    assert total < LARGEST_SHIFT, f"{name} jumps by {total:.3f}: {shifts}"
