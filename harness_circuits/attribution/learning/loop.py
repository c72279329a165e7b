"""The loop of every method that learns masks.

1. Draw a mask from what is learned.
2. Run it on some pairs; take the loss and the gradient of every unit's z (`objectives.py`).
3. Hand that gradient on to the parameters, add the penalty's, and let the optimiser change them.

The order of pairs and the draws of a step depend on the seed and the step alone. Several processes share
the pairs of a step. A signal ends the run behind the step it came in, on all of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.learning.checkpoint import Checkpoint
from harness_circuits.attribution.learning.learner import Learner
from harness_circuits.attribution.learning.minibatches import Minibatches
from harness_circuits.attribution.learning.objectives import Objective
from harness_circuits.attribution.learning.options import STEP_PASSES, Training
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import NumericalError
from harness_circuits.machine.interrupts import Interrupted, noted
from harness_circuits.machine.progress import progress

logger = logging.getLogger("lm_eval.circuit")

MEASURED = 3  # steps that the time is estimated from; the first prepares what the others find
SECONDS_BETWEEN_CHECKPOINTS = 60.0
CURVE_POINTS = 100  # of the loss curve that is kept with the scores
RECENT = 50  # steps that the loss shown is a mean of


def learn(job: Job, method: str, learner: Learner, options: Mapping[str, Any]) -> Scores:
    """Learn masks, and rank the units by them.

    Args:
        job: Model, pairs, metric, level and ablation.
        method: The method's name.
        learner: What is learned.
        options: The method's options.

    Returns:
        Scores that order the units as was learned, the least being 0: by score and by absolute score the
        order is the same. They are no effects on the metric. Their provenance has the loss curve.

    Raises:
        Interrupted: A signal stopped the run; what was learned is in the checkpoint's folder.
        NumericalError: The loss is not finite.
    """
    return _Run(job, method, learner, options).scores()


class _Run:
    """One run of the loop."""

    def __init__(self, job: Job, method: str, learner: Learner, options: Mapping[str, Any]) -> None:
        self.job, self.method, self.learner = job, method, learner
        self.how = how = Training.of(options)
        self.objective = Objective(job, how.objective, how.complement_weight)
        pairs = min(how.pairs_per_step, max(len(batch) for batch in job.batches))
        self.data = Minibatches(job, pairs, how.seed, self.objective.of_clean)
        self.pairs_per_step = pairs
        self.losses: list[float] = []
        self.n_before = 0  # steps of an earlier run that was stopped
        self.checkpoint: Checkpoint | None = None
        if how.checkpoint is not None:
            self.checkpoint = Checkpoint(how.checkpoint, job, method, options)
            self._restore(self.checkpoint.read())

    @property
    def parameters(self) -> list[Tensor]:
        """Everything that is learned."""
        groups = self.learner.optimiser.param_groups
        return [parameter for group in groups for parameter in group["params"]]

    def scores(self) -> Scores:
        """Run all steps that are left, and rank the units."""
        first, steps = len(self.losses), self.how.steps
        self._announce(steps - first)
        times = [time.monotonic()]
        with (
            noted() as signals,
            progress(steps - first, "learning masks", "steps") as bar,
            self.job.model.tells(bar.alive),
        ):
            saved = times[0]
            for step in range(first, steps):
                self.losses.append(self._step(step))
                bar.note(f"loss {np.mean(self.losses[-RECENT:]):.4g}")
                bar.advance(1)
                if len(times) <= MEASURED:
                    times.append(time.monotonic())
                    self._estimate(times, steps - step - 1)
                heard = [number for number in self.job.ranks.gather(signals.number) if number]
                if heard:
                    self._end(heard[0])
                if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                    self._save()
                    saved = time.monotonic()
        if first < steps:
            self._save()
        scores = self._ranked()
        if not scores.values.any():
            raise NumericalError(
                f"method={self.method}: after {steps} steps all units have the same score. Use more "
                "steps, a larger learning_rate or a smaller penalty."
            )
        return scores

    def _step(self, step: int) -> float:
        """Change the parameters once; the mean loss of a pair."""
        learner, job = self.learner, self.job
        started = time.monotonic()
        part = self.data.at(step)
        prepared = time.monotonic()
        random = np.random.default_rng([self.how.seed, 1, step])
        loss, total = 0.0, torch.zeros((), dtype=torch.float64)
        for number in range(learner.draws):
            mask = learner.draw(step, random)
            found = torch.zeros(mask.numel() + 2, dtype=torch.float64)
            if part is not None:
                value, found[:-2] = self.objective.gradient(mask, part, self.data)
                found[-2:] = torch.tensor([value, len(part.batch)])
            found = job.ranks.sum_(found)
            if number == 0 and step == self.n_before:
                self._forecast(step, prepared - started, time.monotonic() - prepared)
            gradient, (value, n_pairs) = found[:-2], found[-2:].tolist()
            if not np.isfinite(value):
                raise NumericalError(
                    f"method={self.method}: the loss of step {step + 1} is {value}. Use a smaller "
                    "learning_rate, or dtype=float32."
                )
            # A smaller last step of an epoch counts its pairs as any other does.
            total = total + (mask * gradient).sum() / (learner.draws * self.pairs_per_step)
            penalty = learner.penalty(step, mask)
            total = total if penalty is None else total + penalty / learner.draws
            loss += value / (n_pairs * learner.draws)
        self._change(total)
        return loss

    def _change(self, total: Tensor) -> None:
        found = torch.autograd.grad(total, self.parameters, allow_unused=True)
        gradients = [
            torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(self.parameters, found, strict=True)
        ]
        if self.learner.clip is not None:
            norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
            if norm > self.learner.clip:
                gradients = [gradient * (self.learner.clip / norm) for gradient in gradients]
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.learner.optimiser.step()

    def _announce(self, left: int) -> None:
        """Say what it costs before it starts."""
        if not left:
            return
        runs = self.learner.draws * STEP_PASSES * (2 if self.how.complement_weight else 1)
        logger.info(
            "method=%s, objective=%s learns by %d steps of up to %d pairs: at most as long as running "
            "%d pairs.",
            self.method,
            self.how.objective,
            left,
            self.pairs_per_step,
            left * self.pairs_per_step * runs,
        )

    def _forecast(self, step: int, preparing: float, run: float) -> None:
        """Say how long all steps will take by the first masked run, before it has changed anything.

        Args:
            step: The first step.
            preparing: Seconds that what replaces units took to get ready for its pairs.
            run: Seconds that its first mask took.
        """
        runs, prepared = self.data.ahead(step, self.how.steps)
        logger.info(
            "method=%s, objective=%s: %d steps of up to %d pairs take about %s, by the first run with "
            "a mask%s.",
            self.method,
            self.how.objective,
            self.how.steps - step,
            self.pairs_per_step,
            tqdm.format_interval(run * runs * self.learner.draws + preparing * prepared),
            f"; the time is said again after {MEASURED}"
            if self.how.steps - step > MEASURED
            else "",
        )

    def _estimate(self, times: list[float], left: int) -> None:
        """Say how long it will take, once that can be told."""
        if len(times) != MEASURED + 1 or not left:
            return
        each = (times[-1] - times[1]) / (MEASURED - 1)
        kept = (
            "nothing is kept if it is stopped, unless checkpoint=FOLDER is given"
            if self.checkpoint is None
            else f"if it is stopped, the same run goes on from {self.checkpoint.state}"
        )
        logger.info(
            "method=%s, objective=%s: %d steps of up to %d pairs left, about %s by the first %d; %s.",
            self.method,
            self.how.objective,
            left,
            self.pairs_per_step,
            tqdm.format_interval(each * left),
            MEASURED,
            kept,
        )

    def _end(self, signal: int) -> None:
        """End a run that was stopped."""
        self._save()
        done = (
            f"method={self.method} was stopped behind step {len(self.losses)} of {self.how.steps}"
        )
        if self.checkpoint is None:
            logger.warning("%s; nothing is kept: give checkpoint=FOLDER next time.", done)
        else:
            logger.warning(
                "%s. The same run goes on from %s; circuit=%s evaluates the scores so far.",
                done,
                self.checkpoint.state,
                self.checkpoint.scores,
            )
        raise Interrupted(signal)

    def _save(self) -> None:
        if self.checkpoint is None or self.job.ranks.rank > 0:
            return
        state = {
            "parameters": [parameter.detach() for parameter in self.parameters],
            "optimiser": self.learner.optimiser.state_dict(),
            "losses": torch.tensor(self.losses, dtype=torch.float64),
        }
        self.checkpoint.write(state, self._ranked())

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        with torch.no_grad():
            for parameter, kept in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(kept)
        self.learner.optimiser.load_state_dict(state["optimiser"])
        self.losses = state["losses"].tolist()
        self.n_before = len(self.losses)
        assert self.checkpoint is not None
        logger.info(
            "method=%s goes on behind step %d of %d (%s).",
            self.method,
            len(self.losses),
            self.how.steps,
            self.checkpoint.state,
        )

    def _ranked(self) -> Scores:
        """The units in the order learned so far."""
        ranking = self.learner.ranking().detach()
        shifted = ranking - ranking.min()
        space = self.job.space
        values = np.zeros(space.shape)
        values[space.real] = shifted.numpy()
        facts = {
            "level": space.level,
            "method": self.method,
            "steps_done": len(self.losses),
            "steps_before": self.n_before,
            "loss_curve": loss_curve(self.losses),
        }
        return Scores(space, values, facts)


def loss_curve(losses: list[float]) -> dict[str, list[float]]:
    """Mean losses over stretches of equal length, each with the last step it holds.

    >>> loss_curve([4.0, 2.0])
    {'step': [1, 2], 'loss': [4.0, 2.0]}
    """
    ends = np.unique(np.linspace(0, len(losses), min(len(losses), CURVE_POINTS) + 1).astype(int))
    stretches = pairwise(ends)
    means = [float(np.mean(losses[first:end])) for first, end in stretches]
    return {"step": ends[1:].tolist(), "loss": means}
