"""Circuits that selectors try on training pairs before they choose (`Selector.trials`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.discovery import Discovery
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.evaluation.gap import check_gap
from harness_circuits.pairs.batch import make_batches
from harness_circuits.selection import SELECTORS

logger = logging.getLogger("lm_eval.circuit")


class Trials:
    """Faithfulness of circuits on a discovery's training pairs, by the metric of evaluation."""

    def __init__(self, discovery: Discovery) -> None:
        """Take the pairs, the ablation and the metric."""
        self.discovery = discovery
        self._known: dict[tuple[int, bytes], float] = {}

    def __call__(self, circuits: Sequence[Circuit], n_pairs: int) -> Float[np.ndarray, "circuit"]:
        """Faithfulness: (circuit - empty) / (model - empty) of the mean metric.

        Args:
            circuits: Circuits; those that were tried before are not run again.
            n_pairs: On how many training pairs, the first ones, at most.

        Raises:
            NumericalError: A logit is not finite, or faithfulness is undefined on these pairs.
        """
        keys = [(n_pairs, np.packbits(circuit.kept).tobytes()) for circuit in circuits]
        new = {k: c for k, c in zip(keys, circuits, strict=True) if k not in self._known}
        if new:
            found = self._run(list(new.values()), n_pairs)
            self._known.update(zip(new, found.tolist(), strict=True))
        return np.array([self._known[key] for key in keys])

    def _run(self, circuits: Sequence[Circuit], n_pairs: int) -> Float[np.ndarray, "circuit"]:
        discovery, setup = self.discovery, self.discovery.setup
        pairs, room = discovery.training[:n_pairs], discovery.pairs_per_pass
        size = max(1, min(room, -(-len(pairs) // setup.ranks.parts)))
        batches = make_batches(pairs, size, share_prefix=setup.shares_prefix, room=room)
        how = circuits, setup.metric, discovery.ablation, setup.ranks
        direction = setup.settings.direction
        examples = evaluate_circuits(setup.model, batches, *how, direction=direction)
        full, empty = examples.full, examples.empty
        check_gap(full, empty, f"{setup.task} (training split)", examples.rounding)
        floor = float(empty.mean())
        found: np.ndarray = (examples.circuits.mean(1) - floor) / (float(full.mean()) - floor)
        return found

    def announce(self, n_circuits: int) -> None:
        """Say what a selector that tries circuits will run; nothing for others.

        Args:
            n_circuits: Circuits that will be selected, of all sizes and rankings.
        """
        setup = self.discovery.setup
        trials = SELECTORS.get(setup.settings.selection).trials
        if trials is None:
            return
        options = setup.settings.chosen_selection_options()
        logger.info(
            "%s: selection=%s tries at most %d circuits on %d training pairs before it chooses",
            setup.task,
            setup.settings.selection,
            trials(options) * n_circuits,
            min(len(self.discovery.training), options["fit_pairs"]),
        )
