"""What TransformerLens's changes to weights on loading do to scores and circuits.

    python -m benchmarks.folding

TransformerLens folds the norms' gains and biases into the layers that read them and the value
biases into the attention's output bias, and centres what is written to the stream, unless told
otherwise. The logits stay the same up to a constant, but nodes then write other vectors: what does
the same through a norm is another thing to remove. The same random GPT-2s are scored as they are
and with the same changes made by hand, in float64.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from harness_circuits.ablation.ablations import make_ablation
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.evaluation.evaluate import evaluate_circuits
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.report.markdown import markdown_table
from harness_circuits.selection import select

VOCABULARY, LENGTH, N_PAIRS, SEEDS = 61, 8, 16, range(3)
CASES = (
    ("EAP", "patching"),
    ("EAP-IG-inputs", "patching"),
    ("exact", "patching"),
    ("EAP", "zero"),
    ("exact", "zero"),
    ("information-flow-routes", "patching"),
)
SHARES = (0.05, 0.1, 0.2, 0.5)


def random_model(seed: int) -> GPT2LMHeadModel:
    """A GPT-2 of two layers whose norms and biases matter."""
    torch.manual_seed(seed)
    sizes = {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": LENGTH}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    config = GPT2Config(vocab_size=VOCABULARY, tie_word_embeddings=False, **sizes, **ends)
    model = GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if "ln_" in name:
                parameter.add_(0.3 * noise)
            else:
                parameter.copy_(noise * 0.6 / parameter.shape[-1] ** 0.25)
    return model


@torch.no_grad()
def fold(model: GPT2LMHeadModel) -> GPT2LMHeadModel:
    """Change the weights as TransformerLens does by default, in place."""
    d_model = model.config.n_embd
    for block in model.transformer.h:
        attention, mlp = block.attn, block.mlp
        _fold_norm(block.ln_1, attention.c_attn)
        _fold_norm(block.ln_2, mlp.c_fc)
        values = attention.c_attn.bias[2 * d_model :]
        attention.c_proj.bias += values @ attention.c_proj.weight
        values.zero_()
        for layer in (attention.c_proj, mlp.c_proj):
            _centre(layer.weight)
            _centre(layer.bias)
    final, unembedding = model.transformer.ln_f, model.lm_head.weight
    unembedding *= final.weight
    final.bias /= final.weight
    final.weight.fill_(1)
    unembedding -= unembedding.mean(0)
    _centre(model.transformer.wte.weight)
    _centre(model.transformer.wpe.weight)
    return model


def _fold_norm(norm: torch.nn.LayerNorm, reader: torch.nn.Module) -> None:
    reader.bias += norm.bias @ reader.weight
    reader.weight *= norm.weight[:, None]
    norm.weight.fill_(1)
    norm.bias.zero_()


def _centre(weight: Tensor) -> None:
    weight -= weight.mean(-1, keepdim=True)


def random_pairs(seed: int) -> list[TokenPair]:
    """Pairs that differ in two tokens."""
    generator = np.random.default_rng(seed)
    pairs = []
    for index in range(N_PAIRS):
        clean = generator.integers(VOCABULARY, size=LENGTH)
        corrupted, at = clean.copy(), generator.permutation(LENGTH)[:2]
        corrupted[at] = (clean[at] + 1 + index) % VOCABULARY
        right, wrong = (int(token) for token in generator.permutation(VOCABULARY)[:2])
        ids = tuple(clean.tolist()), tuple(corrupted.tolist())
        pairs.append(TokenPair(*ids, ((right,), (wrong,)), (0,), (1,), index))
    return pairs


def compare(seed: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Per case, the largest difference of scores, and of the same circuits' metric."""
    plain, folded = (
        take_apart(model, kv_heads="ungrouped", name="random")
        for model in (random_model(seed), fold(random_model(seed)))
    )
    batches = make_batches(random_pairs(seed), N_PAIRS)
    metric, found = METRICS.get("logit_diff"), {}
    for method, name in CASES:
        scores = []
        for model in (plain, folded):
            ablation = make_ablation(name, model, batches, "clean")
            scores.append(attribute(Job(model, batches, metric, "edge", ablation), method))
        counts = [scores[0].space.n_at(share) for share in SHARES]
        circuits = select(scores[0], counts, ranking=Ranking.ABSOLUTE)
        one, other = (values_of(model, circuits, batches, name) for model in (plain, folded))
        largest = np.abs(scores[0].values).max()
        difference = np.abs(scores[0].values - scores[1].values).max() / largest
        found[method, name] = float(difference), float(np.abs(one - other).max())
    return found


def values_of(
    model: CircuitModel, circuits: list[Circuit], batches: list[Batch], ablation: str
) -> np.ndarray:
    """Mean metric of the circuits, with that of the model, as it is, as the unit."""
    how = make_ablation(ablation, model, batches, "clean")
    values = evaluate_circuits(model, batches, circuits, METRICS.get("logit_diff"), how)
    result: np.ndarray = values.circuits.mean(1) / np.abs(values.full.mean())
    return result


def main() -> None:
    """Print the table."""
    runs = [compare(seed) for seed in SEEDS]
    rows = []
    for case in CASES:
        scores, circuits = ([run[case][at] for run in runs] for at in (0, 1))
        spans = (f"{min(x):.3f} to {max(x):.3f}" for x in (scores, circuits))
        rows.append([*case, *spans])
    head = ["method", "ablation", "scores, of the largest", "circuits' metric, of the model's"]
    print(markdown_table(head, rows, 2))


if __name__ == "__main__":
    main()
