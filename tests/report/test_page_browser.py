"""The leaderboard page in a real browser: sorting, filtering, opening, hostile names, phone, dark."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.result_files import examples, with_task, write_run

from harness_circuits.commands.main import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium)"
)
HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\"><b>bold</b>"
TICK = "getComputedStyle(document.querySelector('.curve svg text')).fill"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leaderboard of three methods with artifacts, and a run with hostile names."""
    folder = tmp_path_factory.mktemp("page")
    for seed, (method, shift) in enumerate([("EAP-IG-inputs", 0), ("EAP", -0.4), ("random", -1.5)]):
        write_run(folder / "in" / method, examples(seed, 30, shift=shift), method=method)
    hostile = with_task(examples(5, 30, task="x"), HOSTILE)
    write_run(
        folder / "in" / "hostile", hostile, method="exact", model=HOSTILE, with_examples=False
    )
    (folder / "in" / f"{HOSTILE[:3].replace('/', '')}.json").write_text("{")
    main(["leaderboard", str(folder / "in"), "--output", str(folder)])
    artifacts = folder / "in" / "EAP" / "artifacts" / "ioi_circuit"
    main(["draw", str(artifacts), "--output", str(folder / "circuit.html")])
    scores = str(artifacts / "scores.safetensors")
    main(["draw", scores, "--output", str(folder / "scores.html")])
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page(browser: Any, folder: Path) -> Iterator[Open]:
    """Opens a page; in the end there must have been no error, no dialog and no request."""
    complaints: list[str] = []

    def start(name: str = "leaderboard.html", width: int = 1200, scheme: str = "light") -> Any:
        tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        url = (folder / name).as_uri()
        tab.on("request", lambda request: request.url != url and complaints.append(request.url))
        tab.goto(url)
        return tab

    yield start
    assert [text for text in complaints if not text.startswith(("data:", "blob:"))] == []


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


@pytest.fixture(scope="module")
def circuit(page: Open) -> Any:
    """The circuit page of a task's artifacts."""
    tab = page("circuit.html")
    tab.locator(".graph svg text").first.wait_for()
    return tab


def said(tab: Any) -> str:
    text: str = tab.locator(".said").inner_text()
    return text


def test_the_slider_changes_the_circuit_and_is_tied_to_the_curve(circuit: Any) -> None:
    slider, edges = circuit.locator("input.size"), "document.querySelector('.note').textContent"
    before, shown = said(circuit), circuit.evaluate(edges)
    slider.focus()
    for _ in range(3):
        circuit.keyboard.press("ArrowLeft")
    assert said(circuit) != before and circuit.evaluate(edges) != shown
    assert slider.get_attribute("aria-valuetext") == said(circuit)
    circuit.locator(".bar select").first.select_option("signed")
    assert "faithfulness" in said(circuit)
    circuit.locator(".bar select").first.select_option("absolute")
    for _ in range(3):
        circuit.keyboard.press("ArrowRight")


def test_a_unit_shows_its_inputs_and_outputs(circuit: Any) -> None:
    circuit.locator(".units button").first.focus()
    name = circuit.locator(".units button").first.inner_text()
    circuit.keyboard.press("Enter")
    captions = circuit.locator(".unit caption").all_text_contents()
    assert [text.partition(" (")[0] for text in captions] == [f"Into {name}", f"Out of {name}"]
    into = (
        circuit.locator(".unit table").nth(0).locator("tbody tr td:first-child").all_text_contents()
    )
    out = (
        circuit.locator(".unit table").nth(1).locator("tbody tr td:first-child").all_text_contents()
    )
    assert all(edge.partition("->")[2].startswith(name) for edge in into)
    assert all(edge.startswith(f"{name}->") for edge in out) and into + out
    circuit.locator(".units [aria-pressed=true]").click()
    assert circuit.locator(".unit table").count() == 0


def test_filters_by_kind_sign_and_layer(circuit: Any) -> None:
    note = circuit.locator(".note")

    def count() -> int:
        return int(note.inner_text().rpartition(" edges shown")[0].rpartition(" ")[2])

    everything = count()
    circuit.get_by_label("into logits").uncheck()
    assert 0 < count() < everything
    circuit.get_by_label("into logits").check()
    signs = []
    for sign in "+-":
        circuit.get_by_label("sign").select_option(sign)
        signs.append(count())
    circuit.get_by_label("sign").select_option("all")
    assert sum(signs) == everything
    circuit.get_by_label("layers").select_option("1")
    assert count() < everything
    circuit.get_by_label("layers").select_option("0")


def test_pairs_stand_beside_the_circuit_worst_first(circuit: Any) -> None:
    table = circuit.locator(".pairs tbody tr")
    values = [
        [float(text) for text in row.locator("td.value").all_text_contents()[:2]]
        for row in table.all()
    ]
    off = [abs(model - circuit) for model, circuit in values]
    assert len(off) > 5 and off == sorted(off, reverse=True)


def test_a_file_of_scores_is_a_page_too(page: Open) -> None:
    tab = page("scores.html")
    tab.locator(".graph svg text").first.wait_for()
    assert {"input", "logits"} <= set(tab.locator(".graph svg text").all_text_contents())
    assert "strongest" in said(tab) and tab.locator(".curve").count() == 0
