"""Random scores: the floor any method has to clear."""

from __future__ import annotations

import torch

from harness_circuits.attribution.job import Job
from harness_circuits.attribution.methods import METHODS, Method
from harness_circuits.circuits.scores import Scores
from harness_circuits.options import Option
from harness_circuits.options.kinds import SEED


def random_scores(job: Job, *, seed: int) -> Scores:
    """Standard normal scores, drawn from a generator of their own."""
    generator = torch.Generator().manual_seed(int(seed))
    values = torch.randn(job.space.shape, generator=generator, dtype=torch.float64)
    return job.scores(values.to(job.model.device) * job.n_examples)


METHODS.register("random")(
    Method(
        function=random_scores,
        options={"seed": Option(SEED, 0, "seed of the scores; the run's by default")},
        gradients=False,
        samples=False,
        positions=True,
        crossing=True,
        passes=lambda space, options: 0,
        source="floor",
    )
)
