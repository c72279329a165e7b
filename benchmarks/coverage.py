"""How often intervals hold the truth and comparisons raise false alarms: a simulation, as Markdown.

    python -m benchmarks.coverage [--runs 1000] [--pairs 12 20 50 200]      (one core, minutes)

Values per example are drawn from populations whose faithfulness is known: of full model, empty circuit
and circuits at ten sizes, skewed (log-normal) or heavy-tailed (Student's t with 3 degrees of freedom).
The gap between full model and empty circuit is large or small against its spread between examples, and
the curve is near 1 at all sizes or rises from near 0. Printed is the share of runs whose published
interval holds the truth, beside the percentile bootstrap's, which was published before; and for two
runs, on the same pairs or on others, the share of comparisons with any significant row, over all
populations: false alarms where both are drawn alike, power where the new one is worse, and how often the
intervals of the differences hold the true ones there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.measure import machine
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.curve import (
    CurveValues,
    Statistic,
    area_statistics,
    areas_of,
    columns,
    curve_statistics,
    point_statistic,
)
from harness_circuits.evaluation.uncertainty import Bounds, curve_intervals
from harness_circuits.report.comparison.compare import judged_interval
from harness_circuits.statistics.bootstrap import Interval, resample_weights
from harness_circuits.statistics.differences import (
    Difference,
    holm,
    paired_differences,
    unpaired_differences,
)
from harness_circuits.statistics.two_samples import two_sample_differences

SIZES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SHAPES = ("skewed", "heavy-tailed")
GAPS = {"large": 3.0, "small": 1.0}  # in standard deviations between examples
CURVES = {
    "near 1": np.array([0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 1.0, 1.01, 1.0, 1.0]),
    "rising": np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 0.95, 1.02, 1.0]),
}
SIGMA = 0.8  # of the logarithm
NOISE = 0.3  # of a circuit's values, where the smallest sizes have most
SHARED = 0.3  # of its variance is common to all sizes
ALPHA = 0.05
COMPARED = (12, 16, 50, 200)  # pairs of compared runs
UNPAIRED = ("samples", "unpaired")  # tests of runs on pairs of their own
FEWER = 4  # as many comparisons of a population as runs behind its coverage, divided by this
WORSE = 0.1  # by how much faithfulness drops at all sizes below 1, where power is measured
AREA_NAMES = ("cpr", "cmd", "cmd_log")
NAMES = (*AREA_NAMES, "points", "worst point")


@dataclass(frozen=True)
class Population:
    """Where values per example are drawn from."""

    shape: str
    curve: str
    gap: str

    @property
    def truth(self) -> Float[np.ndarray, "size"]:
        """Faithfulness of its circuits."""
        return CURVES[self.curve]

    def draw(
        self, generator: np.random.Generator, n: int, runs: int = 1, drop: float = 0.0
    ) -> list[CurveValues]:
        """Values of some runs on the same n examples, the last less faithful by `drop`."""
        gap = GAPS[self.gap] + _unit(generator, self.shape, n)
        empty = _unit(generator, self.shape, n) - 1
        at = np.array(SIZES)[:, None]
        spread = NOISE * np.where(at == 1, 0, 1 - at / 2)
        hard = SHARED**0.5 * _unit(generator, self.shape, n)
        found = []
        for run in range(runs):
            own = (1 - SHARED) ** 0.5 * _unit(generator, self.shape, len(SIZES), n)
            less = drop * (at < 1) * (run == runs - 1)
            values = empty + (self.truth[:, None] - less) * gap + spread * (hard + own)
            found.append(CurveValues(SIZES, empty + gap, empty, values))
        return found


POPULATIONS = tuple(Population(*names) for names in product(SHAPES, CURVES, GAPS))


def _unit(generator: np.random.Generator, shape: str, *size: int) -> np.ndarray:
    """Numbers of mean 0 and variance 1."""
    if shape == "heavy-tailed":
        return generator.standard_t(3, size) / np.sqrt(3)
    square = np.exp(SIGMA**2)
    drawn = generator.lognormal(0, SIGMA, size)
    return np.asarray((drawn - np.sqrt(square)) / np.sqrt((square - 1) * square))


def percentile(values: CurveValues, iters: int, seed: int) -> dict[str, list[Bounds]]:
    """The intervals of versions up to 0.1: quantiles of resampled numbers."""
    f = values.faithfulness(resample_weights(len(values.full), iters, seed))
    draws = {"points": f.T}
    for ranking in Ranking:
        for name, area in areas_of(ranking).items():
            draws[name] = area.function(SIZES, f)[None]
    ends = {name: np.nanquantile(rows, [0.025, 0.975], axis=1).T for name, rows in draws.items()}
    return {name: [(float(low), float(high)) for low, high in rows] for name, rows in ends.items()}


def published(values: CurveValues, iters: int, seed: int) -> dict[str, list[Bounds]]:
    """The intervals that the package publishes."""
    found, _ = curve_intervals(dict.fromkeys(Ranking, values), iters, seed)
    areas = {name: [b] for curve in found.values() for name, b in curve.areas.items()}
    return {"points": found[Ranking.ABSOLUTE].points, **areas}


INTERVALS = {"before": percentile, "now": published}


def coverage(
    population: Population, n: int, runs: int, iters: int, seed: int
) -> dict[str, dict[str, float]]:
    """Share of runs whose interval holds the truth, by kind of interval and number."""
    generator = np.random.default_rng([seed, n, len(POPULATIONS) + POPULATIONS.index(population)])
    truth = {"points": population.truth[:-1]}  # the whole model's point has no width
    for ranking in Ranking:
        for name, area in areas_of(ranking).items():
            truth[name] = np.array([area.function(SIZES, population.truth)])
    held: dict[str, dict[str, list[list[bool]]]] = {
        kind: {name: [] for name in truth} for kind in INTERVALS
    }
    for run in range(runs):
        (values,) = population.draw(generator, n)
        for kind, intervals in INTERVALS.items():
            found = intervals(values, iters, run)
            for name, wanted in truth.items():
                pairs = zip(found[name], wanted, strict=False)
                held[kind][name].append([b is not None and b[0] <= t <= b[1] for b, t in pairs])
    shares = {
        kind: {name: np.mean(hits, axis=0) for name, hits in by_name.items()}
        for kind, by_name in held.items()
    }
    return {
        kind: {name: float(share.mean()) for name, share in by_name.items()}
        | {"worst point": float(by_name["points"].min())}
        for kind, by_name in shares.items()
    }


def rows_of_a_cell(ranking: Ranking) -> list[Statistic]:
    """Statistics of a ranking as `compare` has them: areas, and points below the whole model."""
    points = [point_statistic(ranking, at) for at in range(len(SIZES) - 1)]
    return [*area_statistics(ranking, SIZES).values(), *points]


STATISTICS = curve_statistics(
    [SIZES, SIZES],
    [(at, row) for at, ranking in enumerate(Ranking) for row in rows_of_a_cell(ranking)],
)

IS_AREA = np.array([at < len(areas_of(r)) for r in Ranking for at in range(len(rows_of_a_cell(r)))])


def before(old: CurveValues, new: CurveValues, iters: int, seed: int) -> list[float]:
    """P-values of versions up to 0.1: inverted percentile intervals, after Holm's correction."""
    weights = resample_weights(len(old.full), iters, seed)
    means = [weights @ columns([side, side]).T for side in (old, new)]
    draws = STATISTICS(means[1]) - STATISTICS(means[0])
    tail = np.minimum((draws <= 0).sum(0), (draws >= 0).sum(0))
    return holm(np.minimum(1, 2 * (tail + 1) / (len(draws) + 1)).tolist())


def now(old: CurveValues, new: CurveValues, iters: int, seed: int) -> list[Difference]:
    """Differences of a cell whose runs are over the same pairs."""
    a, b = (columns([side, side]) for side in (old, new))
    return paired_differences(a, b, STATISTICS, iters, seed)


def true_differences(population: Population, drop: float) -> Float[np.ndarray, "row"]:
    """What the rows of a cell are where the new run is less faithful by `drop` below size 1."""
    less = drop * (np.array(SIZES) < 1)
    sides = [population.truth, population.truth - less]
    rows = [[row(f[None])[0] for r in Ranking for row in rows_of_a_cell(r)] for f in sides]
    return np.asarray(rows[1]) - np.asarray(rows[0])


def unpaired(old: CurveValues, new: CurveValues, iters: int, seed: int) -> list[float]:
    """Adjusted p-values of a cell whose runs have only their published intervals."""
    a, b = (_published_rows(side, iters, seed + at) for at, side in enumerate((old, new)))
    return _known(unpaired_differences(a, b))


def samples(old: CurveValues, new: CurveValues, iters: int, seed: int) -> list[float]:
    """Adjusted p-values of a cell whose runs are over pairs of their own."""
    a, b = (columns([side, side]) for side in (old, new))
    return _known(two_sample_differences(a, b, STATISTICS, iters, seed))


def _known(found: Sequence[Difference]) -> list[float]:
    return [1.0 if one.adjusted_p is None else one.adjusted_p for one in found]


def _published_rows(values: CurveValues, iters: int, seed: int) -> list[Interval]:
    found = published(values, iters, seed)
    f = values.faithfulness(np.full(len(values.full), 1 / len(values.full)))
    rows = []
    for ranking in Ranking:
        for name, area in areas_of(ranking).items():
            (bounds,) = found[name]
            assert bounds is not None
            rows.append(Interval(float(area.function(SIZES, f)), *bounds))
        for value, bounds in zip(f[:-1], found["points"], strict=False):
            assert bounds is not None
            rows.append(judged_interval(ranking, Interval(float(value), *bounds)))
    return rows


def alarms(n: int, runs: int, iters: int, seed: int, drop: float = 0.0) -> dict[str, float]:
    """Share of comparisons with any significant row, by test, over all populations.

    And under `areas` and `points` the share of paired differences whose interval holds the truth.
    """
    found: dict[str, list[Any]] = {"before": [], "now": [], "samples": [], "unpaired": []}
    held: list[list[bool]] = []
    for index, population in enumerate(POPULATIONS):
        generator = np.random.default_rng([seed, n, index])
        truth = true_differences(population, drop)
        for run in range(runs):
            old, new = population.draw(generator, n, 2, drop)
            (other,) = population.draw(generator, n)
            found["before"].append(min(before(old, new, iters, run)) <= ALPHA)
            paired = now(old, new, iters, run)
            found["now"].append(min(_known(paired)) <= ALPHA)
            found["samples"].append(min(samples(other, new, iters, run)) <= ALPHA)
            found["unpaired"].append(min(unpaired(other, new, iters, 2 * run)) <= ALPHA)
            ends = [(d.estimate.low, d.estimate.high) for d in paired]
            held.append([a <= t <= b for (a, b), t in zip(ends, truth, strict=True)])
    rows = np.mean(held, axis=0)
    shares = {"areas": rows[IS_AREA].mean(), "points": rows[~IS_AREA].mean()}
    return {test: float(np.mean(hits)) for test, hits in (found | shares).items()}


def tables(pairs: Sequence[int], runs: int, iters: int, seed: int) -> Iterator[str]:
    """Lines of the tables."""
    few = max(1, runs // FEWER)
    total = few * len(POPULATIONS)
    yield f"Comparisons with any significant row, {total} each, percentile and Holm (before) → now:\n"
    yield (
        "| pairs | false alarms | power | two samples: false alarms | power "
        "| published intervals: false alarms | power | interval of a difference: areas | points |"
    )
    yield "|---" * 9 + "|"
    for n in COMPARED:
        null, planted = (alarms(n, few, iters, seed, drop) for drop in (0, WORSE))
        cells = [f"{found['before']:.1%} → {found['now']:.1%}" for found in (null, planted)]
        cells += [f"{found[test]:.1%}" for test in UNPAIRED for found in (null, planted)]
        cells += [f"{planted[name]:.1%}" for name in ("areas", "points")]
        yield f"| {n} | {' | '.join(cells)} |"
    yield f"\nCoverage of 95% intervals, {runs} runs each, percentile bootstrap (before) → now:\n"
    yield f"| population | pairs | {' | '.join(NAMES)} |"
    yield "|---" * (len(NAMES) + 2) + "|"
    for population, n in product(POPULATIONS, pairs):
        found = coverage(population, n, runs, iters, seed)
        both = (f"{found['before'][name]:.1%} → {found['now'][name]:.1%}" for name in NAMES)
        yield f"| {_title(population)} | {n} | {' | '.join(both)} |"


def _title(population: Population) -> str:
    return f"{population.shape}, f {population.curve}, {population.gap} gap"


def main() -> None:
    """Print machine and tables."""
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated runs of each case")
    parser.add_argument("--pairs", type=int, nargs="+", default=[12, 20, 50, 200])
    parser.add_argument("--iters", type=int, default=999, help="resamples, and exchanges")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = machine()
    print(f"{found['cpu']}, {found['cores']} cores; numpy {np.__version__}\n")
    for line in tables(options.pairs, options.runs, options.iters, options.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
