"""Where circuits come from: scores give any size and ranking, circuits keep their own."""

from __future__ import annotations

import numpy as np
import pytest

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.selection import select
from harness_circuits.selection.given import Given

SPACE = ScoreSpace(Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8))
SIZES = (0.1, 0.5, 1.0)


def scores() -> Scores:
    values = np.random.default_rng(0).standard_normal(SPACE.shape)
    return Scores(SPACE, np.where(SPACE.real, values, 0.0), {"task": "tiny"})


@pytest.mark.parametrize("rankings", [tuple(Ranking), (Ranking.SIGNED,)])
def test_scores_give_circuits_of_any_size(rankings: tuple[Ranking, ...]) -> None:
    given, found = Given.of(scores()), scores()
    assert (given.kind, given.space, given.sizes(SIZES)) == ("scores", SPACE, SIZES)
    assert given.provenance == {"task": "tiny"}
    circuits = given.circuits(SIZES, rankings, "top-n")
    counts = [SPACE.n_at(size) for size in SIZES]
    for ranking in rankings:
        expected = select(found, counts, ranking=ranking)
        assert [c.kept.tolist() for c in circuits[ranking]] == [c.kept.tolist() for c in expected]
    assert tuple(circuits) == rankings


def test_a_circuit_has_the_size_of_its_share() -> None:
    circuit = Circuit.of_edges(SPACE.graph, ["input->logits"])
    given = Given.of(circuit)
    assert (given.kind, given.scores, dict(given.provenance)) == ("circuit", None, {})
    assert given.sizes(SIZES) == (1 / SPACE.n_units,)
    assert given.circuits(given.sizes(SIZES), (Ranking.SIGNED,), "top-n") == {"absolute": [circuit]}


def test_circuits_keep_the_sizes_and_the_ranking_they_came_with() -> None:
    one, two = Circuit.of_edges(SPACE.graph, ["input->logits"]), Circuit.full(SPACE)
    given = Given.of_circuits({0.3: one, 0.9: two}, Ranking.SIGNED)
    assert given.sizes(SIZES) == (0.3, 0.9)
    assert given.circuits(SIZES, (Ranking.ABSOLUTE,), "top-n") == {"signed": [one, two]}


def test_content_tells_sources_apart() -> None:
    other = Scores(SPACE, -scores().values)
    contents = [Given.of(x).content for x in (scores(), other, Circuit.full(SPACE))]
    assert len(set(contents)) == 3
    assert contents[0] == scores().values.tobytes()
