"""Parity with recorded arrays of EAP-IG's reference code and of an independent computation.

The folder's README says which recorded arrays hold errors of the reference code; there, the
independent `truth_*` array is compared instead. Recorded gradient scores are divided by the
number of examples once more than ours, hence `N`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from helpers.parity_fixtures import ARCHITECTURES, FOLDER, needs_parity
from helpers.reference import exact_scores, gate_gradient
from transformers import AutoModelForCausalLM

from harness_circuits.ablation import make_ablation
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.selection import select

LOGIT_DIFF = METRICS.get("logit_diff")
N = 6
SCORE_TOLERANCE = 1e-5  # of the largest score
METRIC_TOLERANCE = {"patching": 1e-4, "mean-positional": 1e-4, "zero": 1e-3}

pytestmark = needs_parity


class Fixture:
    """One architecture's model and arrays."""

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture
        folder = FOLDER / architecture
        self.arrays: dict[str, np.ndarray] = dict(np.load(folder / "fixture.npz"))
        self.checks: dict[str, Any] = json.loads((folder / "checks.json").read_text())
        hf = AutoModelForCausalLM.from_pretrained(
            folder,
            attn_implementation="eager" if architecture == "gemma2" else "sdpa",
            dtype=torch.float32,
        )
        self.model = take_apart(hf, name=architecture)
        self.batches = self._batches(6)
        self.sound = architecture != "gemma2"  # the reference code ignores its post-norm

    def _batches(self, size: int) -> list[Batch]:
        columns = [self.arrays[k].tolist() for k in ("clean_tokens", "corrupted_tokens", "labels")]
        pairs = [
            TokenPair(tuple(a), tuple(b), ((right,), (wrong,)), (0,), (1,), index)
            for index, (a, b, (right, wrong)) in enumerate(zip(*columns, strict=True))
        ]
        return make_batches(pairs, size)

    @cache  # noqa: B019
    def scores(
        self, method: str, level: str = "edge", ablation: str = "patching", **options: Any
    ) -> Scores:
        """Our scores."""
        how = make_ablation(ablation, self.model, self.batches)  # type: ignore[arg-type]
        return attribute(Job(self.model, self.batches, LOGIT_DIFF, level, how), method, **options)  # type: ignore[arg-type]

    def masks(self) -> Iterator[str]:
        """Names of the recorded circuits, such as `topn_abs_5`."""
        return (name.removeprefix("mask_") for name in self.arrays if name.startswith("mask_"))


@cache
def _fixture(architecture: str) -> Fixture:
    return Fixture(architecture)


@pytest.fixture(params=ARCHITECTURES)
def fixture(request: pytest.FixtureRequest) -> Fixture:
    return _fixture(request.param)


def assert_close(got: np.ndarray, recorded: np.ndarray) -> None:
    assert got.shape == recorded.shape
    largest = np.abs(recorded).max()
    assert largest > 0
    np.testing.assert_allclose(got / largest, recorded / largest, rtol=0, atol=SCORE_TOLERANCE)


def test_nodes_and_edges_have_their_names_and_order(fixture: Fixture) -> None:
    graph, arrays = fixture.model.graph, fixture.arrays
    assert list(graph.source_names) == arrays["src_nodes"].tolist()
    assert list(graph.destination_names) == arrays["dst_nodes"].tolist()
    assert (graph.edge_mask == arrays["real_edge_mask"]).all()
    for name, index in zip(arrays["edge_names"].tolist(), arrays["edge_index"], strict=True):
        assert graph.edge_index(name) == tuple(index)
    assert fixture.checks["n_edges"] == graph.n_edges


def test_logits_and_metric_of_the_model(fixture: Fixture) -> None:
    (batch,) = fixture.batches
    for side, inputs in (("clean", batch.clean), ("corrupted", batch.corrupted)):
        with torch.no_grad():
            logits = fixture.model.forward(inputs)
        recorded = fixture.arrays[f"hf_logits_{side}"][:, -1:]
        np.testing.assert_allclose(logits.numpy(), recorded, rtol=0, atol=2e-5)
        metric = LOGIT_DIFF(logits, batch).numpy()
        np.testing.assert_allclose(metric, fixture.arrays[f"metric_{side}"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("ablation", ["patching", "zero", "mean", "mean-positional"])
def test_eap(fixture: Fixture, ablation: str) -> None:
    name = "edge_EAP_" + ablation.replace("-", "_")
    got = fixture.scores("EAP", "edge", ablation).values
    assert_close(got, fixture.arrays[f"truth_{name}"])
    if fixture.sound and ablation != "mean":  # the reference's mean is one vector for all nodes
        assert_close(got, fixture.arrays[name] * N)


@pytest.mark.parametrize("size", [3, 1])
def test_eap_in_smaller_batches(fixture: Fixture, size: int) -> None:
    """Ours does not depend on the batch size; the reference divides by it once more."""
    job = Job(fixture.model, fixture._batches(size), LOGIT_DIFF)
    got = attribute(job, "EAP").values
    assert_close(got, fixture.arrays["truth_edge_EAP_patching"])
    if fixture.sound:
        assert_close(got, fixture.arrays[f"edge_EAP_patching_batchsize{size}"] * size)


@pytest.mark.parametrize("rule", ["left", "right"])
@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
def test_eap_ig_inputs(fixture: Fixture, level: str, rule: str) -> None:
    got = fixture.scores("EAP-IG-inputs", level, ig_steps=5, ig_rule=rule).values
    assert_close(got, fixture.arrays[f"truth_{level}_EAP_IG_inputs_{rule}"])
    if fixture.sound and (level, rule) == ("edge", "left"):
        assert_close(got, fixture.arrays["edge_EAP_IG_inputs"] * N)


@pytest.mark.parametrize("level", ["node", "neuron"])
@pytest.mark.parametrize("method", ["EAP", "EAP-IG-inputs"])
def test_nodes_and_neurons(fixture: Fixture, method: str, level: str) -> None:
    """The reference's MLP scores use the gradient at the MLP's input; input and heads agree."""
    options = {} if method == "EAP" else {"ig_steps": 5, "ig_rule": "right"}
    got = fixture.scores(method, level, **options).values
    name = f"{level}_{method.replace('-', '_')}"
    truth = f"truth_{name}" if method == "EAP" else f"truth_{name}_right"
    assert_close(got, fixture.arrays[truth])
    if fixture.sound:
        right = [not name.startswith("m") for name in fixture.model.graph.source_names]
        assert_close(got[right], fixture.arrays[name][right] * N)
    if name == "node_EAP":
        difference = np.abs(got - fixture.arrays["truth_node_EAP_finite_difference"]).max()
        assert difference < 1e-3 * np.abs(got).max()


TOP_N = [(name, "recorded scores") for name in ARCHITECTURES]
TOP_N += [(name, "our scores") for name in ARCHITECTURES if name != "gemma2"]  # see `Fixture.sound`


@pytest.mark.parametrize(("architecture", "source"), TOP_N)
def test_top_n_circuits(architecture: str, source: str) -> None:
    fixture = _fixture(architecture)
    space = ScoreSpace(fixture.model.graph)
    scores = Scores(space, fixture.arrays["edge_EAP_IG_inputs"].astype(float))
    if source == "our scores":
        scores = fixture.scores("EAP-IG-inputs", ig_steps=5, ig_rule="left")
    compared = 0
    for name in fixture.masks():
        selector, ranking, _ = name.split("_")
        if selector == "topn":
            count = int(fixture.arrays[f"n_{name}"])
            by = Ranking.ABSOLUTE if ranking == "abs" else Ranking.SIGNED
            (circuit,) = select(
                scores,
                [count],
                "top-n",
                ranking=by,
            )
            assert (circuit.kept == fixture.arrays[f"mask_{name}"]).all(), name
            assert (circuit.nodes == fixture.arrays[f"nodes_{name}"]).all(), name
            compared += 1
    assert compared == 8


@pytest.mark.parametrize("ablation", ["patching", "zero", "mean-positional"])
def test_metrics_of_circuits(fixture: Fixture, ablation: str) -> None:
    suffix, arrays = ablation.replace("-", "_"), fixture.arrays
    names = [name for name in fixture.masks() if f"eval_{name}_{suffix}" in arrays]
    assert len(names) == (16 if ablation == "patching" else 4)
    space = ScoreSpace(fixture.model.graph)
    circuits = [Circuit(space, arrays[f"mask_{name}"]) for name in names]
    how = make_ablation(ablation, fixture.model, fixture.batches)  # type: ignore[arg-type]
    got = evaluate_circuits(fixture.model, fixture.batches, circuits, LOGIT_DIFF, how).circuits
    tolerance = METRIC_TOLERANCE[ablation]
    for name, values in zip(names, got, strict=True):
        truth = arrays[f"truth_eval_{name}_{suffix}"]
        np.testing.assert_allclose(values, truth, rtol=0, atol=tolerance, err_msg=name)
        if fixture.sound or ablation != "mean-positional":
            recorded = arrays[f"eval_{name}_{suffix}"]
            np.testing.assert_allclose(values, recorded, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("level", ["edge", "node"])
def test_removing_units_one_at_a_time(fixture: Fixture, level: str) -> None:
    """Circuits of all units but one have the recorded exact effects."""
    space = ScoreSpace(fixture.model.graph, level)  # type: ignore[arg-type]
    units = np.flatnonzero(space.real)
    circuits = []
    for unit in units:
        kept = space.real.copy()
        kept.flat[unit] = False
        circuits.append(Circuit(space, kept))
    how = make_ablation("patching", fixture.model, fixture.batches)
    result = evaluate_circuits(fixture.model, fixture.batches, circuits, LOGIT_DIFF, how)
    got = np.zeros(space.shape)
    got.flat[units] = (result.full - result.circuits).mean(1)
    assert_close(got, fixture.arrays[f"truth_{level}_exact_patching"])


def test_the_brute_force_reference_agrees(fixture: Fixture) -> None:
    """Our tests' own reference against the independent arrays, which it has never seen."""
    arrays, hf = fixture.arrays, fixture.model.hf
    ids = [torch.from_numpy(arrays[f"{side}_tokens"]) for side in ("clean", "corrupted")]
    answers = torch.from_numpy(arrays["labels"])
    for level in ("edge", "node", "neuron"):
        name = "edge_EAP_patching" if level == "edge" else f"{level}_EAP"
        assert_close(gate_gradient(level, hf, *ids, answers).numpy(), arrays[f"truth_{name}"])
    exact = exact_scores("node", hf, *ids, answers).numpy()
    assert_close(exact, arrays["truth_node_exact_patching"])
