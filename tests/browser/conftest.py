"""Chromium before the built page, over a real service.

Screenshots are kept in the folder that ``FEATUREPACK_SCREENSHOTS`` names, else in the test's own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cache.store import Store
from service.routes.page import STATIC
from tests.browser.furnished import Furnished, furnished
from tests.browser.looking import Looking
from tests.live import live

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
DRAWING = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--ignore-gpu-blocklist"]
"""WebGL without a graphics card."""

PATIENCE_MS = 60_000
"""Machines that test are busy."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Chromium, without a window, until the last of these tests: while it is there, so is an event
    loop in this thread, and other tests start their own.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="looks at the page with a browser: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("looks at the page with Chromium: apt install chromium")
    if not (STATIC / "index.html").exists() or not AXE.exists():
        pytest.skip("looks at the built page: make dashboard")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=DRAWING)
        yield started
        started.close()


@pytest.fixture
def url(store: Store, browser: Any) -> Iterator[str]:
    """A service over an empty store, without a worker."""
    with live(store) as line:
        yield line.url


@pytest.fixture(scope="package")
def rooms(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    """A store with something in it, which tests only look at."""
    with furnished(tmp_path_factory.mktemp("furnished") / "rooms") as found:
        yield found


@pytest.fixture
def looking(
    browser: Any, url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Looking]:
    """A page of its own, which fails the test for whatever the browser complained about."""
    folder = Path(os.environ.get("FEATUREPACK_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(
        base_url=url, viewport={"width": 1360, "height": 900}, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    seen = Looking(context.new_page(), folder, AXE.read_text("utf-8"), request.node.name)
    yield seen
    context.close()
    assert seen.complaints == []
