"""Circuits of each task on all tasks: every number by other means, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.browser import page_views
from helpers.sweep_files import write_sweep
from helpers.tiny_tasks import TASK, documents, write_task
from helpers.tiny_tokenizer import save_tiny_model
from hypothesis import given
from hypothesis import strategies as st

import harness_circuits as hc
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.overlap import chance_jaccard, corrected_jaccard
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.commands.main import main
from harness_circuits.errors import TaskDataError
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import Pair, pairs_from_docs
from harness_circuits.records.transfer import read_transfer
from harness_circuits.report.transfer import transfer_markdown

OPTIONS: dict[str, Any] = {"method": "EAP", "sizes": (0.3, 0.7), "bootstrap_iters": 40}
SPACE = ScoreSpace(Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8), "edge")


def pairs(seed: int, n: int) -> list[Pair]:
    return pairs_from_docs(documents(seed, n), "tiny")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CircuitModel:
    folder = save_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    return hc.load_model(str(folder), device="cpu")


def test_every_entry_is_a_circuit_of_the_row_on_the_pairs_of_the_column(
    model: CircuitModel,
) -> None:
    tasks = {"a": (pairs(0, 3), pairs(1, 5)), "b": (pairs(2, 3), pairs(3, 4))}
    found = hc.transfer(model, tasks, null_circuits=2, **OPTIONS)
    assert [(m.ranking, m.size) for m in found.matrices][:2] == [
        ("absolute", 0.3),
        ("absolute", 0.7),
    ]
    assert (found.n_discovery, found.n_evaluation) == ((3, 3), (5, 4))
    for matrix in found.matrices:
        how = {"sizes": (matrix.size,), "ranking": matrix.ranking}
        circuits = [
            hc.select(hc.discover(model, training, method="EAP"), **how)
            for training, _ in tasks.values()
        ]
        for row, own in enumerate(circuits):
            for column, (_, evaluation) in enumerate(tasks.values()):
                (curve,) = hc.faithfulness(
                    model, evaluation, own, ranking=matrix.ranking, bootstrap_iters=40
                ).curves.values()
                value = matrix.faithfulness[row][column]
                assert value == pytest.approx(curve.points[0].value, rel=1e-4, abs=1e-9)
                low, high = (side[row][column] for side in (matrix.ci95_low, matrix.ci95_high))
                assert low is not None and high is not None and low <= value <= high
                other = circuits[column][matrix.size]
                assert matrix.jaccard[row][column] == own[matrix.size].jaccard(other)
        assert np.diag(matrix.corrected_jaccard).tolist() == [1, 1]
        assert matrix.random is not None and matrix.above_random is not None
        f, random = matrix.faithfulness[0][1], matrix.random[0][1]
        assert matrix.above_random[0][1] == pytest.approx((f - random) / (1 - random))
    text = transfer_markdown(found)
    assert "## ranked by |score|, size 0.3" in text.replace("\\", "")
    data = json.loads(json.dumps(found.to_dict()))
    assert read_transfer(data).to_dict() == found.to_dict() | {"tasks": ("a", "b")}


def test_one_task_is_no_matrix(model: CircuitModel) -> None:
    with pytest.raises(TaskDataError, match=r"^A transfer matrix needs two tasks or more"):
        hc.transfer(model, {"a": (pairs(0, 3), pairs(1, 3))}, **OPTIONS)


@given(st.integers(1, 40), st.integers(0, 60))
def test_the_correction_for_equal_sizes_is_the_published_one(k: int, more: int) -> None:
    n = k + more
    assert chance_jaccard(k, k, n) == pytest.approx(k / (2 * n - k))


def test_random_circuits_have_no_overlap_after_correction() -> None:
    generator = np.random.default_rng(0)
    units = np.flatnonzero(SPACE.real)

    def draw(n: int) -> Circuit:
        kept = np.zeros(SPACE.real.size, dtype=bool)
        kept[generator.choice(units, n, replace=False)] = True
        return Circuit(SPACE, kept.reshape(SPACE.shape))

    for a, b in ((5, 5), (10, 20)):
        found = [corrected_jaccard(draw(a), draw(b)) for _ in range(600)]
        assert abs(np.mean(found)) < 3.5 * np.std(found) / 600**0.5 + 0.01
    assert corrected_jaccard(draw(7), Circuit.empty(SPACE)) == 0
    assert corrected_jaccard(Circuit.full(SPACE), Circuit.full(SPACE)) == 1


def test_the_command_writes_data_tables_and_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = write_task(tmp_path, task="tiny_other", train=documents(2, 4), test=documents(3, 4))
    options = {"null_circuits": 1, "ranking": "absolute", "bootstrap_iters": 20}
    path = write_sweep(
        tmp_path,
        tasks=[TASK, "tiny_other"],
        methods=["EAP"],
        options=options,
        include_path=[str(more)],
    )
    assert main(["transfer", str(path)]) == 0
    shown = capsys.readouterr()
    assert "2 discoveries, then 6 circuits and 1 random ones for each, on 2 tasks" in shown.err
    files = {p.suffix: p for p in (tmp_path / "results" / "transfer").iterdir() if p.is_file()}
    assert not any(" " in path.name for path in files.values())
    assert set(files) == {".json", ".md", ".html"}
    data = json.loads(files[".json"].read_text())
    assert data["tasks"] == [TASK, "tiny_other"]
    assert files[".md"].read_text().strip() in shown.out
    assert len(data["matrices"]) == 3
    assert main(["transfer", str(path)]) == 0
    again = capsys.readouterr()
    assert again.out == shown.out and json.loads(files[".json"].read_text()) == data
    assert again.err.count("found before: ") == 4  # two discoveries, their circuits on two tasks
    out = tmp_path / "board"
    assert main(["leaderboard", str(tmp_path / "results"), "--output", str(out)]) == 0
    (view,) = page_views((out / "leaderboard.html").read_text())
    assert view["matrices"][0]["faithfulness"] == data["matrices"][0]["faithfulness"]
    assert "skipped" not in capsys.readouterr().err
    with pytest.raises(SystemExit, match="has one task; a transfer matrix needs two or more"):
        main(["transfer", str(write_sweep(tmp_path, methods=["EAP"]))])
