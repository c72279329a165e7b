"""Score sums per group of examples: kept, stored, resampled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_models import tiny_model, token_batches
from safetensors import safe_open
from safetensors.numpy import save_file

from harness_circuits.attribution import METHODS, Job, attribute
from harness_circuits.attribution.sums import group_batches
from harness_circuits.circuits.samples import Samples
from harness_circuits.circuits.scores import Level
from harness_circuits.errors import CircuitFileError, MismatchError, OptionError
from harness_circuits.formats import read_scores, write_scores
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.statistics.bootstrap import resample_weights

N, SIZE = 7, 2


def job(*, size: int = SIZE, keep: int = 4, level: Level = "edge") -> Job:
    batches = token_batches(N, size=size)
    return Job(tiny_model("llama"), batches, METRICS.get("logit_diff"), level, keep_samples=keep)


@pytest.mark.parametrize("level", ["edge", "node", "neuron"])
def test_samples_are_the_scores_of_their_examples(level: Level) -> None:
    scores = attribute(job(level=level), "EAP")
    assert scores.samples is not None
    whole = job(level=level)
    lengths = [len(batch) for batch in whole.batches]
    groups = group_batches(lengths, 4)
    assert groups.tolist()[:2] == [0, 1]
    assert scores.samples.sizes.tolist() == np.bincount(groups, weights=lengths).tolist()
    total = scores.samples.sums.sum(0, dtype=np.float64) / N
    np.testing.assert_allclose(total, scores.values, atol=1e-6 * np.abs(scores.values).max())
    alone = attribute(replace(whole, batches=whole.batches[1:2], keep_samples=0), "EAP")
    np.testing.assert_allclose(
        scores.samples.sums[1] / len(whole.batches[1]),
        alone.values,
        atol=1e-6 * np.abs(alone.values).max(),
    )
    assert alone.samples is None


@pytest.mark.parametrize("name", [n for n in METHODS if METHODS.get(n).samples])
def test_every_method_that_says_so_keeps_samples(name: str) -> None:
    scores = attribute(job(), name)
    assert scores.samples is not None
    total = scores.samples.sums.sum(0, dtype=np.float64) / N
    np.testing.assert_allclose(total, scores.values, atol=1e-5 * np.abs(scores.values).max())


def test_a_method_without_samples_is_refused_before_it_runs() -> None:
    model = tiny_model("llama")
    before = dict(model.counts)
    with pytest.raises(OptionError, match=r"method=random does not score example by example.*EAP"):
        attribute(job(), "random")
    assert dict(model.counts) == before


def test_resampling_weights_samples_by_their_examples() -> None:
    sums = np.array([[2.0, 4.0], [9.0, -3.0]], dtype=np.float32)
    samples = Samples(sums, np.array([2, 3]))
    drawn = samples.resampled(np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 2.0]]))
    np.testing.assert_allclose(drawn, [[11 / 5, 1 / 5], [1, 2], [3, -1]])


def test_resampling_whole_data_gives_the_scores_on_average() -> None:
    scores = attribute(job(size=1, keep=N), "EAP")
    assert scores.samples is not None
    units = np.flatnonzero(scores.space.real)[:50]
    drawn = scores.samples.resampled(resample_weights(N, 4000, 0), units)
    error = drawn.std(0) / np.sqrt(4000)
    assert (np.abs(drawn.mean(0) - scores.values.ravel()[units]) <= 5 * error + 1e-12).all()


def test_samples_survive_saving_and_further_provenance(tmp_path: Path) -> None:
    scores = attribute(job(), "EAP").describe(task="x")
    assert scores.samples is not None
    loaded = read_scores(write_scores(tmp_path / "a.safetensors", scores))
    assert loaded.samples is not None
    np.testing.assert_array_equal(loaded.samples.sums, scores.samples.sums)
    np.testing.assert_array_equal(loaded.samples.sizes, scores.samples.sizes)
    without = replace(scores, samples=None)
    assert read_scores(write_scores(tmp_path / "b.safetensors", without)).samples is None


def test_samples_of_another_shape_are_refused() -> None:
    scores = attribute(job(keep=0), "EAP")
    with pytest.raises(MismatchError, match=r"Samples of shape \(2,\) do not fit"):
        replace(scores, samples=Samples(np.zeros((1, 2), np.float32), np.array([1])))
    with pytest.raises(MismatchError, match=r"as many positive numbers of examples, got \[0\]"):
        Samples(np.zeros((1, 2), np.float32), np.array([0]))


@pytest.mark.parametrize("sizes", ['"many"', "[1.5, 2]", "[2, 2, 2, null]"])
def test_a_file_with_other_sample_sizes_is_refused(tmp_path: Path, sizes: str) -> None:
    scores = attribute(job(), "EAP")
    path = write_scores(tmp_path / "a.safetensors", scores)
    with safe_open(path, framework="numpy") as file:
        header = {**file.metadata(), "sample_sizes": sizes}
        arrays = {name: file.get_tensor(name) for name in ("scores", "samples")}
    save_file(arrays, path, metadata=header)
    with pytest.raises(CircuitFileError, match="sample_sizes are whole numbers"):
        read_scores(path)
