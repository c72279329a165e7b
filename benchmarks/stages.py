"""What is timed: passes of the plain HuggingFace model, and ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.cases import Case, load, pairs
from harness_circuits.ablation.patching import Patching
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores, ScoreSpace
from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches, whole_batches
from harness_circuits.passes.contract import CHUNK_BYTES
from harness_circuits.passes.memory import Needs, pairs_per_pass
from harness_circuits.selection import select

STEPS = 5
Stage = Callable[[], object]


class Workload:
    """One case, loaded."""

    def __init__(
        self,
        case: Case,
        max_memory: int | None = None,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.model = load(case, device, dtype)
        own = pairs(case, self.model)
        self.pairs_per_pass = pairs_per_pass(self.model, own, max_memory, needs=Needs(runs=STEPS))
        self.metric = METRICS.get(case.metric)
        how = {"whole_answers": self.metric.whole_answers, "room": self.pairs_per_pass}
        self.batches = make_batches(own, self.pairs_per_pass, **how)
        self.lengths: dict[int, list[torch.Tensor]] = {}
        for batch in whole_batches(self.batches):
            self.lengths.setdefault(batch.clean.ids.shape[1], []).append(batch.clean.ids)

    def floors(self) -> dict[str, Stage]:
        """Passes of the plain model: no hooks, frozen weights, logits of the last token only."""
        # Whole prompts, those of one length together.
        groups = [torch.cat(ids).to(self.model.device) for ids in self.lengths.values()]
        n_tokens = sum(ids.numel() for ids in groups)
        return {
            "forward": lambda: [forward(self.model, ids) for ids in groups],
            "forward-backward": lambda: [forward_backward(self.model, ids) for ids in groups],
            "contraction": Contraction(self.model, n_tokens),
        }

    def discovery(self) -> dict[str, Stage]:
        """Attribution methods."""
        return {
            "EAP": lambda: self.attribute("EAP"),
            "EAP-IG-inputs": lambda: self.attribute("EAP-IG-inputs", ig_steps=STEPS),
        }

    def curves(self, *, random: bool = False) -> dict[str, Stage]:
        """Ten-point curves; scores and circuits are made here, outside of what is measured.

        Args:
            random: Use random scores: nothing is run, and the circuits reach more nodes than those
                of a method.
        """
        edges = self.random_scores("edge") if random else self.attribute("EAP")
        absolute = ten(edges, ranking=Ranking.ABSOLUTE)
        both = [*absolute, *ten(edges, ranking=Ranking.SIGNED)]
        node_scores = self.random_scores("node") if random else self.attribute("EAP", "node")
        nodes = ten(node_scores, ranking=Ranking.ABSOLUTE)
        return {
            "curve, edges": lambda: self.evaluate(absolute),
            "curve, edges, both rankings": lambda: self.evaluate(both),
            "curve, nodes": lambda: self.evaluate(nodes),
        }

    def attribute(self, method: str, level: str = "edge", **options: int) -> Scores:
        """Scores of one method."""
        job = Job(self.model, self.batches, self.metric, level)  # type: ignore[arg-type]
        return attribute(job, method, **options)

    def random_scores(self, level: str) -> Scores:
        """Scores that need no pass."""
        space = ScoreSpace(self.model.graph, level)  # type: ignore[arg-type]
        values = np.random.default_rng(0).standard_normal(space.shape)
        return Scores(space, values * space.real, {})

    def evaluate(self, circuits: list[Circuit]) -> object:
        """Metric values of circuits."""
        return evaluate_circuits(self.model, self.batches, circuits, self.metric, Patching())


def ten(scores: Scores, *, ranking: Ranking) -> list[Circuit]:
    """The circuits of a ten-point curve."""
    counts = [scores.space.n_at(size) for size in MIB_SIZES]
    return select(scores, counts, "top-n", ranking=ranking)


def forward(model: CircuitModel, ids: torch.Tensor) -> None:
    """One forward pass of the plain model."""
    with torch.no_grad():
        model.hf(input_ids=ids, use_cache=False, logits_to_keep=last(ids))


def forward_backward(model: CircuitModel, ids: torch.Tensor) -> None:
    """One forward pass, and the gradient of a logit per prompt at the embeddings."""
    embedded = model.hf.get_input_embeddings()(ids).detach().requires_grad_(True)
    logits = model.hf(inputs_embeds=embedded, use_cache=False, logits_to_keep=last(ids)).logits
    torch.autograd.grad((logits[:, -1, 0] - logits[:, -1, 1]).sum(), embedded)


def last(ids: torch.Tensor) -> torch.Tensor:
    """The last position. As an index: the number 1 gives a view, whose unembedding is slow."""
    return torch.tensor([ids.shape[1] - 1], device=ids.device)


class Contraction:
    """The one product per block that edge scores are made of, its operands ready in memory."""

    def __init__(self, model: CircuitModel, n_tokens: int) -> None:
        self.graph = model.graph
        self.how = {"device": model.device, "dtype": model.sum_dtype}
        step = max(1, CHUNK_BYTES // (4 * model.graph.n_src * model.graph.d_model))
        self.chunks = [min(step, n_tokens - first) for first in range(0, n_tokens, step)]

    def __call__(self) -> None:
        """Multiply."""
        graph = self.graph
        n_dst = graph.destinations_per_layer - 1
        for n_tokens in self.chunks:
            changes = torch.ones(graph.n_src, n_tokens * graph.d_model, **self.how)
            gradients = torch.ones(n_dst, n_tokens * graph.d_model, **self.how)
            for layer in range(graph.n_layers):
                visible = int(graph.n_visible[graph.head_destination(layer)])
                changes[:visible] @ gradients.T
                visible = int(graph.n_visible[graph.mlp_destination(layer)])
                changes[:visible] @ gradients[:1].T
            changes @ gradients[:1].T


def batch_facts(batches: list[Batch]) -> dict[str, int]:
    """How the prompts were batched."""
    n_pairs = sum(map(len, batches))
    n_tokens = sum(batch.clean.ids.numel() for batch in whole_batches(batches))
    behind = sum(len(batch) * (batch.clean.ids.shape[1] - batch.shared) for batch in batches)
    return {
        "pairs": n_pairs,
        "tokens": round(n_tokens / n_pairs),
        "batches": len(batches),
        "run_share": round(behind / n_tokens, 3),
    }
