"""Without a mouse: from the first view to a submitted job; where the focus is, it is seen."""

from __future__ import annotations

import json
from typing import Any

import httpx

from cache.store import Store
from tests.browser.looking import Looking
from tests.serving import worker_running
from tests.talking import keep_pack

FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  const seen = [one, one.parentElement, one.nextElementSibling].filter(Boolean).some((near) => {
    const { outlineStyle, outlineWidth } = getComputedStyle(near);
    return outlineStyle !== "none" && parseFloat(outlineWidth) > 0;
  });
  const accent = document.createElement("i");
  accent.style.color = getComputedStyle(document.documentElement).getPropertyValue("--page-accent");
  document.body.append(accent);
  const bordered = style.borderTopColor === getComputedStyle(accent).color;
  accent.remove();
  const label = one.labels?.[0]?.innerText ?? "";
  return {
    name: (one.getAttribute("aria-label") ?? (label || one.innerText || one.tagName)).trim(),
    seen: seen || bordered,
    within: box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight,
    html: one.outerHTML.slice(0, 200),
  };
}"""


def focused(page: Any) -> dict[str, Any]:
    """What has the focus, which has to be seen."""
    found: dict[str, Any] = page.evaluate(FOCUSED)
    assert found["seen"], f"nothing shows that this has the focus: {found}"
    assert found["within"], f"this has the focus and is outside of the window: {found}"
    return found


def tab_to(page: Any, name: str, key: str = "Tab") -> None:
    for _ in range(60):
        page.keyboard.press(key)
        if focused(page)["name"].startswith(name):
            return
    raise AssertionError(f"{key} does not lead to {name}")


def test_from_the_first_view_to_a_job_without_a_mouse(
    looking: Looking, store: Store, url: str
) -> None:
    page, keys = looking.page, looking.page.keyboard
    source = {"kind": "builtin", "name": "digits"}
    with worker_running(store):
        httpx.post(f"{url}/v1/datasets", json={"name": "digits", "source": source}, timeout=60)
    looking.open("/", "Packs")
    keys.press("Tab")
    assert focused(page)["name"] == "To the content"
    looking.picture("skip")
    keys.press("Enter")
    tab_to(page, "Extract features")
    keys.press("Shift+Tab")
    tab_to(page, "Extract features")
    keys.press("Enter")
    looking.sees_heading("Submit")
    assert focused(page)["name"] == "Submit", "the focus goes with the view"
    looking.picture("arrived")
    tab_to(page, "Network")
    keys.type("squeezenet1_1")
    keys.press("ArrowDown")
    keys.press("Enter")
    tab_to(page, "Dataset")
    keys.press("ArrowDown")
    keys.press("Enter")
    tab_to(page, "choose files")
    tab_to(page, "Transform")
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    keys.press("Enter")
    tab_to(page, "Weights")
    keys.press("Control+a")
    keys.type("random:0")
    looking.picture("filled")
    tab_to(page, "Extract features")
    asked: list[Any] = []
    page.on("request", lambda one: asked.append(one) if one.url.endswith("/v1/jobs") else None)
    keys.press("Enter")
    looking.sees_heading("Extract features")
    request = json.loads(next(one for one in asked if one.method == "POST").post_data)
    assert request["network"] == "squeezenet1_1"
    assert request["dataset"] == "digits"
    assert request["transform"]["preset"] == "stretch"
    assert request["weights"] == "random:0"
    tab_to(page, "Cancel")
    keys.press("Enter")
    page.get_by_text("cancelled").first.wait_for()
    looking.picture("job")


def test_a_dialog_keeps_the_focus_and_gives_it_back(looking: Looking, store: Store) -> None:
    page, keys = looking.page, looking.page.keyboard
    keep_pack(store, "000000000000-0123456789ab")
    looking.open("/", "Packs")
    looking.sees("1 to 1 of 1")
    tab_to(page, "Choose resnet18")
    keys.press("Space")
    tab_to(page, "Delete…", "Shift+Tab")
    keys.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.wait_for_function("document.activeElement.innerText === 'Keep them'")
    names = []
    for _ in range(4):
        keys.press("Tab")
        names.append(focused(page)["name"])
    assert "Keep them" in names
    assert all(name in ("Keep them", "Delete 1 pack", "Close", "BUTTON") for name in names), names
    keys.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_function("document.activeElement.innerText === 'Delete…'")


def test_a_closed_menu_on_a_phone_takes_no_focus(looking: Looking) -> None:
    page, keys = looking.page, looking.page.keyboard
    page.set_viewport_size({"width": 390, "height": 844})
    looking.open("/", "Packs")
    names = []
    for _ in range(8):
        keys.press("Tab")
        names.append(focused(page)["name"])
    assert "Jobs" not in names
    page.get_by_role("button", name="Open the menu").focus()
    keys.press("Enter")
    tab_to(page, "Jobs")
    looking.picture("menu")
    keys.press("Enter")
    looking.sees_heading("Jobs")
    assert focused(page)["name"] == "Jobs"
