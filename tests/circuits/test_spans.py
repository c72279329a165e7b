"""Spans, units over them, and random circuits of these."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.random_graphs import graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.spans import Spans
from harness_circuits.errors import (
    CircuitFileError,
    MismatchError,
    OptionError,
    UnknownNameError,
)
from harness_circuits.evaluation.agreement import agreement
from harness_circuits.evaluation.null_circuits import random_circuit
from harness_circuits.formats import expressible, load_circuit_file, save_circuit_file

GRAPH = Graph(n_layers=2, n_heads=2, n_kv_heads=1, d_model=8)
LABELS = [["rest0", "A", "B", "END"], ["B", "A", "END"]]
SPACE = ScoreSpace(GRAPH, "edge", Spans.of(LABELS))

labels = st.lists(st.sampled_from(["a", "b", "c", "END"]), min_size=1, max_size=6)


@given(st.lists(labels, min_size=1, max_size=4))
def test_spans_know_who_sees_whom_and_where_logits_are_read(prompts: list[list[str]]) -> None:
    spans = Spans.of(prompts)
    assert set(spans.names) == {name for prompt in prompts for name in prompt}
    for one, name in enumerate(spans.names):
        assert spans.read[one] == any(prompt[-1] == name for prompt in prompts)
        for other, before in enumerate(spans.names):
            seen = any(
                name in prompt and before in prompt[: len(prompt) - prompt[::-1].index(name)]
                for prompt in prompts
            )
            assert spans.sees[one][other] == seen
    assert Spans.from_dict(spans.to_dict()) == spans
    spans.check_holds(Spans.of(prompts[:1]))


def test_prompts_of_other_spans_are_refused() -> None:
    spans = Spans.of([["A", "B", "END"]])
    for prompt, message in (
        (["A", "C", "END"], "no span 'C' among A, B, END"),
        (["B", "A", "END"], "B comes before A"),
        (["A", "B"], "prompts end in B"),
    ):
        with pytest.raises(MismatchError, match=message):
            spans.check_holds(Spans.of([prompt]))


@pytest.mark.parametrize(
    "change", [{"names": ["A", "A"]}, {"names": [1]}, {"read": [True]}, {"sees": []}, {"more": 1}]
)
def test_damaged_spans_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CircuitFileError):
        Spans.from_dict({**Spans.of([["A", "B"]]).to_dict(), **change})


def test_units_exist_where_a_path_leads_to_logits_that_are_read() -> None:
    end, a = SPACE.spans.index("END"), SPACE.spans.index("A")  # type: ignore[union-attr]
    assert SPACE.real[end].sum() == GRAPH.n_edges
    lost = {GRAPH.edge_name(*at) for at in np.argwhere(GRAPH.edge_mask & ~SPACE.real[a])}
    last = {f"a1.h{head}<q>" for head in (0, 1)} | {"m1", "logits"}
    assert {name.partition("->")[2] for name in lost} == last
    assert SPACE.n_units == SPACE.real.sum() == Circuit.full(SPACE).prune().n_kept
    assert SPACE.unit_name(end, 0, 0) == "input->a0.h0<q>@END"
    with pytest.raises(OptionError, match="of edges, not of nodes"):
        ScoreSpace(GRAPH, "node", SPACE.spans)


def test_one_span_is_no_span() -> None:
    space = ScoreSpace(GRAPH, "edge", Spans.of([["END", "END"]]))
    plain = ScoreSpace(GRAPH)
    for seed in range(20):
        kept = plain.real & (np.random.default_rng(seed).random(plain.shape) < 0.2)
        got, wanted = Circuit(space, kept[None]).prune(), Circuit(plain, kept).prune()
        assert np.array_equal(got.kept[0], wanted.kept)
        assert got.weighted_edges == wanted.n_kept
        assert np.array_equal(got.edges, wanted.edges)
        assert np.array_equal(got.nodes, wanted.nodes)


@given(graphs(), st.lists(labels, min_size=1, max_size=3), st.floats(0, 1), st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_random_circuits_over_spans_have_no_dead_ends(
    graph: Graph, prompts: list[list[str]], share: float, seed: int
) -> None:
    for crossing, longest in ((False, 2 * graph.n_layers + 2), (True, 3 * graph.n_layers + 3)):
        space = ScoreSpace(graph, "edge", replace(Spans.of(prompts), crossing=crossing))
        wanted = round(share * space.n_units)
        circuit = random_circuit(space, wanted, seed)
        assert wanted - longest <= circuit.n_kept <= wanted
        assert np.array_equal(circuit.prune().kept, circuit.kept)
        assert np.array_equal(random_circuit(space, wanted, seed).kept, circuit.kept)


def scores() -> Scores:
    values = np.random.default_rng(0).normal(size=SPACE.shape) * SPACE.real
    samples = Samples(np.stack([values, values]).astype(np.float32), np.array([1, 1]))
    return Scores(SPACE, values, {"method": "EAP"}, samples)


def test_files_hold_spans_or_say_that_they_cannot(tmp_path: Path) -> None:
    whole = scores()
    found = load_circuit_file(save_circuit_file(tmp_path / "s.safetensors", whole), GRAPH)
    assert isinstance(found, Scores) and found.space == SPACE
    np.testing.assert_array_equal(found.values, whole.values)
    circuit = random_circuit(SPACE, 9, 0)
    back = load_circuit_file(save_circuit_file(tmp_path / "c.safetensors", circuit))
    assert isinstance(back, Circuit) and back.space == SPACE
    assert np.array_equal(back.kept, circuit.kept)
    assert not expressible(SPACE)
    for suffix in (".json", ".pt"):
        for item in (whole, circuit):
            with pytest.raises(CircuitFileError, match="no room for spans"):
                save_circuit_file(tmp_path / f"s{suffix}", item)
    other = Graph(n_layers=2, n_heads=2, n_kv_heads=2, d_model=8)
    with pytest.raises(CircuitFileError, match="over spans and 1 key/value heads"):
        load_circuit_file(tmp_path / "c.safetensors", other)


def test_sums_over_spans_are_scores_and_samples_of_edges() -> None:
    whole = scores()
    plain = whole.everywhere()
    assert plain.everywhere() is plain and plain.samples is not None
    np.testing.assert_allclose(plain.values, whole.values.sum(0))
    np.testing.assert_allclose(plain.samples.sums[0], whole.values.sum(0), atol=1e-6)
    truth = Circuit.of_edges(GRAPH, ["input->m0", "m0->logits"])
    assert agreement(whole, truth) == agreement(plain, truth)


CROSSING = ScoreSpace(GRAPH, "edge", replace(Spans.of(LABELS), crossing=True))


def test_crossing_edges_lie_behind_the_edges() -> None:
    """Between spans that see each other, into heads that are of use."""
    spans, n_src = CROSSING.spans, GRAPH.n_src
    assert spans is not None
    np.testing.assert_array_equal(CROSSING.edges_in(CROSSING.real), SPACE.real)
    crossing = CROSSING.real[:, n_src:]
    useful = SPACE.real[:, :n_src].any(axis=2)
    for query, key, dst in np.argwhere(spans.seen[:, :, None] & np.ones(GRAPH.n_dst, dtype=bool)):
        name = GRAPH.destination_names[dst]
        wanted = name.endswith(">") and useful[query, GRAPH.destination_owner[dst]]
        assert crossing[query, key, dst] == wanted
    assert not crossing[~spans.seen].any()
    assert CROSSING.n_units == SPACE.n_units + crossing.sum()
    for at in np.argwhere(CROSSING.real)[::7]:
        assert CROSSING.unit_index(CROSSING.unit_name(*at)) == tuple(at)
    assert CROSSING.unit_name(1, n_src, GRAPH.head_destination(1, "v")) == (
        f"a1.h0<v>@{spans.names[0]}->{spans.names[1]}"
    )
    for name in ("a1.h0<v>@A->C", "a1.h0<v>@A", "m0@A->END", "a5.h0<v>@A->END"):
        with pytest.raises(UnknownNameError):
            CROSSING.unit_index(name)


def test_files_hold_crossing_edges_and_tables_show_them(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=CROSSING.shape) * CROSSING.real
    samples = Samples(np.stack([values, values]).astype(np.float32), np.array([1, 1]))
    whole = Scores(CROSSING, values, {}, samples)
    found = load_circuit_file(save_circuit_file(tmp_path / "s.safetensors", whole), GRAPH)
    assert isinstance(found, Scores) and found.space == CROSSING != SPACE
    np.testing.assert_array_equal(found.values, values)
    circuit = random_circuit(CROSSING, 30, 0)
    back = load_circuit_file(save_circuit_file(tmp_path / "c.safetensors", circuit))
    assert isinstance(back, Circuit) and np.array_equal(back.kept, circuit.kept)
    assert circuit.crossings is not None and circuit.crossings.any()
    assert circuit.edges_at_spans.sum() + circuit.crossings.sum() == 30 == len(circuit.to_frame())
    assert set(circuit.to_frame()["source"]) & {"@A", "@B", "@END"}
    with pytest.raises(CircuitFileError, match="no room for spans"):
        save_circuit_file(tmp_path / "c.json", circuit)
    plain = whole.everywhere()
    np.testing.assert_allclose(plain.values, values[:, : GRAPH.n_src].sum(0))
    assert plain.samples is not None and whole.by_node().values.shape == (GRAPH.n_src,)
    assert Circuit.full(CROSSING).weighted_edges == Circuit.full(SPACE).weighted_edges
