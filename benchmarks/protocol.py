"""What the departures from published code change on the default model, as a Markdown table.

Run it from the repository: `python -m benchmarks.protocol [--pairs 12]`. The table stands in
`docs/methods.md`. Each row computes scores a second time as EAP-IG's code does in one point, from our
own passes; points that do not arise in this model are not in it. Circuits are evaluated by patching.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

import harness_circuits as hc
from benchmarks.task_accuracy import load
from harness_circuits.ablation import make_ablation
from harness_circuits.ablation.mean import Mean
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import Scores
from harness_circuits.discovery import tokenise
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.passes.gradients import run_with_gradients
from harness_circuits.passes.native import Outputs, outputs_of, record
from harness_circuits.task_data.scorer import Scorer

TASK = "ioi_circuit"
TOP = {"edge": 0.01, "node": 0.1}  # share of the units whose overlap is shown
HEAD = (
    "| point | method, level | pairs | Spearman | Jaccard of the top units | CMD | CPR |\n"
    + "|---" * 7
    + "|"
)


class Setting:
    """The default model and pairs of IOI."""

    def __init__(self, n_pairs: int) -> None:
        self.model = hc.load_model(device="cpu")
        assert self.model.reader is not None
        task = load(TASK)
        task.score_by(Scorer(self.model.reader))
        self.train = pairs_from_docs(list(task.training_docs())[:n_pairs], "train")
        self.test = pairs_from_docs(list(task.test_docs())[:n_pairs], "test")
        self.metric = METRICS.get("logit_diff")

    def batches(self, size: int = 64, n_pairs: int | None = None) -> list[Batch]:
        """Training pairs in batches of one token length."""
        pairs = tokenise(self.model.reader, self.train[:n_pairs], (self.metric,), "train")
        return make_batches(pairs, size)

    def job(self, batches: list[Batch] | None = None, **how: Any) -> Job:
        """A discovery on the training pairs."""
        return Job(self.model, batches or self.batches(), self.metric, **how)

    def areas(self, scores: Scores) -> dict[str, float]:
        """CMD and CPR on the test pairs."""
        found = {}
        for ranking, area in (("absolute", "cmd"), ("signed", "cpr")):
            circuits = hc.select(scores, ranking=ranking)
            found[area] = hc.faithfulness(self.model, self.test, circuits, ranking=ranking).metrics[
                area
            ]
        return found


Pair = tuple[Scores, Scores]
ROWS: dict[str, tuple[str, Callable[[Setting], Pair]]] = {}


def row(point: str, what: str) -> Callable[[Callable[[Setting], Pair]], Callable[[Setting], Pair]]:
    """Register a function that gives scores as we and as the published code compute them."""

    def register(function: Callable[[Setting], Pair]) -> Callable[[Setting], Pair]:
        ROWS[point] = (what, function)
        return function

    return register


@row("`compat=mib`", "EAP-IG-inputs, edges")
def compat(setting: Setting) -> Pair:
    """The preset; this model has no post-norms."""
    ours, theirs = setting.job(), setting.job(raw_heads=True)
    return attribute(ours, "EAP-IG-inputs"), attribute(theirs, "EAP-IG-inputs")


@row("average over all sites, first layer's gradients lost", "EAP-IG-activations, edges")
def sites(setting: Setting) -> Pair:
    """Interpolation at a source's own site, or at all and averaged."""
    job = setting.job(setting.batches(n_pairs=4))
    own = attribute(job, "EAP-IG-activations", sites="own")
    return own, attribute(job, "EAP-IG-activations", sites="reference")


@row("a smaller last batch weighs more", "EAP, edges, batches of at most 7")
def last_batch(setting: Setting) -> Pair:
    """Mean over examples, or over batches of their means."""
    batches = setting.batches(7)
    ours = attribute(setting.job(batches, keep_samples=len(batches)), "EAP")
    assert ours.samples is not None
    means = ours.samples.sums / ours.samples.sizes.reshape(-1, 1, 1)
    return ours, Scores(ours.space, means.mean(0, dtype=np.float64), ours.provenance)


@row("scores summed in bfloat16", "EAP, edges, batches of 1")
def half_precision(setting: Setting) -> Pair:
    """Sums of examples in float64, or in bfloat16 one after the other."""
    batches = setting.batches(1)
    ours = attribute(setting.job(batches, keep_samples=len(batches)), "EAP")
    assert ours.samples is not None
    total = torch.zeros(ours.values.shape, dtype=torch.bfloat16)
    for sums in torch.from_numpy(ours.samples.sums):
        total += sums.to(torch.bfloat16)
    values = (total.double() / len(batches)).numpy()
    return ours, Scores(ours.space, values, ours.provenance)


@row("one mean vector for all nodes", "EAP, edges, mean ablation")
def one_mean(setting: Setting) -> Pair:
    """A mean per node over all positions, or the last position's, over length, over all nodes."""
    batches = setting.batches()
    ours = make_ablation("mean", setting.model, batches)
    theirs = Mean(_one_vector(setting, batches))
    pair = (attribute(setting.job(batches, ablation=how), "EAP") for how in (ours, theirs))
    first, second = pair
    return first, second


def _one_vector(setting: Setting, batches: list[Batch]) -> Outputs:
    """The published mean as every node's replacement.

    A head's mixed values are what a replacement is given as, so the vector enters through the
    pseudo-inverse of its output matrix: that is its projection on what the head can write.
    """
    model, total = setting.model, torch.zeros(setting.model.graph.d_model)
    for batch in batches:
        seen, _ = record(model, batch.clean)
        outputs = outputs_of(model, batch.clean, seen)
        heads = [
            torch.einsum("bhd,hdm->bm", mixed[:, -1], layer.w_o)
            for mixed, layer in zip(outputs.mixed, model.layers, strict=True)
        ]
        nodes = outputs.embedded[:, -1] + sum(heads) + sum(mlp[:, -1] for mlp in outputs.mlp)
        total += nodes.sum(0) / batch.n_prompt
    vector = total / sum(map(len, batches)) / model.graph.n_src
    mixed = [torch.linalg.pinv(layer.w_o.transpose(1, 2)) @ vector for layer in model.layers]
    flat = vector.reshape(1, 1, -1)
    return Outputs(flat, [x[None, None] for x in mixed], [flat for _ in model.layers])


@row("an MLP's gradient at its input", "EAP, nodes")
def mlp_input(setting: Setting) -> Pair:
    """Gradient at an MLP's output, or at what it reads."""
    job = setting.job(level="node")
    ours = attribute(job, "EAP")
    values, model = ours.values.copy(), setting.model
    mlps = [model.graph.mlp_source(layer) for layer in range(model.graph.n_layers)]
    values[mlps] = 0
    for batch in job.batches:
        corrupted, _ = record(model, batch.corrupted)
        metric = lambda logits, batch=batch: setting.metric(logits, batch, None)  # noqa: E731
        run = run_with_gradients(model, batch.clean, metric, ("mlp_in", "mlp"))
        for layer, node in enumerate(mlps):
            change = run.seen["mlp"][layer].detach() - corrupted["mlp"][layer]
            values[node] += float((change * run.gradients["mlp_in"][layer]).sum()) / job.n_examples
    return ours, Scores(ours.space, values, ours.provenance)


def table(setting: Setting, names: list[str]) -> Iterator[str]:
    """Lines of the table."""
    yield HEAD
    for point in names:
        what, function = ROWS[point]
        ours, theirs = function(setting)
        space = ours.space
        real = space.real
        rank = spearmanr(np.abs(ours.values[real]), np.abs(theirs.values[real])).statistic
        count = space.n_at(TOP[space.level])
        first, second = (_top(scores, count) for scores in (ours, theirs))
        areas = [setting.areas(scores) for scores in (ours, theirs)]
        cells = (f"{areas[0][name]:.3f} / {areas[1][name]:.3f}" for name in ("cmd", "cpr"))
        yield (
            f"| {point} | {what} | {ours.provenance['n_examples']} | {rank:.4f} | "
            f"{first.jaccard(second):.3f} | {' | '.join(cells)} |"
        )


def _top(scores: Scores, n: int) -> Circuit:
    kept = np.zeros(scores.values.size, dtype=bool)
    values = np.where(scores.space.real, np.abs(scores.values), -1).ravel()
    kept[np.argsort(-values, kind="stable")[:n]] = True
    return Circuit(scores.space, kept.reshape(scores.values.shape))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=12, help="training and test pairs")
    parser.add_argument("--only", choices=list(ROWS), help="one row")
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else list(ROWS)
    for line in table(Setting(arguments.pairs), names):
        print(line, flush=True)


if __name__ == "__main__":
    main()
