"""What the circuit page shows of one run: circuits over sizes, their curve, and pairs.

`templates/circuit.js` draws it with Apache ECharts: one library for curves and graphs, with hovering,
dragging and adjacency of its own, small enough to stand in each page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import HIDDEN_UNITS
from harness_circuits.errors import OptionError
from harness_circuits.records.circuit_view import (
    MOST_EDGES,
    CircuitView,
    ViewEdge,
)
from harness_circuits.records.run import CurveRecord
from harness_circuits.report.drawing.layout import edge_kind, place

SHOWN_PAIRS = 20
MOST_ANSWERS = 8  # of one pair, written out


def page_data(
    view: CircuitView,
    curves: Mapping[Ranking, CurveRecord] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
    most: int = MOST_EDGES,
    n_pairs: int = SHOWN_PAIRS,
) -> dict[str, Any]:
    """A view laid out, with its curves and pairs, as plain JSON for `circuit.js`.

    Args:
        view: Circuits.
        curves: Their faithfulness by ranking, over the same sizes.
        rows: Values per example (`examples.jsonl`), with the pairs' text where it was kept.
        most: Edges of one circuit that the view has at most.
        n_pairs: Pairs that are shown of each size.

    Raises:
        OptionError: No circuit has an edge.
    """
    if not view.edges:
        raise OptionError("All its circuits are empty: there is nothing to draw.")
    nodes, edges = _placed(view)
    data: dict[str, Any] = {
        "n_layers": view.graph.n_layers,
        "units": _units(view),
        "most": most,
        "scored": view.edges[0].score is not None,
        "titles": {name: _title(name) for name in view.series},
        "series": {
            name: [
                {"name": size, "fraction": number_of(size), "edges": n} for size, n in sizes.items()
            ]
            for name, sizes in view.series.items()
        },
        "nodes": nodes,
        "edges": edges,
    }
    if curves is not None and _same_sizes(view, curves):
        data["curves"] = {name.value: _curve(curve) for name, curve in curves.items()}
        if rows is not None:
            data["pairs"] = _pairs(rows, list(view.series), n_pairs)
    return data


def _units(view: CircuitView) -> str:
    if view.level == HIDDEN_UNITS:
        return "hidden units"
    left_out = ", crossing edges not shown" if view.crossing else ""
    return f"edges at some of {view.spans} spans{left_out}" if view.spans else "edges"


def _line(view: CircuitView, edge: ViewEdge) -> tuple[int, int, str, str]:
    """Where an edge starts and ends, what it feeds, its name; a hidden unit leads to the logits."""
    graph = view.graph
    if view.level == HIDDEN_UNITS:
        name = f"m{edge.source}.h[{edge.destination}]"
        return graph.mlp_source(edge.source), graph.n_src, "mlp", name
    kind = edge_kind(graph.destination_names[edge.destination])
    name = graph.edge_name(edge.source, edge.destination)
    return edge.source, int(graph.destination_owner[edge.destination]), kind, name


def _placed(view: CircuitView) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    """Nodes with their places, and edges between them.

    Of an edge: its ends by number, kind, score, by series the places of its sizes, and its name where
    ends and kind do not tell it.
    """
    graph = view.graph
    lines = [_line(view, edge) for edge in view.edges]
    placed = place(graph, {(a, b) for a, b, _, _ in lines})
    index = {at: n for n, at in enumerate(sorted(placed))}
    nodes = [
        {
            "name": placed[at].name,
            "kind": placed[at].kind,
            "x": round(placed[at].x, 3),
            "y": round(placed[at].y, 3),
            "layer": None if at in (0, graph.n_src) else (at - 1) // graph.sources_per_layer,
            "score": view.nodes.get(at),
        }
        for at in index
    ]
    edges: list[list[Any]] = []
    for edge, (a, b, kind, name) in zip(view.edges, lines, strict=True):
        sizes = [list(edge.sizes.get(series, ())) for series in view.series]
        told = f"{placed[a].name}->{placed[b].name}" + (f"<{kind}>" if kind in "qkv" else "")
        score = None if edge.score is None else float(f"{edge.score:.4g}")
        row = [index[a], index[b], kind, score, sizes]
        edges.append(row if name == told else [*row, name])
    return nodes, edges


def curves_data(curves: Mapping[Ranking, CurveRecord]) -> dict[str, Any]:
    """The page of a run whose circuits are not at hand: its curves alone."""
    return {
        "n_layers": 0,
        "most": 0,
        "units": "edges",
        "scored": False,
        "titles": {name.value: name.heading for name in curves},
        "series": {
            name.value: [
                {"name": f"{size:.12g}", "fraction": size, "edges": round(n)}
                for size, n in zip(curve.sizes, curve.edges, strict=True)
            ]
            for name, curve in curves.items()
        },
        "nodes": [],
        "edges": [],
        "curves": {name.value: _curve(curve) for name, curve in curves.items()},
    }


def _same_sizes(view: CircuitView, curves: Mapping[Ranking, CurveRecord]) -> bool:
    return {name: len(sizes) for name, sizes in view.series.items()} == {
        name.value: len(curve.sizes) for name, curve in curves.items()
    }


def _title(series: str) -> str:
    return Ranking.read(series).heading if series in tuple(Ranking) else series


def number_of(size: str) -> float | None:
    """A size's text as a number; None where it is none."""
    try:
        return float(size)
    except ValueError:
        return None


def _curve(curve: CurveRecord) -> dict[str, Any]:
    ends = [(p.low, p.high) if p.low < p.high else (p.value, p.value) for p in curve.points]
    none = all(low == high for low, high in ends)
    return {
        "value": [round(point.value, 5) for point in curve.points],
        "low": [None if none else round(low, 5) for low, _ in ends],
        "high": [None if none else round(high, 5) for _, high in ends],
        "accuracy": list(curve.accuracy),
    }


def _pairs(rows: Sequence[Mapping[str, Any]], rankings: list[str], n: int) -> dict[str, Any]:
    """The n pairs that each circuit changes most."""
    full = np.array([row["full"] for row in rows], dtype=float)
    wanted: set[int] = set()
    for name in rankings:
        values = np.array([row["circuits"][name] for row in rows], dtype=float)
        worst = np.argsort(-np.abs(values - full[:, None]), axis=0, kind="stable")
        wanted |= set(worst[:n].ravel().tolist())
    texts = ("clean", "corrupted", "correct", "incorrect")
    kept = [
        {
            **{name: _text(rows[at].get(name)) for name in texts if name in rows[at]},
            "full": _short(rows[at]["full"]),
            "empty": _short(rows[at]["empty"]),
            "circuits": {name: list(map(_short, rows[at]["circuits"][name])) for name in rankings},
        }
        for at in sorted(wanted)
    ]
    return {"n": len(rows), "shown": n, "rows": kept}


def _short(value: float) -> float:
    return float(f"{float(value):.4g}")


def _text(value: object) -> str:
    """A prompt, or answers: of many the first ones, the last, and how many there are."""
    if not isinstance(value, list):
        return str(value)
    texts = [str(answer) for answer in value]
    if len(texts) > MOST_ANSWERS:
        texts = [*texts[: MOST_ANSWERS // 2], "...", f"{texts[-1]} ({len(texts)} answers)"]
    return " / ".join(texts)
