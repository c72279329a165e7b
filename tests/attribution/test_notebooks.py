"""EAP-IG's two notebooks with `compat=mib`, from pairs as text, on a tiny GPT-2 and its tokenizer.

What hannamw/EAP-IG's `greater_than.ipynb` and `ioi.ipynb` do, from their formulas: scores by
EAP-IG-inputs with five steps, EAP, and clean-corrupted; a greedy or a top-n circuit by |score|,
pruned; and its mean metric beside the whole model's. All of it is compared with a model written
out in `helpers.reference` (gradients by autograd over gates, circuits by gates), selection with
loops over edges. The sizes are ours: years of one token each from ten, 40 edges, GPT-2's layout
with two layers. The tokenizer puts no first token before a text: `compat=mib` does, and the
reference's tokens have it written out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference import Reference, exact_float64, gate_gradient, gated_metric
from helpers.tiny_models import VOCABULARY, random_hf
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.discovery import Discovery, Setup
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.loading.load import take_apart
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.pair import Pair
from harness_circuits.selection import select
from harness_circuits.settings import Settings

FIRST, YEARS, LENGTH, N_EDGES = 0, range(40, 50), 7, 40
POINTS = {
    "EAP-IG-inputs": [k / 5 for k in range(5)],
    "EAP": [1.0],
    "clean-corrupted": [0.0, 1.0],
}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token per word: `t7` is token 7. It adds no first token; its EOS is token 0, as in GPT-2."""
    words = {"<end>": FIRST, **{f"t{token}": token for token in range(1, VOCABULARY)}}
    raw = Tokenizer(WordLevel(words, unk_token="<end>"))
    raw.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>")


def text(tokens: Iterable[int]) -> str:
    return " ".join(f"t{token}" for token in tokens)


def prompts(seed: int) -> tuple[str, str, np.random.Generator]:
    """A clean and a corrupted prompt, which differ in one token."""
    generator = np.random.default_rng(seed)
    clean = generator.integers(1, 40, size=LENGTH).tolist()
    corrupted = list(clean)
    corrupted[2] = 1 + (clean[2] + seed) % 39
    return text(clean), text(corrupted), generator


def greater_than(index: int) -> Pair:
    clean, corrupted, generator = prompts(index)
    year = int(generator.integers(1, 9))
    choices = tuple(f" t{token}" for token in YEARS)
    right, wrong = tuple(range(year + 1, 10)), tuple(range(year + 1))
    return Pair(clean, corrupted, choices, right, wrong)


def ioi(index: int) -> Pair:
    clean, corrupted, generator = prompts(index)
    io, s = generator.permutation(np.arange(50, 61))[:2]
    return Pair(clean, corrupted, (f" t{io}", f" t{s}"), (0,), (1,))


def with_first(texts: list[str]) -> Tensor:
    """What the reference reads, without any tokenizer."""
    return torch.tensor([[FIRST, *(int(word[1:]) for word in one.split())] for one in texts])


def prob_diff(pairs: list[Pair]) -> Callable[[Tensor], Tensor]:
    """The notebook's: probability of later years less that of the year itself and earlier ones."""
    years = [pair.correct[0] - 1 for pair in pairs]

    def metric(logits: Tensor) -> Tensor:
        probabilities = logits.softmax(-1)[:, list(YEARS)]
        rows = zip(probabilities, years, strict=True)
        return torch.stack([row[year + 1 :].sum() - row[: year + 1].sum() for row, year in rows])

    return metric


def logit_diff(pairs: list[Pair]) -> Callable[[Tensor], Tensor]:
    """The notebook's: logit of the indirect object less that of the subject."""
    rows = [tuple(int(choice[2:]) for choice in pair.choices) for pair in pairs]
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


@cache
def read_model() -> CircuitModel:
    return take_apart(random_hf("gpt2").double(), tokenizer())


NOTEBOOKS = [
    ("greater_than.ipynb", greater_than, "prob_diff", prob_diff, "greedy"),
    ("ioi.ipynb", ioi, "logit_diff", logit_diff, "top-n"),
]


@pytest.mark.parametrize("method", list(POINTS))
@pytest.mark.parametrize(("notebook", "pair", "name", "metric_of", "selection"), NOTEBOOKS)
def test_scores_circuit_and_metric_are_the_notebooks(
    method: str,
    notebook: str,
    pair: Callable[[int], Pair],
    name: str,
    metric_of: Callable[[list[Pair]], Callable[[Tensor], Tensor]],
    selection: str,
) -> None:
    pairs = [pair(index) for index in range(6)]
    clean, corrupted = (
        with_first([getattr(p, side) for p in pairs]) for side in ("clean", "corrupted")
    )
    model, metric = read_model(), metric_of(pairs)
    settings = Settings.from_arguments({"compat": "mib", "method": method, "selection": selection})
    setup = Setup(model, settings, name)
    with exact_float64():
        discovery = Discovery.on(setup, pairs)
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
        encoded = setup.encode(pairs, "evaluation")
        assert [list(p.clean) for p in encoded] == clean.tolist()
        assert [list(p.corrupted) for p in encoded] == corrupted.tolist()
        batches = make_batches(encoded, 6, whole_answers=whole)
        found = evaluate_circuits(model, batches, [circuit], setup.metric, discovery.ablation)
        gates = torch.tensor(~mask & model.graph.edge_mask, dtype=torch.float64)
        with torch.no_grad():
            circuits = gated_metric(reference, clean, corrupted, gates, metric)
            full = gated_metric(reference, clean, corrupted, 0 * gates, metric)
        np.testing.assert_allclose(found.circuits[0], circuits.numpy(), atol=1e-8)
        np.testing.assert_allclose(found.full, full.numpy(), atol=1e-8)
