"""The circuit page in a real browser: slider, units, filters, pairs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from helpers.browser import HOSTILE, needs_chromium

from harness_circuits.evidence import EVIDENCE

pytestmark = needs_chromium
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def circuit(page: Open) -> Any:
    """The circuit page of a task's artifacts."""
    tab = page("circuit.html")
    tab.locator(".graph svg text").first.wait_for()
    return tab


def said(tab: Any) -> str:
    text: str = tab.locator(".said").inner_text()
    return text


def test_evidence_stands_in_tables_with_its_verdicts(page: Open) -> None:
    """Of every kind, in the words of its page; at any width and in either scheme nothing sticks out."""
    for width, scheme in ((1400, "light"), (390, "dark")):
        tab = page("circuit.html", width=width, scheme=scheme)
        evidence = tab.locator(".evidence")
        evidence.wait_for()
        assert set(evidence.locator("h5").all_inner_texts()) == set(EVIDENCE)
        equivalence = evidence.locator("section", has_text="equally often").last
        heads = equivalence.locator("th").all_inner_texts()
        assert heads[-2:] == ["p", "verdict at 5%"]
        verdicts = equivalence.locator("tbody td:last-child").all_inner_texts()
        assert set(verdicts) == {"not equivalent", "equivalence not rejected"}
        for cell in equivalence.locator("tbody td:nth-child(4)").all_inner_texts():
            assert re.fullmatch(r"\d+% \[\d+%, \d+%\]", cell)
        assert "95% intervals over evaluation pairs (Wilson)." in equivalence.inner_text()
        matrices = evidence.locator("details")
        assert matrices.count() > 4 and not matrices.first.locator("table").is_visible()
        matrices.first.locator("summary").click()
        assert matrices.first.locator("table").is_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_complement_s_curve_stands_beside_the_circuit_s(circuit: Any) -> None:
    chart = circuit.evaluate(
        "(() => { const view = document.querySelector('.circuit').view;"
        " return [view.curveChart.getOption().series.filter((one) => one.name), view.data]; })()"
    )
    series, data = chart
    assert len(series) == 4
    for name, curve in data["without"].items():
        (drawn,) = (one for one in series if one["id"] == f"{name}-without")
        sizes = [size["fraction"] for size in data["series"][name]]
        assert [point["value"] for point in drawn["data"]] == [
            list(point) for point in zip(sizes, curve["value"], strict=True)
        ]
        assert drawn["lineStyle"]["type"] == "dashed"
    assert re.search(r", without it -?\d\.\d{3} \[.*\]$", said(circuit))


def test_a_run_with_hostile_names_has_its_evidence_as_text(page: Open) -> None:
    tab = page("leaderboard.html", width=1400)
    tab.locator("table.runs button.open", has_text="exact").first.click()
    evidence = tab.locator(".evidence")
    evidence.wait_for()
    assert HOSTILE in evidence.inner_text() and evidence.locator("img, b, script").count() == 0
    for summary in evidence.locator("summary").all():
        summary.click()
    assert f"{HOSTILE}-0" in evidence.inner_text()
    assert tab.title() == "Circuit discovery leaderboard"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1400


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


def test_pinned_units_stay_beside_the_chosen_one_and_can_be_seen_alone(circuit: Any) -> None:
    units, note = circuit.locator(".units button"), circuit.locator(".note")
    first, second = units.nth(0).inner_text(), units.nth(1).inner_text()
    units.nth(0).click(modifiers=["Shift"])
    units.nth(1).click()
    circuit.get_by_role("button", name=f"Pin {second}", exact=True).click()
    captions = circuit.locator(".unit caption").all_text_contents()
    assert {text.partition(" (")[0] for text in captions} >= {f"Into {first}", f"Out of {second}"}
    everything = note.inner_text()
    circuit.get_by_label("only between pinned units").check()
    assert note.inner_text() != everything and units.count() <= 2
    circuit.get_by_label("only between pinned units").uncheck()
    for name in (first, second):
        circuit.get_by_role("button", name=f"Unpin {name}", exact=True).click()
    assert not circuit.get_by_label("only between pinned units").is_visible()
    circuit.locator(".units [aria-pressed=true]").click()
    assert circuit.locator(".unit table").count() == 0
