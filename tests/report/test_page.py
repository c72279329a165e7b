"""What a page is made of."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import page_views
from helpers.environments import ROOT
from helpers.example_evidence import example_evidence
from helpers.result_files import examples, write_run

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.commands.main import main
from harness_circuits.errors import CircuitFileError
from harness_circuits.machine.files import write_checksums
from harness_circuits.records.evidence_file import EVIDENCE_FILE, evidence_beside
from harness_circuits.records.results_file import read_results
from harness_circuits.report.circuit_sources import file_data, folder_data
from harness_circuits.report.evidence_view import evidence_data
from harness_circuits.report.page import page_of_circuit
from harness_circuits.report.page_views import STEPS, fitting, opened, packed_views
from harness_circuits.report.table import make_leaderboard

ECHARTS = ROOT / "harness_circuits" / "report" / "templates" / "echarts" / "echarts.min.js"


def test_the_library_is_the_published_one() -> None:
    digest = hashlib.sha256(ECHARTS.read_bytes()).hexdigest()
    assert digest == "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
    assert {"LICENSE", "NOTICE"} <= {path.name for path in ECHARTS.parent.iterdir()}


def test_pages_are_small_and_tell_no_path(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path / f"in{seed}", examples(seed, 30), method="EAP", date=float(seed))
    main(["leaderboard", str(tmp_path), "--output", str(tmp_path / "out")])
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    assert len(page) < 800_000
    (view,) = page_views(page)
    assert str(tmp_path) not in page and str(tmp_path) not in json.dumps(view)
    assert view["facts"]["file"].startswith("…/")


def test_evidence_is_tables_or_the_lines_that_were_printed(tmp_path: Path) -> None:
    found = example_evidence()
    curves = dict(read_results([write_run(tmp_path, examples(0, 30))]).runs[0].curves)
    data = evidence_data(found, curves)
    assert json.loads(json.dumps(data)) == data and evidence_data({}, curves) == {}
    assert [one["kind"] for one in data["evidence"]] == list(found)
    assert all(one["tables"] and not one["lines"] for one in data["evidence"])
    own = found["necessity"]["curves"]["signed"]
    assert data["without"]["signed"]["value"] == pytest.approx(own["faithfulness"], abs=1e-5)
    assert data["without"]["signed"]["low"] == pytest.approx(own["ci95_low"], abs=1e-5)
    few = {**curves, Ranking.SIGNED: replace(curves[Ranking.SIGNED], sizes=(0.1, 0.2, 0.5, 1.0))}
    assert set(evidence_data(found, few)["without"]) == {"absolute"}
    for broken in ({"circuits": 3}, {"alpha": "x", "circuits": [{}]}, {"why_not": "no gap"}, {}):
        of_others = {**broken, "summary": ["as it was printed"]}
        (one,) = evidence_data({"minimality": of_others}, None)["evidence"]
        assert (one["tables"], one["lines"]) == ([], ["as it was printed"])
    (one,) = evidence_data({"later": {"summary": ["of a later version"]}}, None)["evidence"]
    assert one == {
        "kind": "later",
        "says": "",
        "note": "",
        "tables": [],
        "lines": ["of a later version"],
    }


def test_artifacts_keep_evidence_and_a_changed_file_is_refused(tmp_path: Path) -> None:
    found = example_evidence(kinds=("necessity", "equivalence"))
    write_run(tmp_path, examples(0, 30), evidence=found)
    folder = tmp_path / "artifacts" / "ioi_circuit"
    assert evidence_beside(folder) == json.loads(json.dumps(found))
    assert len(folder_data(folder)["evidence"]) == 2
    file = folder / EVIDENCE_FILE
    file.write_text(file.read_text().replace("equivalent", "identical"))
    with pytest.raises(CircuitFileError, match=EVIDENCE_FILE):
        folder_data(folder)
    (folder / "SHA256SUMS").unlink()
    for text in ("{", "[]", '{"necessity": {}}', '{"necessity": {"summary": [1]}}', '"x"'):
        file.write_text(text)
        with pytest.raises(CircuitFileError, match=EVIDENCE_FILE):
            evidence_beside(folder)
    write_run(tmp_path, examples(0, 30))
    assert not file.exists() and "evidence" not in folder_data(folder)


def test_of_many_answers_a_few_are_written_out(tmp_path: Path) -> None:
    """Years have a hundred, which would make a page for phones 28,000 points long."""
    write_run(tmp_path, examples(0))
    (folder,) = (path.parent for path in tmp_path.rglob("examples.jsonl"))
    rows = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    for row in rows:
        row["incorrect"] = [f" {year:02}" for year in range(100)]
    (folder / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_checksums(folder, ["examples.jsonl"])
    (row, *_) = folder_data(folder)["pairs"]["rows"]
    assert row["incorrect"] == " 00 /  01 /  02 /  03 / ... /  99 (100 answers)"
    assert row["correct"] == " a"


def test_hidden_units_lead_from_their_mlp_to_the_logits() -> None:
    space = ScoreSpace(Graph(n_layers=2, n_heads=1, n_kv_heads=1, d_model=4, d_mlp=3), "mlp-neuron")
    scores = Scores(space, np.array([[1.0, -2.0, 0.5], [0.1, 0.2, 3.0]]))
    data = file_data(scores, None, 3)
    assert data["units"] == "hidden units"
    assert {edge[-1] for edge in data["edges"]} == {"m0.h[0]", "m0.h[1]", "m1.h[2]"}
    (read,) = page_views(page_of_circuit(data, "hidden"))
    assert read == json.loads(json.dumps(data))


def test_the_more_runs_the_fewer_edges_and_pairs_of_each(tmp_path: Path) -> None:
    write_run(tmp_path, examples(0, 30))
    (entry,) = make_leaderboard(read_results([tmp_path]).runs).entries
    run = opened(entry)
    whole = packed_views([run.data(*STEPS[0])])
    assert fitting([run], len(whole)) == whole
    assert len(fitting([run], len(whole) - 1)) < len(whole)
    least = fitting([run] * 3, 0)
    assert least == packed_views([run.data(*STEPS[-1])] * 3)
    texts = json.loads(gzip.decompress(base64.b64decode(least)))["texts"]
    assert len(texts) == len({text["clean"] for text in texts})
