"""Constants that are learned anew for each circuit that is evaluated (Li and Janson 2024).

For a circuit C the constants c start where all circuits share them (`optimal.py`) and follow

    min over c, one vector per node, of the mean over training pairs of  KL(N || C with c outside)

by Adam: what a circuit still loses is then what no constant in the place of its outside gives back. Where
they are no better on all training pairs than where they started, these are taken. (arXiv 2409.09951)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness_circuits.ablation.ablations import Ablation, Training
from harness_circuits.ablation.constants import Constants
from harness_circuits.ablation.mean import Mean
from harness_circuits.ablation.means import mapped
from harness_circuits.ablation.stored import stored
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.machine.progress import progress
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.passes.ablated import AblatedStream
from harness_circuits.passes.masked_run import run_masked
from harness_circuits.passes.native import Outputs

logger = logging.getLogger("lm_eval.circuit")

RATE = 0.02  # of Adam, in units of the root mean square of a node's constant
PAIRS = 8  # of a step, at most
SEED = 0
STEP_PASSES = 3  # of one pair in a step: a run and the way back


class Retrained(Mean):
    """Constants that all circuits share, and ways to those of each.

    Attributes:
        training: What they are learned on, and how long.
        changes: Per circuit that constants were learned for: units kept, and the divergence from the
            model on training pairs with shared constants and with its own.
    """

    name = "optimal"

    def __init__(self, constants: Outputs, training: Training) -> None:
        """Take the shared constants."""
        super().__init__(constants)
        self.training = training
        self.changes: list[dict[str, float]] = []

    def for_each(self, circuits: Sequence[Circuit]) -> list[Ablation]:
        """What replaces the outside of each circuit; a circuit without one gets what all share."""
        training, found = self.training, list[Ablation]()
        steps, model = training.retrain_steps, training.model
        with torch.no_grad():
            clean = [model.forward(batch.clean) for batch in training.batches]
        n_own = sum(has_outside(circuit) for circuit in circuits)
        with progress(steps * n_own, "learning constants", "steps") as bar, model.tells(bar.alive):
            for circuit in circuits:
                if not has_outside(circuit):
                    found.append(self)
                    continue
                learning = _Learning(training, self.means, circuit, clean)
                make = partial(learning.run, steps, bar.advance)
                constants = stored(self._file(circuit), model.device, make)
                self.changes.append(learning.change(constants))
                found.append(Mean(constants))
        self._say()
        return found

    def _file(self, circuit: Circuit) -> Path | None:
        steps, level = self.training.retrain_steps, circuit.space.level
        facts = {"circuit": level, "steps": steps, "rate": RATE, "pairs": PAIRS, "seed": SEED}
        shared = self.means.mlp[-1].detach().float().cpu().numpy().tobytes()
        return self.training.file(facts, shared, circuit.kept.tobytes())

    def _say(self) -> None:
        if not self.changes:
            return
        shared, own = (np.mean([x[name] for x in self.changes]) for name in ("shared", "retrained"))
        logger.info(
            "ablation=optimal: mean divergence of %d circuits from the model on training pairs %.4g "
            "with constants of their own, %.4g with those that all share.",
            len(self.changes),
            own,
            shared,
        )


def retraining_passes(steps: int, n_pairs: int) -> float:
    """Runs of one pair that one circuit's constants take: the steps, and four comparisons."""
    return float(steps * min(PAIRS, n_pairs) * STEP_PASSES + 4 * n_pairs)


def has_outside(circuit: Circuit) -> bool:
    """Whether anything is replaced."""
    return circuit.n_kept < circuit.space.n_units


class _Learning:
    """Constants of one circuit."""

    def __init__(
        self, training: Training, shared: Outputs, circuit: Circuit, clean: list[Tensor]
    ) -> None:
        self.training, self.model, self.shared = training, training.model, shared
        self.circuit, self.clean = circuit, clean
        self.mask = torch.from_numpy(circuit.kept).to(self.model.device, self.model.sum_dtype)

    def run(self, steps: int, advance: Callable[[int], object]) -> Outputs:
        """Learn, and return what is better on all training pairs: what was learned, or the start."""
        constants = Constants(self.shared, RATE)
        for step in range(steps):
            at = step % len(self.training.batches)
            order = np.random.default_rng([SEED, step]).permutation(len(self.training.batches[at]))
            rows = torch.from_numpy(np.sort(order[:PAIRS]))
            loss = self._divergence(at, rows, constants.now()) / len(rows)
            constants.change(loss, self.training.ranks)
            advance(1)
        learned = mapped(constants.now(), lambda x: x.detach().to(self.model.dtype))
        return learned if self.divergence(learned) < self.divergence(self.shared) else self.shared

    def change(self, constants: Outputs) -> dict[str, float]:
        """What constants change, for the results."""
        before, after = self.divergence(self.shared), self.divergence(constants)
        return {"kept": self.circuit.n_kept, "shared": before, "retrained": after}

    @torch.no_grad()
    def divergence(self, constants: Outputs) -> float:
        """Mean over all training pairs."""
        batches, total = self.training.batches, torch.zeros((), dtype=torch.float64)
        for at, batch in enumerate(batches):
            own = self._divergence(at, torch.arange(len(batch)), constants)
            total += own.detach().double().cpu()
        return float(self.training.ranks.sum_(total)) / sum(map(len, batches))

    def _divergence(self, at: int, rows: Tensor, constants: Outputs) -> Float[Tensor, ""]:
        """Summed over this process's share of some rows of a batch."""
        batch, ranks = self.training.batches[at], self.training.ranks
        own = rows[ranks.rank :: ranks.size]
        if not len(own):
            return torch.stack([x.sum() * 0 for x in (constants.embedded, *constants.mlp)]).sum()
        inputs = batch.clean.rows(own)
        n_pos = inputs.ids.shape[1]

        def everywhere(x: Tensor) -> Tensor:
            return x.to(self.model.dtype).expand(1, n_pos, *x.shape[2:])

        stream = AblatedStream(self.model, inputs, mapped(constants, everywhere))
        level: Any = self.circuit.space.level
        logits = run_masked(self.model, level, self.mask, inputs, stream)
        return -METRICS.get("kl")(logits, batch, self.clean[at][own.to(logits.device)]).sum()
