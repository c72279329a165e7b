"""What a page draws of a task's circuits, small enough to be kept with published results.

The strongest edges of the circuit of every size, or of a circuit of hidden units these, each with its
score and the sizes whose circuit keeps it. Written beside scores and circuits (`view.json`), which are
a hundred times larger; published results keep it gzipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import Graph
from harness_circuits.circuits.scores import HIDDEN_UNITS, LEVELS, Scores, ScoreSpace
from harness_circuits.circuits.sizes import MOST_SIZES
from harness_circuits.circuits.spans import MOST_SPANS
from harness_circuits.errors import CircuitFileError, shown
from harness_circuits.machine.files import ChecksumError
from harness_circuits.machine.packed import read_stored

VIEW_FILE = "view.json"
FORMAT = "harness_circuits circuit view 1"
MOST_EDGES = 150  # of one circuit
MOST_BYTES = 20_000_000


@dataclass(frozen=True)
class ViewEdge:
    """An edge, or a hidden unit, of at least one of the circuits.

    Attributes:
        source: Index of its source; of a hidden unit, its layer.
        destination: Index of its destination; of a hidden unit, its number in the layer.
        score: Its score; None where edges have none.
        sizes: By name of the series, the places of the sizes whose circuit keeps it, ascending.
    """

    source: int
    destination: int
    score: float | None
    sizes: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class CircuitView:
    """Circuits of growing size, as far as a page draws them.

    Attributes:
        graph: The model's graph.
        level: Units that were selected.
        series: By name (`absolute`, `signed`), the sizes as text and how many edges each keeps.
        edges: The strongest edges of every circuit, at most `MOST_EDGES` each.
        nodes: Scores of nodes by index; empty where nodes have none.
        spans: Of circuits over positions, how many spans there are: an edge is one that is kept at some
            span, its score the sum over spans. 0 for other circuits.
        crossing: Whether the circuits' units are crossing edges too, which are not among the edges.
    """

    graph: Graph
    level: str
    series: Mapping[str, Mapping[str, int]]
    edges: tuple[ViewEdge, ...]
    nodes: Mapping[int, float]
    spans: int = 0
    crossing: bool = False

    @classmethod
    def of(
        cls,
        circuits: Mapping[str, Mapping[str, Circuit]],
        scores: Scores | None = None,
        most: int = MOST_EDGES,
    ) -> CircuitView:
        """Keep the strongest edges of circuits; over spans, edges kept at some span, with sums of scores.

        Args:
            circuits: By name of the series and by size as text.
            scores: What they were selected by; without edge scores, the first edges are kept.
            most: Edges of one circuit.
        """
        space = next(iter(next(iter(circuits.values())).values())).space
        graph = space.graph
        scores = None if scores is None else scores.everywhere()
        drawn = scores is not None and scores.space.level in ("edge", HIDDEN_UNITS)
        values = scores.values if scores is not None and drawn else None
        spans = 0 if space.spans is None else len(space.spans)
        kept: dict[tuple[int, int], dict[str, list[int]]] = {}
        for name, sizes in circuits.items():
            for place, circuit in enumerate(sizes.values()):
                for edge in _strongest(_edges(circuit), values, most):
                    kept.setdefault(edge, {}).setdefault(name, []).append(place)
        edges = [
            ViewEdge(u, v, None if values is None else float(values[u, v]), sizes)
            for (u, v), sizes in sorted(kept.items())
        ]
        nodes: dict[int, float] = {}
        if scores is not None and scores.space.level == "node":
            nodes = dict(enumerate(map(float, scores.values)))
        counts = {
            name: {size: int(_edges(circuit).sum()) for size, circuit in sizes.items()}
            for name, sizes in circuits.items()
        }
        return cls(graph, space.level, counts, tuple(edges), nodes, spans, space.crossing)

    def strongest(self, most: int) -> CircuitView:
        """The same view with fewer edges of each circuit.

        Args:
            most: Edges of one circuit.
        """
        order = sorted(self.edges, key=lambda edge: -abs(edge.score or 0.0))
        left = {(name, at): most for name, sizes in self.series.items() for at in range(len(sizes))}
        kept = []
        for edge in order:
            own: dict[str, list[int]] = {}
            for name, places in edge.sizes.items():
                for at in places:
                    left[name, at] -= 1
                    if left[name, at] >= 0:
                        own.setdefault(name, []).append(at)
            kept += [replace(edge, sizes=own)] if own else []
        kept.sort(key=lambda edge: (edge.source, edge.destination))
        return replace(self, edges=tuple(kept))

    def to_json(self) -> str:
        """The file's text; scores to four digits, which is more than a line's width tells."""
        return json.dumps(
            {
                "format": FORMAT,
                "graph": self.graph.to_dict(),
                "level": self.level,
                "spans": self.spans,
                "crossing": self.crossing,
                "series": self.series,
                "nodes": [[at, _rounded(score)] for at, score in self.nodes.items()],
                "edges": [
                    [e.source, e.destination, _rounded(e.score), e.sizes] for e in self.edges
                ],
            },
            separators=(",", ":"),
        )


def _edges(circuit: Circuit) -> np.ndarray:
    if circuit.space.level == HIDDEN_UNITS:
        return circuit.kept
    return circuit.edges if circuit.space.level == "edge" else circuit.edges & circuit.into_kept


def _strongest(kept: np.ndarray, values: np.ndarray | None, most: int) -> list[tuple[int, int]]:
    found = np.argwhere(kept)
    if values is not None:
        strength = np.abs(values[found[:, 0], found[:, 1]])
        found = found[np.argsort(-strength, kind="stable")]
    return [(int(u), int(v)) for u, v in found[:most]]


def _rounded(score: float | None) -> float | None:
    return None if score is None else float(f"{score:.4g}")


def read_view(path: Path) -> CircuitView:
    """Read a view that a run has left, as it is or gzipped, trusting nothing in it.

    Raises:
        CircuitFileError: It is not there, too large, changed, or no such file.
    """
    try:
        return _view(json.loads(read_stored(path, MOST_BYTES)))
    except ChecksumError as error:
        raise CircuitFileError(str(error)) from error
    except OSError as error:
        raise CircuitFileError(f"{path} is not readable: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CircuitFileError(f"{path} is no circuit view: {shown(error)}.") from error


def _view(data: dict[str, Any]) -> CircuitView:
    if data["format"] != FORMAT:
        raise ValueError(f"its format is {shown(data['format'])}, not {FORMAT!r}")
    graph, level = Graph.from_dict(data["graph"]), data["level"]
    if level not in LEVELS:
        raise ValueError(f"there is no level {shown(level)}")
    real = ScoreSpace(graph, HIDDEN_UNITS).real if level == HIDDEN_UNITS else graph.edge_mask
    series = {
        str(name): {str(size): _count(n, real.size) for size, n in sizes.items()}
        for name, sizes in data["series"].items()
    }
    if not series or any(not 0 < len(sizes) <= MOST_SIZES for sizes in series.values()):
        raise ValueError(f"a series has 1 to {MOST_SIZES} sizes")
    edges = tuple(_edge(row, real, series) for row in data["edges"])
    nodes = {_count(at, graph.n_src - 1): float(score) for at, score in data["nodes"]}
    if not np.isfinite([*nodes.values(), *(e.score or 0.0 for e in edges)]).all():
        raise ValueError("a score is not finite")
    crossing = data.get("crossing", False)
    if type(crossing) is not bool:
        raise ValueError(f"crossing is no boolean: {shown(crossing)}")
    spans = _count(data["spans"], MOST_SPANS)
    return CircuitView(graph, level, series, edges, nodes, spans, crossing)


def _edge(
    row: Sequence[Any], real: np.ndarray, series: Mapping[str, Mapping[str, int]]
) -> ViewEdge:
    source, destination, score, sizes = row
    u, v = _count(source, real.shape[0] - 1), _count(destination, real.shape[1] - 1)
    if not real[u, v]:
        raise ValueError(f"there is no edge from source {u} to destination {v}")
    places = {
        name: [_count(place, len(series[name]) - 1) for place in sizes[name]] for name in sizes
    }
    return ViewEdge(u, v, None if score is None else float(score), places)


def _count(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{shown(value)} is no whole number from 0 to {most}")
    return value
