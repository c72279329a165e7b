"""Every number of evidence has an interval, or a reason for none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.environments import ROOT
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.discovery import Discovery
from harness_circuits.evidence import EVIDENCE
from harness_circuits.experiment import Experiment
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.settings import Settings


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CircuitModel:
    folder: Path = save_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    return hc.load_model(str(folder), device="cpu")


def test_the_page_says_what_intervals_are_over() -> None:
    """And what has none, and why: of every kind, in its words."""
    text = (ROOT / "docs" / "evidence.md").read_text()
    for name in EVIDENCE:
        kind = EVIDENCE.get(name)
        row = f"| `{name}` | {kind.intervals or '-'} | {kind.no_interval or '-'} |"
        assert row in text, row


def test_every_number_has_an_interval_or_a_reason(model: CircuitModel) -> None:
    docs = [{**doc, "template": at % 3} for at, doc in enumerate(documents(0, 36))]
    pairs = pairs_from_docs(docs, "tiny")
    options = {"method": "EAP-IG-inputs", "ig_steps": 1, "sizes": (0.3,), "ranking": "absolute"}
    few = {"bootstrap_iters": 50, "evidence_draws": 4, "evidence": "all"}
    settings = Settings.from_arguments({**options, **few})
    found = Experiment(model, settings, pairs[:18], pairs[18:]).run().facts["evidence"]
    for name, what in {
        "incompleteness": "mean",
        "equivalence": "share_above",
        "minimality": "share_not_needed",
        "sufficiency": "share_beaten",
        "partial-necessity": "share_beaten",
    }.items():
        assert_inside(found[name]["circuits"][0], what, "ci95")
    (independent,) = found["independence"]["circuits"]
    assert_inside(independent, "hsic", "hsic_ci95")
    (rephrased,) = found["rephrasing"]["circuits"]
    for what in ("mean_overlap", "mean_overlap_mixed", "mean_on_own", "mean_on_others"):
        assert_inside(rephrased, what, f"{what}_ci95")
    assert found["rediscovery"]["changes"]
    for change in found["rediscovery"]["changes"]:
        assert_inside(change["circuits"][0], "overlap", "overlap_ci95")
        assert_inside(change["circuits"][0], "faithfulness", "ci95")
    for name in EVIDENCE:
        kind, lines = EVIDENCE.get(name), found[name]["summary"]
        said = [
            line for line in lines if line == f"{name}, without an interval: {kind.no_interval}"
        ]
        assert len(said) == bool(kind.no_interval), name
        for table in kind.tables(found[name]):
            assert all(len(row) == len(table.columns) for row in table.rows)
            assert all(type(cell) is str for row in table.rows for cell in row)


def test_overlaps_have_intervals_where_an_ablation_takes_whole_prompts(model: CircuitModel) -> None:
    """Prompts of different lengths: groups of pairs are the same, however much of them is run."""
    # From the first clause on or only before it, so that lengths and first differences vary.
    docs = [
        {
            **doc,
            **{side: f"{'on Friday ' * (at % 3)}{doc[side]}" for side in ("clean", "corrupted")},
        }
        for at, doc in enumerate(documents(0, 30))
    ]
    pairs = pairs_from_docs(docs, "tiny")
    options = {"method": "EAP-IG-inputs", "ig_steps": 1, "sizes": (0.3,), "ranking": "absolute"}
    few = {"bootstrap_iters": 20, "evidence": "rediscovery", "keep_samples": 8}
    settings = Settings.from_arguments({**options, **few})
    experiment = Experiment(model, settings, pairs[:24], pairs[24:])
    whole = replace(settings, ablation="mean")
    again = Discovery(replace(experiment.setup, settings=whole), experiment.discovery.training, 100)
    groups = [batch.indices for batch in experiment.discovery.batches]
    assert groups == [batch.indices for batch in again.batches]
    assert len({batch.n_prompt for batch in again.batches}) == 3
    assert all(batch.pads is None for batch in experiment.discovery.batches)
    found = experiment.run().facts["evidence"]["rediscovery"]
    changes = {change["change"]: change["circuits"][0] for change in found["changes"]}
    assert "ablation=mean" in changes
    for one in changes.values():
        assert_inside(one, "overlap", "overlap_ci95")


def assert_inside(one: dict[str, Any], name: str, prefix: str) -> None:
    low, high = one[f"{prefix}_low"], one[f"{prefix}_high"]
    assert low is not None and low - 1e-9 <= one[name] <= high + 1e-9, (name, low, high)


def test_overlaps_without_score_sums_say_why(model: CircuitModel) -> None:
    pairs = pairs_from_docs(documents(0, 12), "tiny")
    options = {"method": "EAP-IG-inputs", "ig_steps": 1, "sizes": (0.3,), "bootstrap_iters": 20}
    settings = Settings.from_arguments({**options, "evidence": "rediscovery", "keep_samples": 0})
    found = Experiment(model, settings, pairs[:6], pairs[6:]).run().facts["evidence"]["rediscovery"]
    one = found["changes"][0]["circuits"][0]
    assert one["overlap_ci95_low"] is None and one["overlap_ci95_high"] is None
    assert "without an interval: overlaps (no score sums of four groups" in found["summary"][-1]
