"""What a test sees of the page: pictures, the browser's complaints, axe's findings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SERIOUS = ("serious", "critical")


class Looking:
    """One page. ``complaints`` are errors in the console; ``expected`` parts of them are none."""

    def __init__(self, page: Any, folder: Path, axe: str, name: str) -> None:
        self.page = page
        self.expected: list[str] = []
        self._said: list[str] = []
        self._folder = folder
        self._axe = axe
        self._name = name
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._said.append(str(error)))

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self._said.append(f"{message.text} {message.location.get('url', '')}")

    @property
    def complaints(self) -> list[str]:
        return [said for said in self._said if not any(known in said for known in self.expected)]

    def picture(self, name: str) -> None:
        """Keep a picture, and let axe look for what some people could not use."""
        path = self._folder / f"{self._name}-{name}.png"
        self.page.screenshot(path=path, animations="disabled")
        self.page.evaluate(self._axe)
        found = self.page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        bad = [(one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in SERIOUS]
        assert bad == [], f"{name}: {bad}"

    def open(self, path: str, heading: str) -> None:
        """Go to a view by its address, as a deep link does."""
        self.page.goto(path)
        self.sees_heading(heading)

    def sees_heading(self, heading: str) -> None:
        self.page.get_by_role("heading", name=heading, level=1).wait_for()

    def sees(self, text: str) -> None:
        self.page.get_by_text(text).first.wait_for()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def refuse(self, calls: str, status: int) -> list[Any]:
        """Calls are refused until the list that this answers has something in it."""
        self.expected = [f"status of {status}"]
        enough: list[Any] = []

        def answer(route: Any) -> None:
            if enough:
                route.continue_()
                return
            problem = {"status": status, "detail": "it is so", "remedy": "do this"}
            route.fulfill(
                status=status,
                content_type="application/problem+json",
                headers={"Retry-After": "0"},
                body=json.dumps(problem),
            )

        self.page.route(calls, answer)
        return enough

    def choose(self, label: str, option: str) -> None:
        """Open a list, type, and take what is offered."""
        field = self.page.get_by_role("combobox", name=label, exact=True).or_(
            self.page.get_by_role("textbox", name=label, exact=True)
        )
        field.first.click()
        self.page.get_by_role("option", name=option).first.click()
