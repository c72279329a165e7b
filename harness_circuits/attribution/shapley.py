"""shapley: a unit's mean marginal over random orders (Shapley 1953; Castro et al. 2009).

The game of evaluation: a coalition of units is a circuit, its value the circuit's metric. In each random
order the units are added to the empty circuit one by one; a unit gets what the metric rises by. The mean
over orders is an unbiased estimate of the Shapley value, and in every order the scores add up to the
metric of the model less that of the empty circuit, exactly. With `antithetic` each order is walked
backwards too, and the two are one sample. Every step of every order is a run of a circuit: for small
graphs, and as an oracle for faster methods.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from harness_circuits.attribution.exact import MANY_RUNS
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.machine.progress import progress
from harness_circuits.options import Option
from harness_circuits.options.kinds import SEED, Number, Switch, Whole
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.circuit_run import run_circuits

logger = logging.getLogger("lm_eval")

LEAST = 4  # samples before the tolerance may end the run


def shapley(
    job: Job, *, permutations: int, antithetic: bool, tolerance: float, seed: int
) -> Scores:
    """Score by mean marginals over random orders of the units.

    Args:
        job: Model, data, metric, level and ablation.
        permutations: Number of random orders, at most.
        antithetic: Walk each order backwards too.
        tolerance: Stop once the largest standard error is at most this share of the largest
            absolute score; 0 walks all orders.
        seed: Seed of the orders.

    Returns:
        Scores with their standard errors, where there are two samples or more.
    """
    units, generator = np.flatnonzero(job.space.real), np.random.default_rng(seed)
    walks, n_batches = 1 + antithetic, len(job.own)
    n_runs = permutations * walks * len(units) * n_batches
    _announce(job, n_runs)
    samples = _Samples(int(np.prod(job.space.shape)))
    with progress(n_runs, "discovery", "circuit runs") as bar, job.model.tells(bar.alive):
        while samples.n < permutations and not (samples.n >= LEAST and samples.spread <= tolerance):
            order = generator.permutation(units)
            orders = [order, order[::-1]][:walks]
            samples.add(np.mean([marginals(job, o, bar.advance) for o in orders], axis=0))
    errors = samples.standard_errors
    facts = {"samples": samples.n, "score_sum": float(samples.mean.sum())}
    if errors is not None:
        facts |= {"largest_standard_error": float(errors.max())}
        errors = errors.reshape(job.space.shape)
    total = torch.from_numpy(samples.mean.reshape(job.space.shape)) * job.n_examples
    return replace(job.scores(total, **facts), standard_errors=errors)


class _Samples:
    """Running mean and spread of samples of all scores."""

    def __init__(self, n_units: int) -> None:
        self.n, self.mean, self._squares = 0, np.zeros(n_units), np.zeros(n_units)

    def add(self, sample: Float[np.ndarray, "unit"]) -> None:
        """Take one more sample."""
        self.n += 1
        change = sample - self.mean
        self.mean = self.mean + change / self.n
        self._squares += change * (sample - self.mean)

    @property
    def standard_errors(self) -> Float[np.ndarray, "unit"] | None:
        """Standard errors of the mean; None of a single sample."""
        if self.n < 2:
            return None
        errors: Float[np.ndarray, "unit"] = np.sqrt(self._squares / (self.n - 1) / self.n)
        return errors

    @property
    def spread(self) -> float:
        """The largest standard error as a share of the largest absolute score."""
        errors, largest = self.standard_errors, float(np.abs(self.mean).max())
        return np.inf if errors is None or not largest else float(errors.max()) / largest


@torch.no_grad()
def marginals(
    job: Job, order: Int[np.ndarray, "unit"], advance: Callable[[int], object]
) -> Float[np.ndarray, "unit"]:
    """What each unit raises the metric by when the units are added in an order, mean over examples.

    Args:
        job: Model, data, metric, level and ablation.
        order: Flat indices of all units that exist.
        advance: Told how many circuits of a batch have been run.
    """
    total = torch.zeros(int(np.prod(job.space.shape)), dtype=torch.float64)
    for batch in (job.prepared(job.batches[at]) for at in job.own):
        clean = job.model.forward(batch.clean)
        stream = AblatedStream(job.model, batch.clean, job.ablation.replacement(job.model, batch))
        values = np.empty(len(order) + 1)
        values[-1] = float(job.metric(clean, batch, clean).sum(dtype=torch.float64))
        for first in range(0, len(order), batch.at_once):
            counts = range(first, min(first + batch.at_once, len(order)))
            circuits = [first_units(job.space, order, n) for n in counts]
            for n, logits in zip(
                counts, run_circuits(job.model, circuits, batch.clean, stream), strict=True
            ):
                values[n] = float(job.metric(logits, batch, clean).sum(dtype=torch.float64))
            advance(len(counts))
        total[torch.from_numpy(order.copy())] += torch.from_numpy(np.diff(values))
    found: Float[np.ndarray, "unit"] = (job.ranks.sum_(total) / job.n_examples).numpy()
    return found


def first_units(space: ScoreSpace, order: Int[np.ndarray, "unit"], n: int) -> Circuit:
    """The circuit of the first n units of an order, unpruned."""
    kept = np.zeros(space.shape, dtype=bool)
    kept.ravel()[order[:n]] = True
    return Circuit(space, kept)


def _announce(job: Job, n_runs: int) -> None:
    """Say what is ahead, if that is much."""
    if n_runs > MANY_RUNS:
        logger.warning(
            "method=shapley runs a circuit per unit, order and batch: %d %ss, %d batches, %d circuit "
            "runs of up to %d prompts each on %s. The time left is shown; fewer permutations or "
            "pairs (n_discovery), level=node, or EAP-IG-circuits take less.",
            job.space.n_units,
            job.level,
            len(job.own),
            n_runs,
            max(len(batch) for batch in job.batches),
            job.model.name,
        )


def passes(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """Per order and direction, both runs and a circuit per unit."""
    walks = options["permutations"] * (1 + options["antithetic"])
    return float(walks * (2 + space.n_units))


METHODS.register("shapley", also=("Shapley",))(
    Method(
        function=shapley,
        options={
            "permutations": Option(Whole(1, 100_000), 20, "random orders, at most"),
            "antithetic": Option(Switch(), True, "walk each order backwards too"),
            "tolerance": Option(
                Number(0, 1), 0.0, "stop at this largest error, of the largest score"
            ),
            "seed": Option(SEED, 0, "seed of the orders; the run's by default"),
        },
        levels=("edge", "node"),
        gradients=False,
        samples=False,
        passes=passes,
        source="Shapley 1953; Castro et al. 2009",
    )
)
