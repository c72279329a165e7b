"""`benchmarks.stability`: its intervals, and that a stopped run goes on."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.environments import ROOT

from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.evaluation.stability import stability_of
from harness_circuits.statistics.bootstrap import resample_weights
from harness_circuits.statistics.ratio import student_quantile

sys.path.insert(0, str(ROOT))
from benchmarks import stability


def noisy_scores(noise: float, n_groups: int = 20) -> Scores:
    space = ScoreSpace(Graph(n_layers=2, n_heads=4, n_kv_heads=4, d_model=8))
    generator = np.random.default_rng(0)
    effects = generator.normal(size=space.shape)
    sums = effects + noise * generator.normal(size=(n_groups, *space.shape))
    sums = np.where(space.real, sums, 0).astype(np.float32)
    return Scores(space, sums.mean(0), samples=Samples(sums, np.ones(n_groups, dtype=int)))


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    x = np.random.default_rng(0).normal(size=(stability.BLOCKS, 3))
    n = len(x)
    without = [np.delete(x, at, axis=0).mean(0) for at in range(n)]
    for at, found in enumerate(stability.jackknife(np.array([x.mean(0), *without]))):
        half = student_quantile(n) * x[:, at].std(ddof=1) / np.sqrt(n)
        wanted = x[:, at].mean() - half, x[:, at].mean() + half
        assert (found.low, found.high) == pytest.approx(wanted)


def test_an_index_without_a_block_is_that_of_the_other_groups() -> None:
    scores, ranking = noisy_scores(2.0), Ranking.ABSOLUTE
    found = stability.indices(scores, ranking)
    assert scores.samples is not None
    counts = [scores.space.n_at(size) for size in stability.SIZES]
    chance = np.array([n / (2 * scores.space.n_units - n) for n in counts])
    rest = [at for at in range(20) if at % 10 != 3]
    few = Samples(scores.samples.sums[rest], scores.samples.sizes[rest])
    weights = resample_weights(20, stability.RESAMPLES, 0)[:, rest]
    others = Scores(scores.space, scores.values, samples=few)
    wanted = (np.array(stability_of(others, counts, weights, ranking)) - chance) / (1 - chance)
    np.testing.assert_allclose(found[4], wanted, rtol=0, atol=1e-12)
    assert len(found) == 11 and np.ptp(found[:, -1]) > 0
    with pytest.raises(SystemExit, match="12 groups of pairs: a jackknife needs 20"):
        stability.indices(noisy_scores(1.0, 12), ranking)


def test_stability_prints_rows_as_they_come_and_goes_on_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[str] = []

    def discover(model: object, pairs: object, *, method: str, **options: object) -> Scores:
        if method == "stop":
            raise KeyboardInterrupt
        made.append(method)
        return noisy_scores({"EAP": 2.0, "CEAP": 0.2}[method])

    monkeypatch.setattr(stability.hc, "load_model", lambda *_, **how: None)
    monkeypatch.setattr(stability.hc, "discover", discover)
    monkeypatch.setattr(stability, "task_pairs", lambda *_: [None] * 20)
    file = str(tmp_path / "new" / "stability.json")
    with pytest.raises(KeyboardInterrupt):
        stability.main([file, "--methods", "EAP", "stop"])
    before = capsys.readouterr().out
    assert before.count("| default | ioi_circuit | EAP |") == 2, "of both rankings"
    stability.main([file, "--methods", "EAP", "CEAP"])
    rows, less = capsys.readouterr().out.split("Less EAP, paired:")
    assert made == ["EAP", "CEAP"] and rows.startswith(before.rstrip())
    assert less.count("| default | ioi_circuit | CEAP |") == 2 and "| EAP |" not in less
    numbers = re.findall(r"\+0\.[0-9]{3} \[\+0\.", less)
    assert len(numbers) >= 2, "scores with less noise are found again more often, for certain"
