"""What the page says when the service is away, busy, or refuses."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn

from cache.store import Store
from service.app import create_app
from service.settings import ServiceSettings
from tests.browser.looking import Looking
from tests.processes import free_port


@contextmanager
def running(store: Store, port: int) -> Iterator[None]:
    """A service on a port that another one had before."""
    url = f"sqlite:///{store.root / 'featurepack.db'}"
    app = create_app(ServiceSettings(store=store, database_url=url))
    config = uvicorn.Config(app, port=port, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join()


def test_a_restarted_service_is_noticed_and_recovered_from(looking: Looking, store: Store) -> None:
    looking.expected = ["net::ERR", "Failed to load resource"]
    port = free_port()
    page = looking.page
    with running(store, port):
        page.goto(f"http://127.0.0.1:{port}/")
        looking.sees("Nothing is cached yet")
    page.get_by_text("The service does not answer").first.wait_for(timeout=20_000)
    looking.picture("away")
    with running(store, port):
        page.get_by_text("It may be restarting").wait_for(state="detached", timeout=20_000)
        looking.sees("Nothing is cached yet")
        looking.picture("back")
        page.goto("about:blank")


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (401, "You are not signed in"),
        (429, "Too much at once"),
        (503, "A part of the service is away"),
        (500, "Something went wrong"),
    ],
)
def test_a_refusal_is_shown_in_words_and_can_be_tried_again(
    looking: Looking, status: int, title: str
) -> None:
    enough = looking.refuse("**/v1/packs?*", status)
    looking.open("/", "Packs")
    alert = looking.page.get_by_role("alert").filter(has_text=title)
    alert.wait_for()
    assert "It is so." in alert.inner_text()
    assert "Do this." in alert.inner_text()
    looking.picture("refused")
    enough.append(True)
    alert.get_by_role("button", name="Try again").click()
    looking.sees("Nothing is cached yet")
