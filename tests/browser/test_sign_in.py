"""A service with keys asks for one, and then goes where one wanted to go."""

from __future__ import annotations

import httpx

from tests.browser.looking import Looking


def test_one_signs_in_where_one_wanted_to_go_and_signs_out(looking: Looking, url: str) -> None:
    page = looking.page
    with httpx.Client(base_url=url, trust_env=False) as http:
        admin = http.post("/v1/keys", json={"team": "ops", "scope": "admin"}).json()["key"]
        http.headers["Authorization"] = f"Bearer {admin}"
        key = http.post("/v1/keys", json={"team": "owls", "scope": "submit"}).json()["key"]
    looking.expected += ["401"]
    page.goto("/datasets")
    looking.sees("This service asks for your team's key.")
    looking.picture("asked")
    page.get_by_label("Key", exact=True).fill("fp_wrong")
    looking.press("Sign in")
    page.get_by_role("alert").wait_for()
    page.get_by_label("Key", exact=True).fill(key)
    looking.press("Sign in")
    looking.sees_heading("Datasets")
    assert page.url.endswith("/datasets")
    page.get_by_text("owls", exact=True).wait_for()
    looking.picture("inside")
    assert key not in page.evaluate("document.cookie + JSON.stringify(localStorage)")
    looking.follow("Submit")
    page.get_by_role("switch", name="Private").wait_for()
    looking.picture("submit")
    looking.press("Sign out")
    looking.sees("This service asks for your team's key.")
    assert page.url.endswith("/submit")
