"""Images dropped on the page: sent with progress, refused in words, extracted from."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from cache.store import Store
from tests.browser.looking import Looking
from tests.pictures import png
from tests.serving import worker_running, zipped

DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name));
  return carried;
}"""
SLOW_BYTES_PER_SECOND = 150_000


def drop(page: Any, name: str, data: bytes) -> None:
    """What the browser does with a file that is let go over the field."""
    encoded = base64.b64encode(data).decode()
    carried = page.evaluate_handle(DROP, [name, encoded])
    field = page.locator(".drop")
    field.dispatch_event("dragover", {"dataTransfer": carried})
    assert field.get_attribute("data-over") == "true"
    field.dispatch_event("drop", {"dataTransfer": carried})
    assert field.get_attribute("data-over") is None


def archive(side: int) -> bytes:
    """PNG images as ``split/class/file``."""
    random = np.random.default_rng(0)
    return zipped(
        {
            f"{split}/{kind}/{number:02}.png": png(random, side, shade)
            for split, count in (("train", 12), ("validation", 6))
            for shade, kind in enumerate(("owls", "herons"))
            for number in range(count)
        }
    )


def incoming(store: Store) -> list[Path]:
    return list(store.new_incoming().parent.iterdir())


def test_an_archive_is_dropped_sent_and_extracted_from(looking: Looking, store: Store) -> None:
    page = looking.page
    with worker_running(store):
        looking.open("/submit", "Submit")
        images = archive(128)
        drop(page, "My birds (2).zip", images)
        name = page.get_by_role("textbox", name="Name of the dataset")
        assert name.input_value() == "My-birds-2"
        name.fill("birds")
        looking.picture("dropped")
        slow = page.context.new_cdp_session(page)
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1}
        upload = {"uploadThroughput": SLOW_BYTES_PER_SECOND}
        slow.send("Network.emulateNetworkConditions", limits | upload)
        page.get_by_role("button", name=re.compile("^Upload")).click()
        sent = page.get_by_text(re.compile(r"^[1-9]\d? % sent$"))
        sent.wait_for()
        looking.picture("sending")
        slow.send("Network.emulateNetworkConditions", limits | {"uploadThroughput": -1})
        looking.sees("36 images in 2 classes: train 24, validation 12")
        looking.sees("birds is there")
        looking.picture("there")
        looking.choose("Network", "squeezenet1_1")
        looking.choose("Transform", "stretch: straight to the input size")
        page.get_by_label("Size in pixels").fill("64")
        page.get_by_label("Weights").fill("random:0")
        looking.sees("A row has 512 values. How long it takes is known after")
        looking.press("Extract features")
        page.get_by_text("succeeded").first.wait_for(timeout=60_000)
        page.get_by_role("link", name=re.compile(r"^[0-9a-f]{12}-[0-9a-f]{12}$")).click()
        looking.sees_heading("squeezenet1_1 on birds")
    assert incoming(store) == []


def test_an_upload_can_be_stopped(looking: Looking, store: Store, url: str) -> None:
    page = looking.page
    looking.open("/submit", "Submit")
    drop(page, "birds.zip", archive(128))
    slow = page.context.new_cdp_session(page)
    slow.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 50_000},
    )
    page.get_by_role("button", name=re.compile("^Upload")).click()
    looking.press("Stop")
    page.get_by_role("progressbar", name="Upload").wait_for(state="detached")
    page.get_by_role("button", name=re.compile("^Upload")).wait_for()
    assert httpx.get(f"{url}/v1/datasets").json()["items"] == []
    assert httpx.get(f"{url}/v1/jobs").json()["items"] == []
    assert incoming(store) == []


def test_a_wrong_file_is_refused_in_words_and_leaves_nothing(
    looking: Looking, store: Store, url: str
) -> None:
    looking.expected = ["Failed to load resource"]
    page = looking.page
    with worker_running(store):
        looking.open("/submit", "Submit")
        wrong: list[tuple[str, bytes, Callable[[str], bool]]] = [
            ("notes.txt", b"no images", lambda told: "notes.txt" in told),
            ("broken.zip", archive(16)[:3000], lambda told: "cut off" in told),
            ("empty.zip", zipped({"readme.md": b"nothing"}), lambda told: "image" in told),
        ]
        for name, data, told in wrong:
            drop(page, name, data)
            page.get_by_role("button", name=re.compile("^Upload")).click()
            alert = page.locator(".drop").get_by_role("alert")
            alert.wait_for()
            words = alert.inner_text()
            assert told(words), words
            assert "Something went wrong" not in words
            looking.picture(name.partition(".")[0])
        drop(page, "right.zip", archive(16))
        alert.wait_for(state="detached")
    assert httpx.get(f"{url}/v1/datasets").json()["items"] == []
    assert incoming(store) == []
