"""Which circuits are run for those that are asked for: each run once, without what changes nothing.

Where outputs are replaced by those of the corrupted run, a unit on no path of kept ones from the input
to the logits delivers what would replace it. Circuits that differ in such units alone are one run, and
what is run has none: half of a small circuit often reaches the logits nowhere, and is the empty circuit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from harness_circuits.circuits.circuit import Circuit


def distinct_runs(
    circuits: Sequence[Circuit], empty: Circuit, *, prune: bool
) -> tuple[list[Circuit], Int[np.ndarray, "circuit"]]:
    """Circuits without repetition, the empty one last, and where each given one is among them.

    Args:
        circuits: What is to be run.
        empty: What is run for the empty circuit.
        prune: Whether dead ends change nothing.
    """
    wanted = [_pruned(one) if prune else one for one in (*circuits, empty)]
    keys = [(one.space.level, np.packbits(one.kept).tobytes()) for one in wanted]
    runs = {key: one for key, one in zip(keys, wanted, strict=True) if key != keys[-1]}
    places = {key: at for at, key in enumerate((*runs, keys[-1]))}
    which = np.array([places[key] for key in keys[:-1]], dtype=int)
    return [*runs.values(), wanted[-1]], which


def _pruned(circuit: Circuit) -> Circuit:
    """A circuit without dead ends; itself where it has none, so that what is cached by it is found."""
    pruned = circuit.prune()
    return circuit if pruned.n_kept == circuit.n_kept else pruned
