"""From values per example to metrics with intervals, curves and a table."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from helpers.example_records import SIZES, made_records
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.evaluation.curve import cmd, cmd_log, cpr
from harness_circuits.evaluation.summary import (
    ExampleRecord,
    metric_names,
    summarise,
    table,
)


def faithfulness(records: list[ExampleRecord], ranking: str, at: int) -> float:
    m_full = np.mean([record.full for record in records])
    m_empty = np.mean([record.empty for record in records])
    m_circuit = np.mean([record.circuits[ranking][at] for record in records])
    return float((m_circuit - m_empty) / (m_full - m_empty))


@given(st.integers(0, 500), st.integers(1, 8))
def test_estimates_by_hand(seed: int, n: int) -> None:
    records = made_records(seed, n)
    metrics = summarise(records).metrics
    assert metrics["full_metric"] == pytest.approx(np.mean([r.full for r in records]))
    assert metrics["corrupted_metric"] == pytest.approx(np.mean([r.empty for r in records]))
    curves = {}
    for ranking, prefix in ((Ranking.ABSOLUTE, ""), (Ranking.SIGNED, "_signed")):
        f = [faithfulness(records, ranking, at) for at in range(len(SIZES))]
        curves[ranking] = np.array(f)
        named = [metrics[f"faithfulness{prefix}@{size}"] for size in ("0.01", "0.1", "1")]
        assert named == pytest.approx(f)
        edges = [metrics[f"edges{prefix}@{size}"] for size in ("0.01", "0.1", "1")]
        assert edges == [0.5, 1.5, 2.5]
    assert metrics["cpr"] == pytest.approx(cpr(SIZES, curves["signed"]))
    assert metrics["cmd"] == pytest.approx(cmd(SIZES, curves["absolute"]))
    assert metrics["cmd_log"] == pytest.approx(cmd_log(SIZES, curves["absolute"]))


@given(st.integers(0, 50), st.integers(2, 12))
def test_estimates_lie_inside_their_intervals(seed: int, n: int) -> None:
    summary = summarise(made_records(seed, n))
    for name in ("cpr", "cmd", "cmd_log"):
        low, high = (summary.metrics[f"{name}_ci95_{end}"] for end in ("low", "high"))
        value = summary.metrics[name]
        assert low is not None and high is not None and value is not None
        assert low <= value <= high
        assert low >= 0 or name == "cpr"
    for curve in summary.curves.values():
        ends = zip(curve["ci95_low"], curve["faithfulness"], curve["ci95_high"], strict=True)
        assert all(low <= value <= high for low, value, high in ends)


def test_one_pair_has_no_interval_and_none_is_shown() -> None:
    summary = summarise(made_records(0, 1))
    assert summary.metrics["cmd_ci95_low"] is None is summary.metrics["cpr_ci95_high"]
    assert summary.curves["signed"]["ci95_low"] == [None] * len(SIZES)
    assert "NaN" not in json.dumps([summary.metrics, summary.curves])
    assert "95%" not in table(summary) and "no intervals: they need two pairs" in table(summary)


def test_resamples_left_out_are_counted_and_said() -> None:
    summary = summarise(made_records(0, 2))
    count = summary.curves["absolute"]["resamples_without_spread"]
    assert 100 < count < 200  # half of 300
    assert f"{count} resamples have no spread, and are left out" in table(summary)
    assert "resamples_without_spread" not in summarise(made_records(0, 20)).curves["absolute"]


@given(st.integers(0, 500), st.randoms())
def test_order_of_the_records_does_not_matter(seed: int, random: Random) -> None:
    records = made_records(seed)
    shuffled = records.copy()
    random.shuffle(shuffled)
    assert summarise(shuffled) == summarise(records)


def test_resamples_are_shared_by_full_model_sizes_and_rankings() -> None:
    """A circuit equal to the full model has no width; equal circuits have equal intervals."""
    records = [
        replace(
            record, circuits={name: (record.full, record.full, 2.0) for name in record.circuits}
        )
        for record in made_records()
    ]
    curves = summarise(records).curves
    for curve in curves.values():
        assert curve["ci95_low"][:2] == pytest.approx([1, 1])
        assert curve["ci95_high"][:2] == pytest.approx([1, 1])
        assert curve["ci95_high"][2] > curve["ci95_low"][2]
    same = ("faithfulness", "ci95_low", "ci95_high")
    assert [curves["signed"][key] for key in same] == [curves["absolute"][key] for key in same]


@pytest.mark.parametrize("sizes", [SIZES, (0.1,)])
@pytest.mark.parametrize("rankings", [(Ranking.ABSOLUTE,), (Ranking.SIGNED,), tuple(Ranking)])
def test_names_are_known_before_the_run(
    sizes: tuple[float, ...], rankings: tuple[str, ...]
) -> None:
    records = made_records(sizes=sizes, rankings=rankings)
    found = summarise(records).metrics
    assert set(found) == set(metric_names(records[0].header))
    assert ("cpr" in found) == ("signed" in rankings and len(sizes) > 1)
    assert ("cmd" in found) == ("cmd_log" in found) == ("absolute" in rankings and len(sizes) > 1)


def test_curves_are_plain_json_with_accuracy_and_sizes() -> None:
    records = made_records()
    curve = summarise(records).curves["signed"]
    assert curve["sizes"] == list(SIZES)
    assert curve["kept"] == [1, 2, 3]
    hits = [record.accuracy["signed"] for record in records]
    assert curve["accuracy"] == pytest.approx(np.mean(hits, axis=0).tolist())
    assert {type(value) for key in ("accuracy", "faithfulness") for value in curve[key]} == {float}


def test_no_resamples_give_no_intervals() -> None:
    records = [replace(r, header=replace(r.header, iters=0)) for r in made_records()]
    found = summarise(records)
    assert found.metrics["cmd_ci95_low"] is None is found.metrics["cmd_ci95_high"]
    assert found.curves["signed"]["ci95_low"] == [None] * len(SIZES)


def test_records_print_as_their_number() -> None:
    assert str(made_records()[3]) == "example 3"


@given(st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_different_sizes_have_different_names(a: float, b: float) -> None:
    assert float(size_name(a)) == pytest.approx(a, rel=1e-9)
    if abs(a - b) > 1e-9 * max(a, b):
        assert size_name(a) != size_name(b)


def test_size_names() -> None:
    assert [size_name(size) for size in (0.001, 0.05, 0.1 + 0.2, 1.0)] == [
        "0.001",
        "0.05",
        "0.3",
        "1",
    ]


def test_the_table_shows_every_size() -> None:
    summary = summarise(made_records())
    lines = table(summary).split("\n")
    assert lines[0].split() == ["size", "0.01", "0.1", "1"]
    assert [line[:24].rstrip() for line in lines[1:]] == [
        "faithfulness by |score|", "  95%: from", "  95%: to", "  edges kept",
        "faithfulness by score", "  95%: from", "  95%: to", "  edges kept",
    ]  # fmt: skip
    shown = [f"{value:.2f}" for value in summary.curves["absolute"]["faithfulness"]]
    assert lines[1][24:].split() == shown
    ends = summary.curves["absolute"]
    for at, end in ((2, "ci95_low"), (3, "ci95_high")):
        assert lines[at][24:].split() == [f"{value:.2f}" for value in ends[end]]
    assert lines[4][24:].split() == ["0", "2", "2"]
    assert len({len(line) for line in lines}) == 1


def test_circuits_that_exceed_the_model_are_counted_and_said() -> None:
    """By hand: f of 1, 1.5 and 0.5 at three sizes, without any spread."""
    share = {"absolute": (1.0, 1.5, 0.5), "signed": (1.0, 1.0, 1.0)}
    records = [
        replace(
            record,
            circuits={
                ranking: tuple(record.empty + f * (record.full - record.empty) for f in values)
                for ranking, values in share.items()
            },
        )
        for record in made_records()
    ]
    found = summarise(records)
    names = [f"exceeds{end}" for end in ("", "_ci95_low", "_ci95_high", "_signed")]
    assert [found.metrics[name] for name in names] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    (said,) = (line for line in table(found).split("\n") if "exceed the model" in line)
    assert said == (
        "by |score|, circuits of 33% of the sizes exceed the model: f above 1.05 "
        "(surely 33%, at most 33%)"
    )


@given(st.integers(0, 50), st.integers(1, 12))
def test_the_accuracy_area_is_the_mean_over_the_log_axis(seed: int, n: int) -> None:
    records = made_records(seed, n)
    metrics = summarise(records).metrics
    for ranking, suffix in (("absolute", ""), ("signed", "_signed")):
        hits = np.mean([record.accuracy[ranking] for record in records], axis=0)
        by_hand = np.trapezoid(hits, np.log(SIZES)) / np.log(SIZES[-1] / SIZES[0])
        value, low, high = (metrics[f"acc_log{suffix}{e}"] for e in ("", "_ci95_low", "_ci95_high"))
        assert value == pytest.approx(by_hand)
        assert (low is None) == (n == 1)
        if (
            low is not None and high is not None
        ):  # never of no width: examples alike are few examples
            assert 0 <= low <= by_hand + 1e-9 <= high + 2e-9 <= 1 + 3e-9 and low < high
