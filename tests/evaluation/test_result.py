"""Records of an experiment: each pair has its own values, by the number of its document."""

from __future__ import annotations

import numpy as np
from helpers.result_files import GRAPH

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.evaluation.curve import CurveValues
from harness_circuits.evaluation.result import Curve, ExampleValues, Result, example_records

SPACE, SIZES, N = ScoreSpace(GRAPH, "node"), (0.5, 1.0), 3
FULL, EMPTY = np.array([3.0, 4.0, 5.0]), np.array([0.0, 1.0, 2.0])


def curve(ranking: Ranking, shift: float, n_null: int = 0) -> Curve:
    values = np.arange(2.0 * N).reshape(2, N) + shift
    null = np.arange(2.0 * n_null * N).reshape(2, n_null, N)
    circuits = (Circuit.empty(SPACE), Circuit.full(SPACE))
    kept = np.ones((2, n_null), dtype=int)
    return Curve(ranking, CurveValues(SIZES, FULL, EMPTY, values), circuits, values % 2, null, kept)


def test_every_value_goes_to_its_document() -> None:
    curves = (curve(Ranking.ABSOLUTE, 0), curve(Ranking.SIGNED, 10, n_null=2))
    no = np.zeros(N)
    examples = ExampleValues(
        (0, 1, 2), FULL, EMPTY, np.zeros((2, N)), np.zeros((2, N)), no, [], [], no, no
    )
    result = Result("t", "logit_diff", None, curves, examples, {})
    records = example_records(result, [7, 3, 5], iters=9, seed=1, agreement={"auroc": 0.5})
    assert list(records) == [7, 3, 5]
    record = records[3]
    assert (record.index, record.full, record.empty) == (3, 4.0, 1.0)
    assert record.circuits == {Ranking.ABSOLUTE: (1.0, 4.0), Ranking.SIGNED: (11.0, 14.0)}
    assert record.accuracy[Ranking.SIGNED] == (1.0, 0.0)
    assert set(record.null) == {Ranking.SIGNED}
    np.testing.assert_array_equal(record.null[Ranking.SIGNED], [[1.0, 4.0], [7.0, 10.0]])
    header = record.header
    assert all(other.header is header for other in records.values())
    assert header.kept[Ranking.SIGNED] == [0, SPACE.n_units] and header.sizes == SIZES
    assert (header.iters, header.seed, header.agreement) == (9, 1, {"auroc": 0.5})
    assert set(header.null_kept) == {Ranking.SIGNED} and header.stability == {}
