"""What spans are worth: circuits over spans beside circuits without, of as many kept contributions.

A kept edge contributes once at every token: an edge kept at some spans as often as these have tokens,
an edge of a circuit without spans at every token of the prompt. Beside each circuit over spans stands
the circuit of the same scores, summed over spans, that has as many contributions per prompt. Crossing
edges are not counted: without spans a circuit has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.evaluation.result import Everywhere
from harness_circuits.pairs.batch import Batch, whole_batches
from harness_circuits.selection.selectors import select


def tokens_of_spans(batches: Sequence[Batch], n_spans: int) -> Float[np.ndarray, "span"]:
    """Mean number of tokens that each span has in a prompt."""
    total = torch.zeros(n_spans, dtype=torch.long)
    for batch in whole_batches(batches):
        assert batch.clean.spans is not None
        total += torch.bincount(batch.clean.spans.flatten(), minlength=n_spans)
    result: np.ndarray = total.numpy() / sum(map(len, batches))
    return result


def everywhere(
    scores: Scores,
    circuits: Mapping[Ranking, Sequence[Circuit]],
    batches: Sequence[Batch],
    selection: str,
    **options: Any,
) -> dict[Ranking, Everywhere]:
    """Circuits without spans that have as many contributions.

    Args:
        scores: Scores over spans.
        circuits: Those selected from them, per ranking and size.
        batches: The pairs that tokens are counted on.
        selection: A selector's name.
        **options: The selector's own options.
    """
    spans, plain = scores.space.spans, scores.everywhere()
    assert spans is not None
    tokens = tokens_of_spans(batches, len(spans))
    found = {}
    for ranking, chosen in circuits.items():
        contributions = [float(c.edges_at_spans.sum(axis=(1, 2)) @ tokens) for c in chosen]
        counts = [min(plain.space.n_units, round(n / tokens.sum())) for n in contributions]
        beside = select(plain, counts, selection, ranking=ranking, **options)
        own = tuple(circuit.n_kept * float(tokens.sum()) for circuit in beside)
        found[ranking] = Everywhere(tuple(beside), tuple(contributions), own)
    return found
