"""The leaderboard page in a real browser: sorting, filtering, opening, hostile names, phone, dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from helpers.browser import HOSTILE, needs_chromium

pytestmark = needs_chromium
TICK = "getComputedStyle(document.querySelector('.curve svg text')).fill"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def shared(page: Open) -> Any:
    return page()


@pytest.fixture
def tab(shared: Any) -> Any:
    """The leaderboard on a desktop, all rows shown and closed."""
    shared.emulate_media(color_scheme="light")
    shared.get_by_label("Filter rows").fill("")
    shared.get_by_role("tab", name="CPR", exact=True).click()
    return shared


def rows(tab: Any) -> Any:
    return tab.locator("[role=tabpanel]:not([hidden]) tr[data-run]:not([hidden])")


def eventually(tab: Any, expression: str) -> bool:
    """Wait for an expression to hold; the page's policy forbids playwright's own way."""
    return any(tab.evaluate(expression) or tab.wait_for_timeout(50) for _ in range(200))


def column(tab: Any, name: str) -> list[str]:
    return [text.strip() for text in rows(tab).locator(f"td.{name}").all_text_contents()]


def numbers(tab: Any) -> list[float]:
    return [float(text.split()[0]) for text in column(tab, "value")]


def test_one_table_at_a_time(tab: Any) -> None:
    for title in ("CMD", "log-axis CMD", "accuracy", "seconds", "CPR"):
        tab.get_by_role("tab", name=title, exact=True).click()
        assert tab.locator("[role=tabpanel]:visible").count() == 1
        assert tab.locator("[role=tabpanel]:visible table.runs th.value").inner_text() == title
        assert rows(tab).count() == 4


@pytest.mark.parametrize(("title", "best_first"), [("CPR", True), ("CMD", False)])
def test_sorting_starts_with_the_best(tab: Any, title: str, best_first: bool) -> None:
    tab.get_by_role("tab", name=title, exact=True).click()
    header = tab.locator("[role=tabpanel]:visible table.runs th.value button")
    assert numbers(tab) == sorted(
        numbers(tab), reverse=best_first
    )  # the open tab is the sorted one
    order = tab.locator("[role=tabpanel]:visible table.runs th.value").get_attribute("aria-sort")
    assert order == ("descending" if best_first else "ascending")
    header.click()
    assert numbers(tab) == sorted(numbers(tab), reverse=not best_first)
    header.click()
    assert numbers(tab) == sorted(numbers(tab), reverse=best_first)


def test_sorting_by_text_and_keyboard(tab: Any) -> None:
    header = tab.locator("[role=tabpanel]:visible table.runs th.method button")
    header.focus()
    header.press("Enter")
    assert column(tab, "method") == sorted(column(tab, "method"), key=str.lower)


def test_an_open_row_moves_with_its_details(tab: Any) -> None:
    tab.locator("[role=tabpanel]:visible tr[data-run]", has_text="random").click()
    tab.locator("[role=tabpanel]:visible table.runs th.value button").click()
    details = tab.locator("[role=tabpanel]:visible tr.details")
    assert "random" in details.locator("xpath=preceding-sibling::tr[1]").inner_text()


def test_filtering(tab: Any) -> None:
    box = tab.get_by_label("Filter rows")
    box.fill("ioi EAP")
    assert sorted(column(tab, "method")) == ["EAP", "EAP-IG-inputs"]
    assert tab.locator("#count").inner_text() == "2 of 4 runs"
    tab.get_by_role("tab", name="seconds", exact=True).click()
    assert rows(tab).count() == 2
    box.fill("nothing like it")
    assert rows(tab).count() == 0
    box.fill("")
    assert rows(tab).count() == 4


def test_marks_are_shown(tab: Any) -> None:
    best = tab.locator("[role=tabpanel]:visible td.best", has_text="★")
    assert best.count() == 2  # one for each task
    worst = rows(tab).filter(has_text="random").locator("td.value")
    assert worst.get_attribute("class") == "value "


def test_a_row_opens_curves_and_circuit(tab: Any) -> None:
    button = rows(tab).filter(has_text="EAP-IG-inputs").locator("button.open")
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    details = tab.locator("tr.details")
    details.locator(".curve svg text").first.wait_for()
    legend = details.locator(".curve svg text").all_text_contents()
    assert {"ranked by |score| (CMD)", "ranked by score (CPR)"} <= set(legend)
    drawn = details.locator(".graph svg text").all_text_contents()
    assert {"input", "logits"} <= set(drawn)
    assert "clean 0" in details.locator(".pairs").inner_text()
    button.click()
    assert details.count() == 0


def test_a_cell_of_the_matrix_opens_its_run(tab: Any) -> None:
    matrix = tab.locator("[role=tabpanel]:visible table.matrix").first
    assert matrix.locator("tbody th").all_text_contents()[0] == "EAP-IG-inputs"
    tab.get_by_label("Filter rows").fill("random")
    cell = matrix.locator("tr", has_text="EAP-IG-inputs").locator("[data-open]").first
    cell.click()
    row = tab.locator("[role=tabpanel]:visible tr[data-run]", has_text="EAP-IG-inputs")
    assert row.locator("button.open").get_attribute("aria-expanded") == "true"
    row.locator("button.open").click()


def test_a_run_without_artifacts_says_why_there_is_no_drawing(tab: Any) -> None:
    tab.locator("[role=tabpanel]:visible tr[data-run]", has_text="onerror").click()
    assert "No drawing: the run saved no artifacts" in tab.locator("tr.details").inner_text()
    tab.locator("tr.details .curve svg text").first.wait_for()
    assert tab.locator("tr.details .graph").count() == 0


def test_hostile_names_stay_text(tab: Any) -> None:
    assert HOSTILE in column(tab, "task") and HOSTILE in column(tab, "model")
    tab.locator("[role=tabpanel]:visible tr[data-run]", has_text="onerror").click()
    assert tab.locator("img, b").count() == 0
    assert tab.title() == "Circuit discovery leaderboard"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_width_and_dark_mode(page: Open, scheme: str) -> None:
    tab = page(width=390, scheme=scheme)
    rows(tab).filter(has_text="EAP-IG-inputs").locator("button.open").click()
    tab.locator(".curve svg text").first.wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    ink, paper = (
        sum(map(int, tab.evaluate(f"getComputedStyle(document.body).{name}")[4:-1].split(",")))
        for name in ("color", "backgroundColor")
    )
    assert abs(ink - paper) > 500 and (ink > paper) == (scheme == "dark")
    tick = sum(map(int, tab.evaluate(TICK).removeprefix("rgb(").rstrip(")").split(",")[:3]))
    assert abs(tick - paper) > 300


def test_charts_follow_a_change_of_theme(tab: Any) -> None:
    rows(tab).filter(has_text="EAP-IG-inputs").locator("button.open").click()
    tab.locator(".curve svg text").first.wait_for()
    before = tab.evaluate(TICK)
    tab.emulate_media(color_scheme="dark")
    assert eventually(tab, f"{TICK} !== '{before}'")


def test_circuits_of_tasks_on_other_tasks_are_heatmaps(tab: Any) -> None:
    section = tab.locator("section.transfer")
    charts = section.locator(".heatmap")
    charts.locator("svg text", has_text="0.75").first.wait_for()
    assert charts.count() == 2 and not section.locator("details table").first.is_visible()
    shown = charts.first.locator("svg text").all_text_contents()
    assert {"faithfulness", "ioi_circuit", "sva_circuit"} <= set(shown)
    assert (shown.count("0.75"), shown.count("0.25")) == (3, 6)
    overlap = charts.last.locator("svg text").all_text_contents()
    assert (overlap.count("1.00"), overlap.count("0.10")) == (3, 6)
    section.locator("select").first.select_option("1")
    charts.locator("svg text", has_text="0.88").first.wait_for()
    section.locator("select").last.select_option("random")
    charts.locator("svg text", has_text="0.05").first.wait_for()
    section.locator("summary").click()
    table = section.locator("details table").first
    assert table.locator("tbody tr").first.locator("td").first.inner_text() == (
        "0.75 [0.69, 0.81] (0.05)"
    )
    assert HOSTILE in table.locator("tbody th").all_text_contents()
    section.locator("summary").click()
