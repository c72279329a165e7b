"""`compat=mib`: the scores of EAP-IG's own code, recorded in the parity arrays, quirks included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.parity_fixtures import (
    ARCHITECTURES,
    arrays,
    assert_parity,
    needs_parity,
    parity_batches,
    parity_model,
)
from helpers.tiny_models import VOCABULARY, tiny_model, token_batches

from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.discovery import Setup
from harness_circuits.errors import OptionError
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings

# The reference divides once more by the number of its 6 examples.
CASES = [
    ("EAP", {}, "edge_EAP_patching"),
    ("EAP-IG-inputs", {}, "edge_EAP_IG_inputs"),
    ("clean-corrupted", {}, "edge_clean_corrupted"),
    ("EAP-IG-activations", {"sites": "reference"}, "edge_EAP_IG_activations"),
]


def scores(architecture: str, method: str, *, raw_heads: bool, **options: str) -> np.ndarray:
    batches = parity_batches(architecture)
    metric = METRICS.get("logit_diff")
    job = Job(parity_model(architecture), batches, metric, raw_heads=raw_heads)
    return attribute(job, method, **options).values


@needs_parity
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("method", "options", "array"), CASES)
def test_scores_are_those_of_the_reference_code(
    architecture: str, method: str, options: dict[str, str], array: str
) -> None:
    assert_parity(
        scores(architecture, method, raw_heads=True, **options), arrays(architecture)[array] * 6
    )


@needs_parity
def test_without_it_scores_of_a_post_norm_model_differ() -> None:
    expected = arrays("gemma2")["edge_EAP_patching"] * 6
    found = scores("gemma2", "EAP", raw_heads=False)
    assert np.abs(found - expected).max() > 0.1 * np.abs(expected).max()


def test_the_preset_sets_what_the_method_knows() -> None:
    settings = Settings.from_arguments({"compat": "mib", "method": "EAP-IG-activations"})
    assert settings.to_dict()["method_options"]["sites"] == "reference"
    chosen = Settings.from_arguments(
        {"compat": "mib", "method": "EAP-IG-activations", "sites": "own"}
    )
    assert chosen.to_dict()["method_options"]["sites"] == "own"
    assert "sites" not in Settings(compat="mib").to_dict()["method_options"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"compat": "mib", "level": "node"},
            "with ablation=patching and direction=noising only",
        ),
        (
            {"compat": "mib", "ablation": "mean"},
            "with ablation=patching and direction=noising only",
        ),
        ({"compat": "mob"}, "Did you mean 'mib'?"),
    ],
)
def test_where_it_is_not_defined_it_is_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises((OptionError, LookupError)) as caught:
        Settings.from_arguments(arguments)
    assert message in str(caught.value)


def test_information_flow_routes_are_selected_greedily_unless_said_otherwise() -> None:
    flow = {"compat": "mib", "method": "information-flow-routes"}
    assert Settings.from_arguments(flow).selection == "greedy"
    assert Settings.from_arguments({**flow, "selection": "top-n"}).selection == "top-n"
    assert Settings.from_arguments({"method": "information-flow-routes"}).selection == "top-n"
    assert Settings.from_arguments({"compat": "mib"}).selection == "top-n"


@pytest.mark.parametrize("name", ["normalised_logit", "normalized_logit"])
def test_the_normalised_logit_is_mibs(name: str) -> None:
    settings = Settings.from_arguments({"compat": "mib", "metric": name})
    assert settings.metric == settings.to_dict()["metric"] == "mib_normalized_logit"
    task = Setup(tiny_model("gpt2"), Settings(compat="mib"), "normalised_logit")
    assert task.metric_name == "mib_normalized_logit"
    assert Settings(metric="normalised_logit").metric == "normalised_logit"
    batch = token_batches(3)[0]
    logits = torch.randn(3, 1, VOCABULARY, generator=torch.Generator().manual_seed(0))
    found = METRICS.get("mib_normalized_logit")(logits, batch)
    for row, value in enumerate(found.tolist()):
        right = int(batch.answers.tokens[row, 0, 0])
        assert value == pytest.approx(float(logits[row, 0, right]) / float(logits[row, 0].max()))


@pytest.mark.parametrize("level", ["edge", "node"])
def test_units_are_counted_as_mib_does(level: str) -> None:
    model = tiny_model("gpt2")
    space = ScoreSpace(model.graph, level)  # type: ignore[arg-type]
    values = np.random.default_rng(0).standard_normal(space.shape) * space.real
    given = Given.of(Scores(space, values))
    circuits = given.circuits(MIB_SIZES, tuple(Ranking), "top-n", published=True)
    for ranking in Ranking:
        order = np.argsort(-ranking.of(values[space.real]), kind="stable")
        for size, circuit in zip(MIB_SIZES, circuits[ranking], strict=True):
            kept = np.zeros(space.n_units, dtype=bool)
            kept[order[: int(size * space.n_units)]] = True
            whole = np.zeros(space.shape, dtype=bool)
            whole[space.real] = kept
            np.testing.assert_array_equal(circuit.kept, Circuit(space, whole).prune().kept)
    assert circuits[Ranking.SIGNED][0].n_kept == 0
    assert (space.n_at(0.001), space.n_at(0.001, published=True)) == (1, 0)
    hundred = ScoreSpace(Graph(n_layers=9, n_heads=10, n_kv_heads=10, d_model=4), "node")
    assert (hundred.n_units, hundred.n_at(0.29), hundred.n_at(0.29, published=True)) == (
        100,
        29,
        28,
    )
