"""The grid of ablations, directions and metrics: each cell is the run under these settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.ablation import ABLATIONS
from harness_circuits.evaluation.grid import settings_of_the_grid
from harness_circuits.evidence.robustness import N_SETTINGS
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.pair import pairs_from_docs


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = save_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    model = hc.load_model(str(folder), device="cpu")
    pairs = pairs_from_docs(documents(0, 9), "tiny")
    circuits = hc.select(hc.discover(model, pairs[:4], method="EAP"), (0.4,))
    how = {"training": pairs[:4], "bootstrap_iters": 50}
    result = hc.faithfulness(model, pairs[4:], circuits, evidence="robustness", **how)
    return {"model": model, "pairs": pairs[4:], "circuits": circuits, "how": how, "result": result}


def test_every_setting_is_there_or_is_said_to_be_undefined(found: dict[str, Any]) -> None:
    data = found["result"].evidence["robustness"]
    (one,) = data["circuits"]
    names = [
        (c["ablation"], c["direction"], c["metric"]) for c in (*one["cells"], *data["not_defined"])
    ]
    wanted = {(*pair, metric) for pair in settings_of_the_grid() for metric in METRICS}
    assert len(names) == len(set(names)) and set(names) == wanted
    assert len(settings_of_the_grid()) == N_SETTINGS == len(list(ABLATIONS)) + 1
    errors = [(cell["faithfulness"], cell["gap_in_errors"]) for cell in one["cells"]]
    f = [value for value, error in errors if error is None or abs(error) >= 4]
    assert one["within_error"] == len(one["cells"]) - len(f) > 0
    if f:
        ends = (one["lowest"]["faithfulness"], one["highest"]["faithfulness"])
        assert ends == (min(f), max(f))
    n = one["within_error"]
    told = f"; {n} {'setting has' if n == 1 else 'settings have'} no gap to speak of"
    assert told in str(found["result"])
    assert "robustness, by absolute at 0.4: f from " in str(found["result"])


@pytest.mark.parametrize(
    "settings",
    [
        {"ablation": "patching", "direction": "noising", "metric": "logit_diff"},
        {"ablation": "patching", "direction": "denoising", "metric": "prob_diff"},
        {"ablation": "zero", "direction": "noising", "metric": "kl"},
        {"ablation": "mean", "direction": "noising", "metric": "logit_diff"},
    ],
)
def test_a_cell_is_the_run_of_its_settings(found: dict[str, Any], settings: dict[str, str]) -> None:
    (one,) = found["result"].evidence["robustness"]["circuits"]
    (cell,) = (c for c in one["cells"] if {name: c[name] for name in settings} == settings)
    own = hc.faithfulness(
        found["model"], found["pairs"], found["circuits"], **found["how"], **settings
    )
    (curve,) = own.curves.values()
    point = curve.points[0]
    assert cell["faithfulness"] == pytest.approx(point.value, rel=1e-9, abs=1e-9)
    assert (cell["ci95_low"], cell["ci95_high"]) == pytest.approx((point.low, point.high), rel=1e-4)
