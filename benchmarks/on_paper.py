"""Memory and operations of Llama-3.1-8B on one 80 GB device, from the package's own estimates.

Usage: python -m benchmarks.on_paper [--pairs 200] [--tokens 17] [--shared 12]

The model is on the meta device: it has shapes and no weights, nothing is run. Operations are those of
matrix products (a product and a sum count as two) in the blocks and the unembedding.
"""

from __future__ import annotations

import argparse
from unittest.mock import patch

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness_circuits.circuits.sizes import MIB_SIZES
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.batch import Batch, make_batches
from harness_circuits.pairs.grouping import PREFIX_TOKENS
from harness_circuits.pairs.tokenise import TokenPair
from harness_circuits.passes.contract import CHUNK_BYTES
from harness_circuits.passes.memory import SHARE_OF_FREE, Needs, bytes_per_token, pairs_per_pass

DEVICE_BYTES, STEPS, GIB = 80 * 10**9, 5, 2**30
SIZES = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def llama(**changes: int) -> CircuitModel:
    """The model without its weights; its norms cannot be tried out, and are taken as they say."""
    config = AutoConfig.for_model("llama", **{**SIZES, **changes})
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    with patch("harness_circuits.models.norms._reproduces", return_value=True):
        return CircuitModel(hf, name="Llama-3.1-8B")


def folded_bytes(model: CircuitModel) -> int:
    """Projections with the norm's gain folded in, which are copies of the model's own."""
    weights = [weight for layer in model.layers for weight, _ in layer.folded.values()]
    return sum(weight.numel() * weight.element_size() for weight in weights)


def batches_of(model: CircuitModel, n: int, n_tokens: int, shared: int, memory: int) -> list[Batch]:
    """Pairs that differ from one token on, in the passes that the memory allows."""
    clean = tuple(range(n_tokens))
    corrupted = clean[:shared] + tuple(token + n_tokens for token in clean[shared:])
    pairs = [TokenPair(clean, corrupted, ((1,), (2,)), (0,), (1,), at) for at in range(n)]
    size = pairs_per_pass(model, pairs, memory, needs=Needs(runs=STEPS))
    return make_batches(pairs, size, room=size)


def side_by_side(batch: Batch) -> int:
    """How many runs of a batch's own tokens share a pass, behind its shared prefix."""
    n_rows, n_tokens = batch.clean.ids.shape
    held = n_tokens - batch.shared + batch.shared // PREFIX_TOKENS
    return max(1, batch.room // (n_rows * held))


def passes(batches: list[Batch], runs: int) -> int:
    """Passes for some runs of every batch, as many side by side as there is room for."""
    return sum(-(-runs // side_by_side(batch)) for batch in batches)


def figures(model: CircuitModel, n: int, n_tokens: int, shared: int) -> dict[str, str]:
    """What the table says, row by row."""
    graph = model.graph
    weights = sum(p.numel() * p.element_size() for p in model.hf.parameters())
    folded = folded_bytes(model)
    memory = int((DEVICE_BYTES - weights - folded) * SHARE_OF_FREE)
    batches = batches_of(model, n, n_tokens, shared, memory)
    rows, step = len(batches[0]), side_by_side(batches[0])
    behind = rows * (n_tokens - batches[0].shared) * step
    table = model.hf.get_input_embeddings().weight.numel()
    blocks = sum(p.numel() for p in model.hf.parameters()) - 2 * table
    prefix, suffix = (sum(len(b) for b in batches) * t for t in (shared, n_tokens - shared))
    forward = 2 * blocks * suffix + 2 * table * n
    once = 2 * blocks * prefix
    contraction = 2 * graph.n_edges * graph.d_model * suffix
    n_circuits = len(MIB_SIZES)
    path = once + (2 + STEPS) * forward + STEPS * forward + contraction
    store = behind * (graph.n_src + 2) * graph.d_model * 2
    return {
        "edges": f"{graph.n_edges:,}",
        "weights, bfloat16": f"{weights / GIB:.1f} GiB",
        "folded projections (copies)": f"{folded / GIB:.2f} GiB",
        "`max_memory` by default": f"{memory / GIB:.1f} GiB",
        "estimate per token": f"{bytes_per_token(model, n_tokens, STEPS) / 2**20:.1f} MiB",
        "pairs per pass": f"{rows}, {step} runs side by side",
        f"passes of EAP-IG-inputs, {n} pairs": (
            f"{len(batches)} prefixes, {passes(batches, 1) * 2} forward, "
            f"{passes(batches, STEPS)} forward and backward"
        ),
        "passes of a ten-point curve": (
            f"{len(batches)} prefixes, {passes(batches, 1) * 2} plain, "
            f"{passes(batches, n_circuits + 1)} of circuits"
        ),
        "score sums, float64": f"{graph.n_src * graph.n_dst * 8 / 2**20:.0f} MiB",
        "chunk of the contraction": f"{CHUNK_BYTES / 2**20:.0f} MiB",
        "differences of the circuits of one pass, all sources kept": f"{store / GIB:.1f} GiB",
        "operations of EAP-IG-inputs": f"{path / 1e15:.2f} PFLOP",
        "of these the contraction, float32": f"{contraction / 1e15:.3f} PFLOP",
        "operations of the curve, at most": (
            f"{(once + (3 + n_circuits) * forward) / 1e15:.2f} PFLOP, and sums of kept edges"
        ),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=17)
    parser.add_argument("--shared", type=int, default=12)
    asked = parser.parse_args()
    print(f"| Llama-3.1-8B, {asked.tokens} tokens, first {asked.shared} shared | |\n|---|---|")
    for name, value in figures(llama(), asked.pairs, asked.tokens, asked.shared).items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
