"""What an evaluation found, as text, table and picture; and what the functions say of wrong arguments."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.errors import CircuitError, OptionError, TaskDataError
from harness_circuits.machine import notebook
from harness_circuits.machine.progress import progress
from harness_circuits.pairs.pair import Pairs

PAIRS = hc.pairs_from_docs(documents(0, 7), "pairs")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return hc.load_model(save_tiny_model(tmp_path_factory.mktemp("model"), "llama"))


@pytest.fixture(scope="module")
def result(model: Any) -> hc.Faithfulness:
    circuits = hc.select(hc.discover(model, PAIRS, method="EAP"), (0.1, 0.5, 1.0))
    return hc.faithfulness(model, PAIRS, circuits)


@pytest.fixture
def in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """As in a kernel; what is displayed."""
    shown: list[Any] = []
    display = SimpleNamespace(display=shown.append, Image=lambda png: png)
    shell = SimpleNamespace(kernel=None)
    fake = SimpleNamespace(get_ipython=lambda: shell, display=display, version_info=(9, 0))
    monkeypatch.setitem(sys.modules, "IPython", fake)
    return shown


def test_a_result_is_short_as_text_and_whole_as_a_table(result: hc.Faithfulness) -> None:
    assert repr(result).startswith(f"Faithfulness(cmd={result.metrics['cmd']:.3f}")
    assert "\n" not in repr(result) and len(repr(result)) < 250
    frame = result.to_frame()
    assert frame["size"].tolist() == [0.1, 0.5, 1.0]
    assert frame["faithfulness"].tolist() == [
        result.metrics[f"faithfulness@{size}"] for size in ("0.1", "0.5", "1")
    ]
    assert (frame["ci95_low"] <= frame["faithfulness"]).all()
    page = result._repr_html_()
    assert page.count("<table") == 3 and "data:image/png;base64" in page


def test_plot_without_a_path_shows(
    result: hc.Faithfulness, in_a_notebook: list[Any], tmp_path: Path
) -> None:
    assert result.plot() is None
    assert in_a_notebook[0].startswith(b"\x89PNG")
    assert result.plot(tmp_path / "x.png") == tmp_path / "x.png"
    assert len(in_a_notebook) == 1


def test_plot_without_a_path_and_notebook_opens_a_figure(
    result: hc.Faithfulness, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = pytest.importorskip("plotly.graph_objects")
    monkeypatch.setattr(go.Figure, "show", lambda figure: shown.append(figure))
    shown: list[Any] = []
    assert result.plot() is None and len(shown) == 1


def test_notebooks_have_a_bar(in_a_notebook: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert notebook.in_notebook()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(3, "discovery", "pairs") as bar:
        bar.advance(3)
    assert "discovery" in stream.getvalue()


def test_pairs_are_a_table_that_can_be_read_again() -> None:
    assert repr(PAIRS) == "Pairs(7)" and isinstance(PAIRS[:3], Pairs) and PAIRS[:3] == PAIRS[0:3]
    assert hc.pairs_from_frame(PAIRS.to_frame()) == PAIRS
    hostile = hc.make_pairs(["<b>"], ["<i>"], [" <u>"], [" x"])
    page = hostile._repr_html_()
    assert "<b>" not in page and "&lt;b&gt;" in page and "&lt;u&gt;" in page
    assert "the first 5" in PAIRS._repr_html_()


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("discover", ("model", "abc"), r"pairs are a list of Pair, .*got 'abc'"),
        ("discover", ("model", [1]), r"pairs are a list of Pair, .*got 1"),
        ("discover", ("model", None), r"pairs are a list of Pair, .*got None"),
        ("discover", ("model", []), r"pairs is empty: there are no discovery pairs"),
        ("discover", ("gpt2", PAIRS), r"model comes from hc\.load_model, got 'gpt2'"),
        ("aligned", ("model", "abc"), r"pairs are a list of Pair, .*got 'abc'"),
        ("faithfulness", ("model", [], {}), r"pairs is empty: there are no evaluation pairs"),
        ("faithfulness", ("model", PAIRS, 3), r"circuits come from hc\.select, or are one, got 3"),
        ("faithfulness", ("model", PAIRS, {0.1: 3}), r"circuits holds 3, which is no circuit"),
    ],
)
def test_wrong_arguments_are_called_by_their_names(
    model: Any, function: str, arguments: tuple[Any, ...], message: str
) -> None:
    given = [model if x == "model" else x for x in arguments]
    with pytest.raises(CircuitError, match=message) as raised:
        getattr(hc, function)(*given)
    assert isinstance(raised.value, (OptionError, TaskDataError))
