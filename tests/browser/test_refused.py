"""What each view says when the service refuses what it needs."""

from __future__ import annotations

import pytest

from tests.browser.looking import Looking

TITLES = {
    401: "You are not signed in",
    429: "Too much at once",
    503: "A part of the service is away",
}


@pytest.mark.parametrize(
    ("status", "path", "heading", "calls", "then"),
    [
        (401, "/jobs", "Jobs", "**/v1/jobs?*", "No job has run yet"),
        (429, "/heads", "Heads", "**/v1/heads?*", "No head is trained yet"),
        (503, "/datasets", "Datasets", "**/v1/datasets?*", "No dataset is registered yet"),
        (401, "/networks", "Networks", "**/v1/networks", "squeezenet1_1"),
        (503, "/workers", "Workers", "**/v1/overview", "No worker is alive"),
    ],
)
def test_a_view_says_why_it_is_empty_and_tries_again(
    looking: Looking, status: int, path: str, heading: str, calls: str, then: str
) -> None:
    enough = looking.refuse(calls, status)
    looking.open(path, heading)
    alert = looking.page.get_by_role("alert").filter(has_text=TITLES[status])
    alert.wait_for()
    assert "It is so." in alert.inner_text()
    assert "Do this." in alert.inner_text()
    assert looking.page.get_by_text(then).count() == 0, "a refusal is not taken for nothing"
    looking.picture("refused")
    enough.append(True)
    alert.get_by_role("button", name="Try again").click()
    looking.sees(then)
    alert.wait_for(state="detached")


def test_a_pack_that_is_refused_says_so_and_comes_back(looking: Looking) -> None:
    looking.refuse("**/v1/packs/*", 503)
    looking.page.goto("/packs/000000000000-000000000000")
    alert = looking.page.get_by_role("alert").filter(has_text=TITLES[503])
    alert.wait_for()
    looking.picture("refused")


def test_a_refused_act_says_so_and_can_be_done_again(looking: Looking) -> None:
    page = looking.page
    enough = looking.refuse("**/v1/datasets", 429)
    looking.open("/datasets", "Datasets")
    looking.press("Register digits")
    alert = page.get_by_role("alert").filter(has_text=TITLES[429])
    alert.wait_for()
    looking.picture("refused")
    enough.append(True)
    looking.press("Register digits")
    alert.wait_for(state="detached")
