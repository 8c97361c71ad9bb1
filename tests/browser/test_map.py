"""The map of a pack's rows: looked at, hovered, enclosed, moved by keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest

from tests.browser.furnished import Furnished
from tests.browser.looking import Looking

POINTS = np.dtype([("x", "<f4"), ("y", "<f4"), ("row", "<u4"), ("label", "<i4")])
MARGIN = 0.94


@pytest.fixture
def url(rooms: Furnished) -> str:
    return rooms.url


@pytest.fixture
def drawn(looking: Looking, rooms: Furnished) -> Any:
    """The map of the furnished pack, shown."""
    looking.open(f"/packs/{rooms.pack['pack_id']}", "squeezenet1_1 on birds")
    looking.press("Show the map")
    box = looking.page.get_by_role("application")
    box.wait_for()
    box.scroll_into_view_if_needed()
    looking.page.wait_for_function("performance.getEntriesByName('map-drawn').length > 0")
    return box


@pytest.fixture
def places(drawn: Any, rooms: Furnished) -> list[tuple[int, int, float, float]]:
    """Of each point its row, its label and where it stands in the window, loneliest first."""
    path = f"/v1/packs/{rooms.pack['pack_id']}/map?method=pca&format=raw"
    points_N = np.frombuffer(httpx.get(rooms.url + path).content, POINTS)
    box = drawn.bounding_box()
    at_N2 = np.stack([points_N["x"], points_N["y"]], 1)
    low_2, high_2 = at_N2.min(0), at_N2.max(0)
    unit = MARGIN * min(np.array([box["width"], 460]) / (high_2 - low_2))
    at_N2 = (at_N2 - (low_2 + high_2) / 2) * unit * [1, -1]
    at_N2 += [box["x"] + box["width"] / 2, box["y"] + 230]
    apart_NN = np.linalg.norm(at_N2[:, None] - at_N2[None], axis=2)
    np.fill_diagonal(apart_NN, np.inf)
    return [
        (int(points_N["row"][i]), int(points_N["label"][i]), *map(float, at_N2[i]))
        for i in np.argsort(-apart_NN.min(1))
    ]


def test_a_point_that_is_hovered_shows_its_image_and_its_label(
    looking: Looking, rooms: Furnished, places: list[tuple[int, int, float, float]]
) -> None:
    page = looking.page
    for row, label, left, top in places[:3]:
        page.mouse.move(left, top)
        tip = page.get_by_role("tooltip")
        tip.get_by_text(f"row {row}", exact=True).wait_for()
        assert rooms.pack["classes"][label] in tip.inner_text()
        shown = tip.get_by_role("img")
        page.wait_for_function("(image) => image.naturalWidth >= 24", arg=shown.element_handle())
    looking.picture("hovered")
    box = page.get_by_role("application").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    tip.wait_for(state="detached")


def test_a_click_and_a_lasso_list_the_ids_of_rows(
    looking: Looking, rooms: Furnished, places: list[tuple[int, int, float, float]]
) -> None:
    page = looking.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    row, _, left, top = places[0]
    page.mouse.click(left, top)
    looking.sees("1 row chosen")
    (only,) = _listed(page)
    assert only == _row_ids(rooms)[row]
    page.get_by_role("switch", name="Draw a lasso").check()
    box = page.get_by_role("application").bounding_box()
    corners = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]
    for number, (across, down) in enumerate(corners):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        if not number:
            page.mouse.down()
    page.mouse.up()
    middle = box["x"] + box["width"] / 2
    inside = sorted(row for row, _, left, _ in places if left < middle)
    looking.sees(f"{len(inside)} rows chosen")
    assert _listed(page) == [_row_ids(rooms)[row] for row in inside]
    looking.press("Copy: Ids of the rows")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == _listed(page)
    looking.picture("lasso")
    looking.press("Choose none")
    page.get_by_text("rows chosen").wait_for(state="detached")


def _listed(page: Any) -> list[str]:
    lines = page.get_by_label("Ids of the rows", exact=True)
    lines.filter(has_text=re.compile(r"\.png")).wait_for()
    found: list[str] = lines.inner_text().splitlines()
    return found


def _row_ids(rooms: Furnished) -> list[str]:
    answer = httpx.get(f"{rooms.url}/v1/packs/{rooms.pack['pack_id']}/index").json()
    return [row["row_id"] for row in answer["rows"]]


def test_colours_tell_classes_and_what_a_head_gets_right(looking: Looking, drawn: Any) -> None:
    key = looking.page.get_by_role("list", name="Colours")
    assert "herons" in key.inner_text()
    by_class = drawn.screenshot()
    looking.choose("Colour", "right or wrong by linear")
    key.get_by_text("not in validation").wait_for()
    _settle(looking.page)
    judged = drawn.screenshot()
    assert judged != by_class
    looking.picture("judged")
    looking.choose("Colour", "Colour by class")
    key.get_by_text("herons").wait_for()
    looking.page.mouse.move(0, 0)
    looking.page.get_by_text("t-SNE").click()
    looking.sees("180 of 180 rows")
    _settle(looking.page)
    assert drawn.screenshot() not in (by_class, judged)
    looking.picture("tsne")


def test_keys_move_and_zoom_the_map(looking: Looking, drawn: Any) -> None:
    page = looking.page

    def after(act: Callable[[], None]) -> bytes:
        act()
        _settle(page)
        picture: bytes = drawn.screenshot()
        return picture

    whole = after(drawn.focus)
    keys = ("+", "ArrowLeft", "ArrowUp", "-")
    seen = [whole, *(after(partial(page.keyboard.press, key)) for key in keys)]
    assert len(set(seen)) == len(seen), "each key changes the picture"
    assert after(lambda: page.keyboard.press("0")) == whole
    assert after(lambda: page.get_by_role("button", name="Nearer").click()) != whole


def _settle(page: Any) -> None:
    """Until the next picture is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")
