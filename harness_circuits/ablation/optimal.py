"""optimal: one constant per node, learned so that a model that loses nodes stays close to itself.

Optimal ablation (Li and Janson 2024, arXiv 2409.09951) replaces what is removed by the constants that
hurt least. Here one set of constants serves discovery and, unless they are learned anew for each circuit
(`retrained.py`), evaluation: they minimise

    E over pairs, shares r in (0, 1), and sets of nodes kept with probability r  of  KL(N || C)

at the answer, on the clean training prompts. They start at the means (`mean`), which are taken where the
constants are no better on the training pairs; both numbers are said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from harness_circuits.ablation.ablations import ABLATIONS, Ablation, AblationKind, Training
from harness_circuits.ablation.constants import Constants, tensors_of
from harness_circuits.ablation.mean import Mean, recorded_means
from harness_circuits.ablation.means import mapped
from harness_circuits.ablation.retrained import Retrained
from harness_circuits.ablation.stored import stored
from harness_circuits.machine.progress import progress
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.passes.native import NativeRun, Outputs

logger = logging.getLogger("lm_eval.circuit")

STEPS = 200
RATE = 0.02  # of Adam, in units of the root mean square of a node's mean
CHECKS = 4  # draws per batch that means and constants are compared on
SEED = 0


class Optimal(Mean):
    """Learned constants, one vector per node."""

    name = "optimal"


def _make(training: Training) -> Ablation:
    (means,) = recorded_means(training, Optimal.name, positional=False).means().values()
    path = training.file({"steps": STEPS, "rate": RATE, "checks": CHECKS, "seed": SEED})
    constants = stored(path, training.model.device, lambda: _learned(training, means))
    return Retrained(constants, training) if training.retrain_steps else Optimal(constants)


@dataclass(frozen=True)
class _Removed:
    """Which nodes each row of a batch keeps, [batch, src], and what replaces the others."""

    kept: Bool[Tensor, "batch src"]
    constants: Outputs


class _RemovedRun(NativeRun):
    """An ordinary run in which each row loses nodes of its own."""

    def __init__(self, model: CircuitModel, removed: _Removed, positions: Tensor) -> None:
        super().__init__(model, ())
        self.removed, self.positions = removed, positions

    def tap(self, point: str, layer: int, tensor: Tensor) -> Tensor:
        """Put constants in the place of removed outputs."""
        kept, constants, graph = self.removed.kept, self.removed.constants, self.model.graph
        if point == "block_in" and layer == 0:
            replaced = (constants.embedded + self.positions).to(tensor.dtype)
            return torch.where(kept[:, :1, None], tensor, replaced)
        if point == "mixed":
            heads = kept[:, None, graph.head_slice(layer), None]
            return torch.where(heads, tensor, constants.mixed[layer].to(tensor.dtype))
        if point == "mlp":
            mlp = graph.mlp_source(layer)
            own = kept[:, mlp : mlp + 1, None]
            return torch.where(own, tensor, constants.mlp[layer].to(tensor.dtype))
        return tensor


def _learned(training: Training, means: Outputs) -> Outputs:
    """Constants from means."""
    constants, data = Constants(means, RATE), _Data(training)
    with progress(STEPS, "learning constants", "steps") as bar, training.model.tells(bar.alive):
        for step in range(STEPS):
            loss = data.loss(step % len(training.batches), step, constants.now())
            constants.change(loss, training.ranks)
            bar.advance(1)
    with torch.no_grad():
        learned = constants.now()
        before, after = data.compare(constants.start), data.compare(learned)
    logger.info(
        "ablation=optimal: mean divergence of random circuits from the model %.4g, with means %.4g%s.",
        after,
        before,
        "" if after < before else ": the means are taken",
    )
    taken = learned if after < before else constants.start
    return mapped(taken, lambda x: x.detach().to(training.model.dtype))


class _Data:
    """Training prompts and what the model says on them."""

    def __init__(self, training: Training) -> None:
        self.training, self.model = training, training.model
        with torch.no_grad():
            self.clean = [self.model.forward(batch.clean) for batch in training.batches]

    def loss(self, at: int, seed: int, constants: Outputs) -> Float[Tensor, ""]:
        """Divergence of a batch's rows, each with a random set of nodes removed; this process's share.

        Args:
            at: Number of the batch.
            seed: Of the sets.
            constants: What replaces removed outputs.
        """
        model, batch = self.model, self.training.batches[at]
        ranks, n = self.training.ranks, len(batch)
        generator = torch.Generator().manual_seed(SEED + seed)
        share = torch.rand((n, 1), generator=generator)
        kept = (torch.rand((n, model.graph.n_src), generator=generator) < share).to(model.device)
        own = torch.arange(ranks.rank, n, ranks.size)
        if not len(own):
            return torch.stack([x.sum() * 0 for x in tensors_of(constants)]).sum()
        inputs = batch.clean.rows(own)
        like = constants.embedded.to(model.dtype)
        positions = model.position_embedding(inputs, like)
        run = _RemovedRun(model, _Removed(kept[own.to(kept.device)], constants), positions)
        logits = model.forward(inputs, run)
        divergence = -METRICS.get("kl")(logits, batch, self.clean[at][own.to(logits.device)])
        return divergence.sum() / n

    def compare(self, constants: Outputs) -> float:
        """Mean divergence over all pairs, on the same sets for all constants."""
        found = torch.stack([x.detach().double().cpu() for x in self._all(constants)]).mean()
        return float(self.training.ranks.sum_(found))

    def _all(self, constants: Outputs) -> Iterator[Tensor]:
        for draw in range(CHECKS):
            for at in range(len(self.training.batches)):
                yield self.loss(at, STEPS + draw * len(self.clean) + at, constants)


ABLATIONS.register(Optimal.name, also=("OA", "optimal-ablation"))(
    AblationKind(
        make=_make,
        needs_training=True,
        why_pairs="pairs that its constants are learned on",
        hidden=False,
        learned=True,
        description="a constant that is learned so that the loss of nodes hurts least",
    )
)
