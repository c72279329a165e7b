"""TransformerLens' own patching beside ours, in one process and in turns: the same numbers, and the time.

Usage: OMP_NUM_THREADS=1 python -m benchmarks.peers [CASE]     (a random model; by default `peers`)

Attribution patching of TransformerLens takes gradients on the corrupted run and asks what restores it,
so ours runs here with clean and corrupted prompts exchanged; its scores are per position and are added
up. Its activation patching has heads only; ours of all nodes is timed. Grouped-query attention and
post-norms, which it refuses at edge level, are not in the cases. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.patching import get_act_patch_attn_head_out_all_pos
from transformer_lens.tools.analysis import attribution_patch
from transformer_lens.tools.analysis.attribution_patching import EdgeAttributionConfig, Node

from benchmarks.cases import CASES, Case, load, pairs
from benchmarks.measure import interleaved
from harness_circuits.attribution import Job, attribute
from harness_circuits.circuits.graph import Graph
from harness_circuits.loading.load import take_apart
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.pairs.batch import make_batches

ROUNDS = 1
RIGHT, WRONG = 3, 5  # answers of all pairs: a metric of TransformerLens sees no pair


class Peers:
    """The same model and pairs for both."""

    def __init__(self, case: Case, dtype: torch.dtype = torch.float32) -> None:
        self.model = take_apart(load(case).hf.to(dtype), name="random GPT-2")
        found = [
            replace(pair, clean=pair.corrupted, corrupted=pair.clean, answers=((RIGHT,), (WRONG,)))
            for pair in pairs(case, self.model)
        ]
        self.batches = make_batches(found, len(found))
        self.base, self.restored = self.batches[0].clean.ids, self.batches[0].corrupted.ids
        own = copy.deepcopy(self.model.hf).requires_grad_(True)  # its gradients start at weights
        with tempfile.TemporaryDirectory() as folder:
            own.save_pretrained(folder)  # the bridge reads the configuration there
            bridge = TransformerBridge.boot_transformers(folder, hf_model=own, device="cpu")
        self.bridge = bridge.eval()

    def ours(self, method: str, level: str) -> np.ndarray:
        """Scores of one method."""
        job = Job(self.model, self.batches, METRICS.get("logit_diff"), level)  # type: ignore[arg-type]
        return attribute(job, method).values

    def attribution(self, level: str) -> np.ndarray:
        """Its attribution patching, in our shape and sign."""
        config = EdgeAttributionConfig(granularity=level)  # type: ignore[arg-type]
        found = attribution_patch(self.bridge, self.restored, self.base, logit_diff, config)
        scores: Mapping[Any, float] = found.edge_scores if level == "edge" else found.node_scores
        graph = self.model.graph
        out = np.zeros((graph.n_src, graph.n_dst) if level == "edge" else graph.n_src)
        for unit, score in scores.items():
            at = place(graph, unit) if level == "node" else tuple(place(graph, x) for x in unit)
            out[at] -= score
        return out

    def activation(self) -> np.ndarray:
        """Its activation patching of every head, as a fall of the metric [layer, head]."""
        with torch.no_grad():
            _, cache = self.bridge.run_with_cache(self.restored)
            before = logit_diff(self.bridge(self.base))
            patched = get_act_patch_attn_head_out_all_pos(self.bridge, self.base, cache, logit_diff)
        return (before - patched).numpy()


def logit_diff(logits: torch.Tensor) -> torch.Tensor:
    """Mean over examples."""
    return (logits[:, -1, RIGHT] - logits[:, -1, WRONG]).mean()


def place(graph: Graph, node: Node) -> int:
    """The number of a node of TransformerLens among our sources or destinations."""
    if node.kind == "embed":
        return 0
    if node.kind == "logits":
        return graph.n_dst - 1
    assert node.layer is not None
    if node.kind == "mlp_out":
        return graph.mlp_source(node.layer)
    if node.kind == "mlp_in":
        return graph.mlp_destination(node.layer)
    assert node.head is not None
    if node.kind == "attn_head_out":
        return graph.head_source(node.layer) + node.head
    return graph.head_destination(node.layer, node.kind[0]) + node.head  # type: ignore[arg-type]


def compared(peers: Peers) -> dict[str, float]:
    """Largest differences of scores, as shares of the largest score."""
    graph = peers.model.graph
    nodes = peers.ours("exact", "node")
    heads = np.stack([nodes[graph.head_slice(layer)] for layer in range(graph.n_layers)])
    both = {
        "attribution patching, edges": (peers.ours("EAP", "edge"), peers.attribution("edge")),
        "attribution patching, nodes": (peers.ours("EAP", "node"), peers.attribution("node")),
        "activation patching": (heads, peers.activation()),
    }
    return {name: float(abs(a - b).max() / abs(a).max()) for name, (a, b) in both.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("case", nargs="?", default="peers", choices=sorted(CASES))
    peers = Peers(CASES[parser.parse_args().case])
    differences = compared(peers)
    stages = {
        "attribution patching, edges|TransformerLens": partial(peers.attribution, "edge"),
        "attribution patching, edges|ours": partial(peers.ours, "EAP", "edge"),
        "attribution patching, nodes|TransformerLens": partial(peers.attribution, "node"),
        "attribution patching, nodes|ours": partial(peers.ours, "EAP", "node"),
        "activation patching|TransformerLens": peers.activation,
        "activation patching|ours": partial(peers.ours, "exact", "node"),
    }
    times = interleaved(stages, ROUNDS)
    print("| | TransformerLens, CPU s | ours, CPU s | ratio | largest difference of scores |")
    print("|---|---|---|---|---|")
    for name, difference in differences.items():
        theirs, own = (times[f"{name}|{who}"]["cpu"] for who in ("TransformerLens", "ours"))
        print(f"| {name} | {theirs:.2f} | {own:.2f} | {theirs / own:.1f} | {difference:.0e} |")


if __name__ == "__main__":
    main()
