"""Heads by deep link: the table of all, one of them, two side by side."""

from __future__ import annotations

import re

import pytest

from tests.browser.furnished import CLASSES, Furnished
from tests.browser.looking import Looking


@pytest.fixture
def url(rooms: Furnished) -> str:
    return rooms.url


def test_the_table_of_networks_and_datasets_leads_to_heads(
    looking: Looking, rooms: Furnished
) -> None:
    page = looking.page
    looking.open("/heads", "Heads")
    table = page.get_by_role("table", name="Best validation accuracy")
    best = max(head["metrics"]["validation_accuracy"] for head in rooms.heads.values())
    cell = table.get_by_role("row", name="squeezenet1_1").get_by_role("link").first
    cell.wait_for()
    assert cell.inner_text() == f"{100 * best:.1f} %"
    assert table.get_by_role("link").count() == 3, "the fourth pair has no head"
    looking.picture("table")
    looking.choose("Method", "mlp: hidden layers")
    page.wait_for_url("**/heads?method=mlp")
    page.reload()
    page.get_by_role("table", name="Heads", exact=True).wait_for()
    assert page.get_by_role("checkbox").count() == 1
    cell.click()
    looking.sees_heading("linear of squeezenet1_1 on birds")


def test_a_head_shows_how_it_learned_and_where_it_errs(looking: Looking, rooms: Furnished) -> None:
    page = looking.page
    head = rooms.heads["mlp"]
    looking.open(f"/heads/{head['head_id']}", "mlp of squeezenet1_1 on birds")
    curves = page.get_by_role("img", name=re.compile("Learning curves: accuracy.*validation: "))
    curves.wait_for()
    page.get_by_text("loss", exact=True).click()
    page.get_by_role("img", name=re.compile("Learning curves: loss")).wait_for()
    looking.picture("curves")

    evaluation = head["metrics"]["evaluation"]
    matrix = page.get_by_role("img", name=re.compile("Confusion matrix of 5 classes"))
    matrix.scroll_into_view_if_needed()
    box = matrix.bounding_box()
    side = box["width"] / 5
    label, predicted = 0, 3
    page.mouse.move(box["x"] + (predicted + 0.5) * side, box["y"] + (label + 0.5) * side)
    times = evaluation["confusion"][label][predicted]
    looking.sees(f"{CLASSES[0]} taken for {CLASSES[3]}: {times} of 12")
    size = page.get_by_role("slider", name="Size of the matrix")
    size.focus()
    page.keyboard.press("End")
    assert matrix.bounding_box()["width"] > box["width"]
    looking.picture("confusion")
    page.keyboard.press("Home")
    assert matrix.bounding_box()["width"] < box["width"]

    bars = page.get_by_role("group", name="F1 of each class").get_by_role("rowheader")
    by_f1 = sorted(evaluation["per_class"], key=lambda one: one["f1"])
    assert bars.all_inner_texts() == [one["class"] for one in by_f1]
    page.get_by_text("class order").click()
    assert bars.all_inner_texts() == list(CLASSES)
    page.get_by_role("img", name=re.compile("Reliability")).scroll_into_view_if_needed()
    looking.sees("on average")
    mistakes = page.get_by_role("group", name="Surest mistakes")
    mistakes.scroll_into_view_if_needed()
    worst = evaluation["most_wrong"][0]
    assert f"{worst['label']} taken for {worst['predicted']}" in mistakes.inner_text()
    images = mistakes.get_by_role("img")
    assert images.count() == len(evaluation["most_wrong"])
    page.wait_for_function("(one) => one.naturalWidth >= 24", arg=images.first.element_handle())
    looking.picture("mistakes")


def test_two_heads_stand_side_by_side(looking: Looking, rooms: Furnished) -> None:
    page = looking.page
    left, right = rooms.heads["linear"]["head_id"], rooms.heads["centroid"]["head_id"]
    looking.open(f"/compare?left={left}&right={right}", "Compare heads")
    looking.sees("McNemar's exact test")
    fields = [
        page.get_by_role("combobox", name=name, exact=True)
        for name in ("First head", "Second head")
    ]
    page.wait_for_function("(one) => one.value.includes('linear')", arg=fields[0].element_handle())
    assert "centroid" in fields[1].input_value()
    page.get_by_role("group", name="Confusion matrix", exact=True).nth(1).wait_for()
    looking.picture("two")
    looking.choose("Second head", "mlp")
    page.wait_for_url(f"**right={rooms.heads['mlp']['head_id']}")
    page.get_by_role("img", name=re.compile("Learning curves")).wait_for()
