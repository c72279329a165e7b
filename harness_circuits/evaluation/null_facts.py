"""Where found circuits lie among random ones of their size."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float


def null_facts(
    ranking: str,
    found: Float[np.ndarray, "size"],
    null: Float[np.ndarray, "size null"],
    kept: list[list[int]],
) -> dict[str, Any]:
    """Compare faithfulness with that of random circuits.

    By the signed ranking, higher faithfulness is better (CPR); by the absolute one, faithfulness
    nearer to 1 is (CMD).

    Args:
        ranking: `absolute` or `signed`.
        found: Faithfulness of the found circuit of each size.
        null: Faithfulness of the random circuits.
        kept: Units that the random circuits keep, per size.

    Returns:
        Plain JSON, a value per size: `percentile`, the share of random circuits that the found one
        beats, ties counted half (0.5 where all are the same circuit, as at size 1); `p_value`, the
        chance of a random circuit at least as good, (1 + their number) / (1 + n); the random
        circuits' `mean`, `low` and `high` (the middle 95%) and mean `kept` units; and their `n`.
    """
    better = found if ranking == "signed" else -np.abs(1 - found)
    random = null if ranking == "signed" else -np.abs(1 - null)
    tie = np.isclose(random, better[:, None], rtol=0, atol=1e-9)
    above = (random < better[:, None]) & ~tie
    n = null.shape[1]
    low, high = np.quantile(null, [0.025, 0.975], axis=1)
    return {
        "n": n,
        "percentile": (above + tie / 2).mean(axis=1).tolist(),
        "p_value": ((1 + (~above).sum(axis=1)) / (1 + n)).tolist(),
        "mean": null.mean(axis=1).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "kept": np.mean(kept, axis=1).tolist(),
    }
