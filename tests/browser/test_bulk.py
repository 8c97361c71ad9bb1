"""Many packs at once: chosen, pinned, deleted, and one that somebody else deleted meanwhile."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from cache.store import Store
from tests.browser.looking import Looking
from tests.talking import keep_pack

IDS = [f"{number:012x}-0123456789ab" for number in range(6)]


@pytest.fixture
def boxes(looking: Looking, store: Store) -> Any:
    """The checkboxes of six packs, newest first, which is the last of ``IDS``."""
    for pack_id in IDS:
        keep_pack(store, pack_id)
    looking.open("/", "Packs")
    looking.sees("1 to 6 of 6")
    return looking.page.get_by_role("row").get_by_role("checkbox", name="Choose resnet18")


def test_a_range_is_chosen_pinned_and_deleted(looking: Looking, boxes: Any, url: str) -> None:
    page = looking.page
    boxes.nth(1).check()
    boxes.nth(4).click(modifiers=["Shift"])
    looking.sees("4 packs chosen")
    assert [box.is_checked() for box in boxes.all()] == [False, True, True, True, True, False]
    boxes.nth(3).click(modifiers=["Shift"])
    looking.sees("2 packs chosen")
    looking.picture("chosen")
    looking.press("Pin")
    looking.sees("2 packs pinned")
    page.get_by_role("table").get_by_text("pinned", exact=True).nth(1).wait_for()
    page.get_by_role("combobox", name="State").click()
    page.get_by_role("option", name="Pinned").click()
    looking.sees("1 to 2 of 2")
    looking.press("Clear")
    looking.sees("1 to 6 of 6")

    page.get_by_role("checkbox", name="Choose all of this page").check()
    looking.sees("6 packs chosen")
    boxes.nth(0).uncheck()
    looking.press("Delete…")
    dialog = page.get_by_role("dialog", name="Delete 5 packs?")
    dialog.wait_for()
    looking.picture("asked")
    dialog.get_by_role("button", name="Keep them").click()
    dialog.wait_for(state="detached")
    assert len(_kept(url)) == 6
    looking.press("Delete…")
    dialog.get_by_role("button", name="Delete 5 packs").click()
    looking.sees("5 packs deleted")
    looking.sees("1 to 1 of 1")
    assert page.evaluate("document.activeElement.textContent") == "5 packs deleted"
    looking.picture("deleted")
    assert _kept(url) == [IDS[5]]


def test_a_pack_that_somebody_else_deleted_is_named(
    looking: Looking, boxes: Any, store: Store, url: str
) -> None:
    page = looking.page
    boxes.nth(0).check()
    boxes.nth(1).check()
    httpx.delete(f"{url}/v1/packs/{IDS[5]}").raise_for_status()
    looking.press("Delete…")
    page.get_by_role("dialog").get_by_role("button", name="Delete 2 packs").click()
    looking.sees("1 pack deleted")
    alert = page.get_by_role("alert")
    assert IDS[5] in alert.inner_text()
    looking.sees("1 to 4 of 4")
    looking.picture("named")
    boxes.nth(0).check()
    looking.sees("1 pack chosen")
    alert.wait_for(state="detached")
    looking.press("Choose none")

    httpx.delete(f"{url}/v1/packs/{IDS[3]}").raise_for_status()
    page.get_by_role("link", name="resnet18").first.click()
    looking.expected = ["status of 404"]
    alert = page.get_by_role("alert").filter(has_text="It is not there")
    alert.wait_for()
    assert IDS[3] in alert.inner_text()
    looking.picture("gone")


def _kept(url: str) -> list[str]:
    return [pack["pack_id"] for pack in httpx.get(f"{url}/v1/packs").json()["items"]]
