"""EAP-IG's two notebooks with `compat=mib` on a tiny GPT-2 whose prompts have a first token.

What hannamw/EAP-IG's `greater_than.ipynb` and `ioi.ipynb` do, from their formulas: scores by
EAP-IG-inputs with five steps, EAP, and clean-corrupted; a greedy or a top-n circuit by |score|,
pruned; and its mean metric beside the whole model's. All of it is compared with a model written
out in `helpers.reference` (gradients by autograd over gates, circuits by gates), selection with
loops over edges. The sizes are ours: years of one token each from ten, 40 edges, GPT-2's layout
with two layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64, gate_gradient, gated_metric
from helpers.tiny_models import random_hf, tiny_model
from torch import Tensor

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.discovery import Discovery, Setup
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.pairs.tokenise import TokenPair, make_batches
from harness_circuits.selection import select
from harness_circuits.settings import Settings

FIRST, YEARS, LENGTH, N_EDGES = 0, range(40, 50), 7, 40
POINTS = {
    "EAP-IG-inputs": [k / 5 for k in range(5)],
    "EAP": [1.0],
    "clean-corrupted": [0.0, 1.0],
}


def prompts(seed: int) -> tuple[list[int], list[int], np.random.Generator]:
    """A clean and a corrupted prompt behind the first token, which differ in one token."""
    generator = np.random.default_rng(seed)
    clean = [FIRST, *generator.integers(1, 40, size=LENGTH).tolist()]
    corrupted = list(clean)
    corrupted[3] = 1 + (clean[3] + seed) % 39
    return clean, corrupted, generator


def greater_than(index: int) -> TokenPair:
    clean, corrupted, generator = prompts(index)
    year = int(generator.integers(1, 9))
    choices = tuple((token,) for token in YEARS)
    right, wrong = tuple(range(year + 1, 10)), tuple(range(year + 1))
    return TokenPair(tuple(clean), tuple(corrupted), choices, right, wrong, index)


def ioi(index: int) -> TokenPair:
    clean, corrupted, generator = prompts(index)
    io, s = (int(token) for token in generator.permutation(np.arange(50, 61))[:2])
    return TokenPair(tuple(clean), tuple(corrupted), ((io,), (s,)), (0,), (1,), index)


def prob_diff(pairs: list[TokenPair]) -> Callable[[Tensor], Tensor]:
    """The notebook's: probability of later years less that of the year itself and earlier ones."""
    years = [pair.correct[0] - 1 for pair in pairs]

    def metric(logits: Tensor) -> Tensor:
        probabilities = logits.softmax(-1)[:, list(YEARS)]
        rows = zip(probabilities, years, strict=True)
        return torch.stack([row[year + 1 :].sum() - row[: year + 1].sum() for row, year in rows])

    return metric


def logit_diff(pairs: list[TokenPair]) -> Callable[[Tensor], Tensor]:
    """The notebook's: logit of the indirect object less that of the subject."""
    rows = [(pair.answers[0][0], pair.answers[1][0]) for pair in pairs]
    return lambda logits: torch.stack(
        [row[io] - row[s] for row, (io, s) in zip(logits, rows, strict=True)]
    )


def kept_edges(graph: Any, scores: np.ndarray, *, greedy: bool) -> np.ndarray:
    """The best edges by |score|, of all or of those into what is in already; pruned."""
    edges = [(int(src), int(dst)) for src, dst in np.argwhere(graph.edge_mask)]
    owner, kept, inside = graph.destination_owner, set(), {graph.n_src}
    while len(kept) < N_EDGES:
        left = [e for e in edges if e not in kept and (not greedy or owner[e[1]] in inside)]
        best = max(left, key=lambda e: abs(scores[e]))
        kept.add(best)
        inside.add(best[0])
    while True:
        fed, read = {owner[dst] for _, dst in kept} | {0}, {src for src, _ in kept} | {graph.n_src}
        live = {(src, dst) for src, dst in kept if src in fed and owner[dst] in read}
        if live == kept:
            break
        kept = live
    mask = np.zeros(graph.edge_mask.shape, dtype=bool)
    for edge in kept:
        mask[edge] = True
    return mask


NOTEBOOKS = [
    ("greater_than.ipynb", greater_than, "prob_diff", prob_diff, "greedy"),
    ("ioi.ipynb", ioi, "logit_diff", logit_diff, "top-n"),
]


@pytest.mark.parametrize("method", list(POINTS))
@pytest.mark.parametrize(("notebook", "pair", "name", "metric_of", "selection"), NOTEBOOKS)
def test_scores_circuit_and_metric_are_the_notebooks(
    method: str,
    notebook: str,
    pair: Callable[[int], TokenPair],
    name: str,
    metric_of: Callable[[list[TokenPair]], Callable[[Tensor], Tensor]],
    selection: str,
) -> None:
    pairs = [pair(index) for index in range(6)]
    clean, corrupted = (
        torch.tensor([getattr(p, side) for p in pairs]) for side in ("clean", "corrupted")
    )
    model, metric = tiny_model("gpt2"), metric_of(pairs)
    settings = Settings.from_arguments({"compat": "mib", "method": method, "selection": selection})
    setup = Setup(model, settings, name)
    with exact_float64():
        discovery = Discovery(setup, pairs, 6)
        scores = discovery.scores()
        reference = Reference(random_hf("gpt2").double(), "ungrouped")
        wanted = torch.stack(
            [
                gate_gradient("edge", reference, clean, corrupted, metric, alpha=alpha)
                for alpha in POINTS[method]
            ]
        ).mean(0)
        expected = np.where(model.graph.edge_mask, wanted.detach().numpy(), 0)
        np.testing.assert_allclose(scores.values, expected, atol=1e-7 * np.abs(expected).max())

        assert isinstance(scores, Scores)
        (circuit,) = select(scores, [N_EDGES], selection, ranking=Ranking.ABSOLUTE)
        mask = kept_edges(model.graph, expected, greedy=selection == "greedy")
        np.testing.assert_array_equal(circuit.kept, mask)
        assert 0 < mask.sum() <= N_EDGES

        whole = setup.metric.whole_answers
        batches = make_batches(pairs, 6, whole_answers=whole)
        found = evaluate_circuits(model, batches, [circuit], setup.metric, discovery.ablation)
        gates = torch.tensor(~mask & model.graph.edge_mask, dtype=torch.float64)
        with torch.no_grad():
            circuits = gated_metric(reference, clean, corrupted, gates, metric)
            full = gated_metric(reference, clean, corrupted, 0 * gates, metric)
        np.testing.assert_allclose(found.circuits[0], circuits.numpy(), atol=1e-8)
        np.testing.assert_allclose(found.full, full.numpy(), atol=1e-8)
