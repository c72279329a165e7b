"""ACDC, automatic circuit discovery (Conmy et al. 2023, arXiv 2304.14997), over a sweep of thresholds.

From the whole model, destinations are visited from the logits to the first layer, and the edges into each
from later sources to earlier ones. An edge is removed for good if that raises the loss of the circuit at
hand by less than a threshold. The loss is the KL divergence from the model at the answer's position, or
minus the metric.

Here thresholds grow geometrically, and each starts from what the one before left, so that circuits are
nested and every edge has one threshold at which it falls: its score, made finer by what its removal
raised the loss by, within the thresholds on either side. Scores are never negative.
`selection=threshold` with one of the thresholds gives the circuit that the sweep had there.

The order of decisions makes this slow: about one run of a circuit per edge and threshold. Runs are made
side by side on a guess of how decisions will fall (a wrong guess costs time and changes nothing), and
start at the destination's layer, as nothing before it changes while a threshold is swept. Edges into a
node that nothing reads any more fall without a run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from harness_circuits.attribution.circuit_losses import CircuitLosses, known_bytes
from harness_circuits.attribution.exact import MANY_RUNS
from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.circuit import Circuit, heads_of_destinations
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.errors import NumericalError, OptionError
from harness_circuits.machine.progress import progress
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.options import Option
from harness_circuits.options.kinds import Choice, Number, Switch, Whole
from harness_circuits.passes.memory import Needs

logger = logging.getLogger("lm_eval")

LOSSES = ("kl", "metric")
APART = 1e-9  # keeps scores on their side of a threshold, whatever their rounding
WIDEST = 16  # decisions guessed ahead


def acdc(
    job: Job, *, loss: str, tau_min: float, tau_max: float, tau_steps: int, magnitude: bool
) -> Scores:
    """Score edges by the threshold at which they fall.

    Args:
        job: Model, data, metric and ablation.
        loss: `kl` from the model, or minus the `metric`.
        tau_min: The first threshold, as a share of what removing everything raises the loss by.
        tau_max: The last one.
        tau_steps: Number of thresholds.
        magnitude: Remove an edge only if the loss neither rises nor falls by the threshold.

    Raises:
        NumericalError: Removing everything does not raise the loss.
    """
    _announce(job, tau_steps)
    sweep = Sweep(job, CircuitLosses(job, METRICS.get("kl") if loss == "kl" else job.metric))
    taus = sweep.span * np.geomspace(tau_min, tau_max, tau_steps)
    scores, below = np.zeros(job.space.shape), 0.0
    facts: list[dict[str, float]] = []
    n_edges = job.space.n_units
    with progress(n_edges * tau_steps, "discovery", "edges") as bar, job.model.tells(bar.alive):
        for tau in taus.tolist():
            bar.advance(n_edges - int(sweep.kept.sum()))
            before = sweep.kept.copy()
            sweep.remove_below(tau, magnitude=magnitude, advance=bar.advance)
            fell = before & ~sweep.kept
            scores[fell] = sweep.costs(fell, magnitude).clip(below, tau * (1 - APART))
            facts.append({"tau": tau, "kept": int(sweep.kept.sum()), "loss": sweep.loss})
            below = tau * (1 + APART)
    scores[sweep.kept] = sweep.costs(sweep.kept, magnitude).clip(min=below)
    total = torch.from_numpy(scores) * job.n_examples
    return job.scores(total.to(job.model.device), thresholds=facts)


class Sweep:
    """A circuit that loses edges.

    Attributes:
        kept: What is left.
        loss: Its loss.
        span: What removing everything raises the model's loss by.
        rises: Per edge, what its removal raised the loss by when that was last tried.
    """

    def __init__(self, job: Job, losses: CircuitLosses) -> None:
        """Start with the whole model.

        Raises:
            NumericalError: Removing everything does not raise the loss.
        """
        self.space, self.graph, self.losses = job.space, job.model.graph, losses
        self.kept = self.space.real.copy()
        full, empty = losses([Circuit.full(self.space), Circuit.empty(self.space)])
        self.loss, self.span = full, empty - full
        if not self.span > 0:
            raise NumericalError(
                f"method=ACDC: the model's loss is {full:.4g}, with every edge removed {empty:.4g}: "
                "nothing is lost, and there is nothing to find. Use another loss, metric or task."
            )
        self.rises = np.full(self.space.shape, np.nan)
        self._width, self._guess = 2, True

    def costs(
        self, edges: Bool[np.ndarray, "src dst"], magnitude: bool
    ) -> Float[np.ndarray, "edge"]:
        """What was compared with the threshold when some edges were last tried."""
        rises = self.rises[edges]
        return np.abs(rises) if magnitude else rises

    def remove_below(
        self, tau: float, *, magnitude: bool, advance: Callable[[int], object] = int
    ) -> None:
        """Visit all edges that are left once, and remove those whose removal costs less than tau.

        Args:
            tau: The threshold.
            magnitude: Compare the size of the change.
            advance: Told how many edges have been decided.
        """

        def falls(rise: float) -> bool:
            return (abs(rise) if magnitude else rise) < tau

        self.losses.start_from(Circuit(self.space, self.kept.copy()))
        for destination in reversed(range(self.graph.n_dst)):
            waiting = np.flatnonzero(self.kept[:, destination])[::-1].tolist()
            if not self._is_read(destination):
                self.rises[waiting, destination], self.kept[waiting, destination] = 0.0, False
                advance(len(waiting))
                continue
            while waiting:
                some = waiting[: self._width]
                n = self._decide(some, destination, falls)
                advance(n)
                waiting = waiting[n:]
                self._width = min(2 * self._width, WIDEST) if n == len(some) else max(1, n)

    def _is_read(self, destination: int) -> bool:
        """Whether anything reads the node that a destination belongs to; the logits always are."""
        nodes = np.append(self.kept.any(axis=1), True)
        return bool(heads_of_destinations(self.graph, nodes)[destination])

    def _decide(self, sources: list[int], destination: int, falls: Callable[[float], bool]) -> int:
        """Decide on edges in turn, up to the first that was guessed wrong; how many that are."""
        guesses = [self._guessed(source, destination, falls) for source in sources]
        circuits = list(self._tried(sources, destination, guesses))
        layer = min(destination // self.graph.destinations_per_layer, self.graph.n_layers)
        for n, loss in enumerate(self.losses(circuits, layer)):
            rise = loss - self.loss
            self.rises[sources[n], destination] = rise
            self._guess = falls(rise)
            if self._guess:
                self.loss = loss
                self.kept[sources[n], destination] = False
            if self._guess != guesses[n]:
                return n + 1
        return len(sources)

    def _guessed(self, source: int, destination: int, falls: Callable[[float], bool]) -> bool:
        """By what the edge's removal last did; where it was never tried, as the last decision was."""
        rise = float(self.rises[source, destination])
        return self._guess if np.isnan(rise) else falls(rise)

    def _tried(
        self, sources: list[int], destination: int, guesses: list[bool]
    ) -> Iterator[Circuit]:
        """Per edge, the circuit without it and without those before it that are guessed to fall."""
        kept: Bool[np.ndarray, "src dst"] = self.kept.copy()
        for source, guess in zip(sources, guesses, strict=True):
            kept[source, destination] = False
            yield Circuit(self.space, kept.copy())
            kept[source, destination] = not guess


def _announce(job: Job, steps: int) -> None:
    n_runs = job.space.n_units * steps * len(job.own)
    logger.log(
        logging.WARNING if n_runs > MANY_RUNS else logging.INFO,
        "method=ACDC decides on every edge left at every threshold: at most %d edges x %d thresholds, "
        "%d batches, %d circuit runs of up to %d prompts each on %s, from the edge's layer on. The time "
        "left is shown; fewer pairs (n_discovery) or thresholds (tau_steps) take less.",
        job.space.n_units,
        steps,
        len(job.own),
        n_runs,
        max(len(batch) for batch in job.batches),
        job.model.name,
    )


def check(*, tau_min: float, tau_max: float, **_: Any) -> None:
    """Raise `OptionError` unless the thresholds ascend."""
    if tau_min > tau_max:
        raise OptionError(f"tau_min={tau_min:g} is above tau_max={tau_max:g}.")


def passes(space: ScoreSpace, options: Mapping[str, Any]) -> float:
    """The model, the corrupted run, both ends, and a circuit per edge and threshold."""
    return float(4 + space.n_units * options["tau_steps"])


METHODS.register("ACDC", also=("automatic-circuit-discovery",))(
    Method(
        function=acdc,
        options={
            "loss": Option(Choice(LOSSES), "kl", "what may not rise"),
            "tau_min": Option(
                Number(0, 1, above=True), 1e-4, "first threshold, of what removing everything costs"
            ),
            "tau_max": Option(Number(0, 1, above=True), 0.1, "last threshold, likewise"),
            "tau_steps": Option(Whole(1, 100), 4, "thresholds, evenly spaced on the log axis"),
            "magnitude": Option(Switch(), False, "the loss may not fall by the threshold either"),
        },
        check=check,
        levels=("edge",),
        gradients=False,
        samples=False,
        passes=passes,
        needs=lambda level, options: Needs(more=(known_bytes,)),
        source="Conmy et al. 2023, arXiv 2304.14997",
    )
)
