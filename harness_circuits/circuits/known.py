"""Circuits of GPT-2 small from the literature, expanded from lists of heads.

The lists are Wang et al.'s (2022, arXiv 2211.00593) for indirect object identification and Hanna
et al.'s (2023, arXiv 2305.00586) for greater-than. The rules that join the classes to edges are
those that later benchmarks use (ACDC, arXiv 2304.14997), with MLPs left free where they are: in
IOI, an MLP may stand wherever the embeddings or the logits do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import INPUT, LOGITS, Graph
from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.errors import MismatchError, UnknownNameError
from harness_circuits.registry import unknown_name

FOLDER = Path(__file__).parent / "known_circuits"
NAMES = ("ioi-gpt2-small", "greater-than-gpt2-small")
KNOWN_FOR_TASK = {
    "ioi_circuit": "ioi-gpt2-small",
    "double_ioi_circuit": "ioi-gpt2-small",
    "mib_ioi_circuit": "ioi-gpt2-small",
    "greater_than_circuit": "greater-than-gpt2-small",
}
GPT2_SMALL = Graph(n_layers=12, n_heads=12, n_kv_heads=12, d_model=768)


def is_gpt2_small(graph: Graph) -> bool:
    """Whether a graph has the sizes of GPT-2 small's."""
    return graph == GPT2_SMALL


def known_circuit(name: str, graph: Graph) -> Circuit:
    """A circuit of GPT-2 small by name.

    Raises:
        UnknownNameError: There is none of this name.
        MismatchError: The graph is not GPT-2 small's.
    """
    if name not in NAMES:
        raise UnknownNameError(unknown_name("circuit", name, NAMES))
    if not is_gpt2_small(graph):
        raise MismatchError(
            f"The circuit {name} is one of GPT-2 small (12 layers of 12 heads, width 768); this "
            f"model has {graph.n_layers} layers of {graph.n_heads} heads, width {graph.d_model}."
        )
    table = _table(name)
    kept = np.zeros((graph.n_src, graph.n_dst), dtype=bool)
    for sources, destinations, kinds in table["edges"]:
        for source in _members(table, sources):
            src = graph.source_index(source)
            for destination in _members(table, destinations):
                for dst in _inputs(graph, destination, kinds):
                    kept[src, dst] = src < graph.n_visible[dst]
    return Circuit(ScoreSpace(graph, "edge"), kept)


def known_for_task(task: str, graph: Graph) -> tuple[str, Circuit] | None:
    """The literature's circuit of a task and its name, if the graph is GPT-2 small's."""
    name = KNOWN_FOR_TASK.get(task)
    if name is None or not is_gpt2_small(graph):
        return None
    return name, known_circuit(name, graph)


@cache
def _table(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return table


def _members(table: dict[str, Any], names: list[str]) -> Iterator[str]:
    """Nodes of classes; a class is a list of nodes, and any other name is a node itself."""
    for name in names:
        yield from table["classes"].get(name, [name])


def _inputs(graph: Graph, node: str, kinds: str) -> Iterator[int]:
    """Destinations of a node: of a head, those of the given kinds."""
    if node == LOGITS or node.startswith("m"):
        yield graph.destination_index(node)
    elif node != INPUT:
        for kind in kinds:
            yield graph.destination_index(f"{node}<{kind}>")
