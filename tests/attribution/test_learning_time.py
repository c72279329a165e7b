"""What learned methods say of their cost before they start, and of the time they take."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pytest
from helpers.defined import few_steps
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.attribution import Job, attribute
from harness_circuits.attribution.learning import loop
from harness_circuits.attribution.learning.minibatches import Minibatches
from harness_circuits.attribution.learning.objectives import Objective
from harness_circuits.circuits.scores import Level, Scores
from harness_circuits.metrics.metrics import METRICS


def learned(method: str = "MAttr", level: Level = "node", **options: Any) -> Scores:
    job = Job(tiny_model("gpt2"), token_batches(6, 6, size=4), METRICS.get("logit_diff"), level)
    quick = {"steps": 4, "pairs_per_step": 2}
    return attribute(job, method, **{**few_steps(method), **quick, **options})


class Clock:
    """Seconds that pass in preparing pairs and in running them with masks alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, batch: float, run: float) -> None:
        self.seconds, make, gradient = 0.0, Minibatches._make, Objective.gradient

        def timed_make(data: Minibatches, pairs: Any) -> Any:
            self.seconds += batch * len(pairs)
            return make(data, pairs)

        def timed_gradient(loss: Objective, mask: Any, part: Any, data: Any) -> Any:
            self.seconds += run * len(part.batch)
            return gradient(loss, mask, part, data)

        monkeypatch.setattr(Minibatches, "_make", timed_make)
        monkeypatch.setattr(Objective, "gradient", timed_gradient)
        monkeypatch.setattr(loop.time, "monotonic", lambda: self.seconds)


def told(caplog: pytest.LogCaptureFixture, **options: Any) -> list[str]:
    with caplog.at_level(logging.INFO, "lm_eval.circuit"):
        learned(**options)
    return [r.getMessage() for r in caplog.records if "steps of up to" in r.getMessage()]


def test_costs_and_times_are_said_before_and_once_they_are_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cost, first, line = told(caplog, steps=6)
    assert "learns by 6 steps of up to 2 pairs: at most as long as running 48 pairs" in cost
    assert first.startswith("method=MAttr, objective=metric: 6 steps of up to 2 pairs take about ")
    assert first.endswith("by the first run with a mask; the time is said again after 3.")
    assert line.startswith("method=MAttr, objective=metric: 3 steps of up to 2 pairs left, about ")
    assert "by the first 3; nothing is kept if it is stopped" in line
    caplog.clear()
    cost, only = told(caplog, steps=3)
    assert only.endswith("by the first run with a mask.")


@pytest.mark.parametrize("method", ["MAttr", "UGS"])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("steps", [3, 8])
def test_the_first_estimate_is_what_all_steps_then_take(
    method: str,
    kept: bool,
    steps: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole epochs, or a part of the first one."""
    if not kept:
        monkeypatch.setattr("harness_circuits.attribution.learning.minibatches.KEPT_BYTES", 0)
    clock = Clock(monkeypatch, batch=70.0, run=10.0)
    _, first, *_ = told(caplog, method=method, steps=steps)
    hours, minutes, seconds = re.search(r"about (?:(\d+):)?(\d+):(\d+),", first).groups()  # type: ignore[union-attr]
    said = 3600 * int(hours or 0) + 60 * int(minutes) + int(seconds)
    assert said == pytest.approx(clock.seconds, rel=0.01, abs=1)


def test_estimates_run_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = tiny_model("gpt2").counts
    found = []
    for _ in range(2):
        counts.clear()
        found.append((learned("UGS", "edge").values, dict(counts)))
        monkeypatch.setattr(loop._Run, "_forecast", lambda *_: None)
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1] and found[0][1]["backward"] == 4 * 3
