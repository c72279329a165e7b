"""Records of examples with random values."""

from __future__ import annotations

import numpy as np

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.summary import ExampleRecord, Header

SIZES = (0.01, 0.1, 1.0)
ITERS = 300


def made_records(
    seed: int = 0,
    n: int = 6,
    sizes: tuple[float, ...] = SIZES,
    rankings: tuple[Ranking, ...] = tuple(Ranking),
) -> list[ExampleRecord]:
    generator = np.random.default_rng(seed)
    header = Header(
        task="ioi",
        metric="logit_diff",
        sizes=sizes,
        rankings=rankings,
        kept={ranking: [at + 1 for at in range(len(sizes))] for ranking in rankings},
        edges={ranking: [at + 0.5 for at in range(len(sizes))] for ranking in rankings},
        iters=ITERS,
        seed=seed,
    )
    return [
        ExampleRecord(
            header,
            index,
            float(generator.normal(5)),
            float(generator.normal(-1)),
            {ranking: tuple(generator.normal(2, size=len(sizes)).tolist()) for ranking in rankings},
            {ranking: tuple(generator.integers(0, 2, len(sizes)).tolist()) for ranking in rankings},
        )
        for index in range(n)
    ]
