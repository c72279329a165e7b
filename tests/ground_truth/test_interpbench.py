"""InterpBench's files: read as data, converted exactly, and refused where they cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.interpbench_files import (
    OUR_EDGES,
    write_case,
)
from helpers.tiny_tasks import evaluate, values

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import CircuitFileError, TaskDataError
from harness_circuits.evaluation.agreement import agreement
from harness_circuits.ground_truth.folder import truth_files
from harness_circuits.ground_truth.interpbench import read_edges
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.machine.cache import CACHE_VARIABLE

PAIRS = [
    {"clean": f"t1 t{a} t3", "corrupted": f"t1 t{b} t3", "choices": ["o0", "o1"]}
    | {"correct": [0], "incorrect": [1]}
    for a in range(6)
    for b in range(6)
    if a != b
]


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


def graph() -> Graph:
    return Graph(n_layers=2, n_heads=4, n_kv_heads=4, d_model=24)


def test_edges_become_ours(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    assert np.array_equal(
        read_edges(folder, graph()).kept, Circuit.of_edges(graph(), OUR_EDGES).kept
    )
    write_case(tmp_path / "all", edges=[("blocks.0.attn.hook_result", "blocks.1.hook_resid_post")])
    every = [f"a0.h{head}->logits" for head in range(4)]
    found = read_edges(tmp_path / "all", graph())
    assert np.array_equal(found.kept, Circuit.of_edges(graph(), every).kept)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ({"a": 1}, "no list of edges"),
        ([("a",)], r"\('a',\) is no pair of hook names"),
        ([("hook_embed", 3)], "no pair of hook names"),
        ([("hook_embed", "blocks.0.hook_resid_post")], "no edge here is hook_embed -> blocks.0"),
        ([("blocks.0.mlp", "blocks.1.hook_mlp_in")], "no edge here is"),
        ([("hook_embed", "blocks.9.hook_mlp_in")], "m9"),
        ([("blocks.1.hook_mlp_out", "blocks.0.hook_mlp_in")], "does not come before"),
        ([("hook_pos_embed", "blocks.0.hook_mlp_in")], "no edge between two nodes"),
    ],
    ids=str,
)
def test_edges_that_are_none_are_refused(tmp_path: Path, edges: Any, message: str) -> None:
    folder, _ = write_case(tmp_path / "case", edges=edges)
    with pytest.raises(CircuitFileError, match=message):
        read_edges(folder, graph())


def test_a_case_runs_as_a_task(tmp_path: Path) -> None:
    folder, _ = write_case(tmp_path / "case")
    with pytest.raises(TaskDataError, match=r"InterpBench without pairs: put pairs\.jsonl beside"):
        truth_files(folder)
    rows = "".join(json.dumps(row) + "\n" for row in PAIRS)
    (folder / "pairs.jsonl").write_text(rows)
    lm = CircuitLM(pretrained=str(folder), sizes="0.1:1", bootstrap_iters=20, method="exact")
    task, metadata = "ground_truth_circuit", {"pretrained": str(folder)}
    found = values(evaluate(lm, [task], metadata=metadata), task)
    assert found["faithfulness@1"] == pytest.approx(1, abs=1e-4)
    assert 0 <= found["auroc"] <= 1
    (folder / "pairs.jsonl").write_text(rows.replace("t1 t0", "t1 a", 1))
    with pytest.raises(TaskDataError, match=r"line \d+: the model has no token for 'a'"):
        evaluate(lm, [task], metadata=metadata)


def test_whole_heads_count_once_with_their_largest_score() -> None:
    space = ScoreSpace(graph(), "edge")
    truth = Circuit.of_edges(graph(), ["input->a0.h1<q>"])
    shares = np.zeros(space.shape)
    shares[graph().edge_index("input->a0.h1<v>")] = -1.0
    apart = agreement(Scores(space, shares), truth)
    whole = agreement(Scores(space, shares), truth, whole_heads=True)
    assert apart["auroc"] < 0.6 and apart["recall@true_size"] < 0.1
    assert whole == {"auroc": 1.0, "auprc": 1.0, "recall@true_size": 1.0}
