"""What scores and circuits look like in a notebook: their largest units, and a map of the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from harness_circuits.circuits.graph import Graph
from harness_circuits.machine.notebook import beside, table_html

if TYPE_CHECKING:
    from harness_circuits.circuits.circuit import Circuit
    from harness_circuits.circuits.scores import Scores, ScoreSpace

MOST = 10  # rows of a table
MOST_CELLS = 3000  # of a map
POSITIVE, NEGATIVE, KEPT = (31, 119, 180), (214, 39, 40), (44, 120, 80)


def scores_html(scores: Scores) -> str:
    """The strongest units and nodes as tables, and a map of the nodes' scores."""
    level, nodes = scores.space.level, scores.by_node()
    units = [(scores.space.unit_name(*at), f"{score:+.4g}") for at, score in scores.strongest(MOST)]
    heads = [nodes.space.unit_name(*at) for at, _ in nodes.strongest(MOST)]
    rows = [(name, f"{nodes[name]:+.4g}") for name in heads]
    tables = [table_html(scores.headline, [level, "score"], units)]
    if level != "node":
        tables.append(table_html("nodes (sums)", ["node", "score"], rows))
    largest = float(np.abs(nodes.values).max()) or 1.0
    return beside(*tables, map_html(scores.space.graph, nodes.values / largest, "node scores"))


def circuit_html(circuit: Circuit) -> str:
    """How much is kept, layer by layer, and a map of the nodes with their share of kept edges."""
    graph = circuit.space.graph
    out = circuit.edges.sum(axis=1)
    rows = [("input", "", "", f"{out[0]:,}")]
    for layer in range(graph.n_layers):
        heads, mlp = circuit.nodes[graph.head_slice(layer)], graph.mlp_source(layer)
        edges = out[graph.head_slice(layer)].sum() + out[mlp]
        mark = "kept" if circuit.nodes[mlp] else ""
        rows.append((str(layer), f"{heads.sum()} of {len(heads)}", mark, f"{edges:,}"))
    if len(rows) > 2 * MOST:
        half = len(rows) - MOST
        rows = [*rows[:MOST], ("...", "", "", ""), *rows[half:]]
    table = table_html(circuit.headline, ["layer", "heads", "MLP", "edges out"], rows)
    share = np.where(circuit.nodes, 0.3 + 0.7 * out / max(1, out.max()), 0.0)
    return beside(table, map_html(graph, share, "kept nodes", kept=True))


def map_html(
    graph: Graph, values: Float[np.ndarray, "src"], title: str, *, kept: bool = False
) -> str:
    """Nodes in rows of layers, the last on top; colour by a value from -1 to 1.

    Empty where the model has too many nodes to be told apart.
    """
    if graph.n_src > MOST_CELLS:
        return ""
    size = "width:0.9em;height:0.9em;padding:0;border:1px solid rgba(128,128,128,.3)"
    rows = []
    for layer in reversed(range(graph.n_layers)):
        first = graph.head_source(layer)
        cells = "".join(
            f'<td style="{size};background:{_colour(values[src], kept)}" '
            f'title="{graph.source_names[src]}: {values[src]:+.2f}"></td>'
            for src in range(first, first + graph.sources_per_layer)
        )
        rows.append(f'<tr><td style="padding:0 .4em;font-size:70%">{layer}</td>{cells}</tr>')
    caption = f'<caption style="text-align:left">{title}: layers up, heads, then MLP</caption>'
    return f'<table style="border-collapse:collapse">{caption}{"".join(rows)}</table>'


def _colour(value: float, kept: bool) -> str:
    red, green, blue = KEPT if kept else POSITIVE if value > 0 else NEGATIVE
    return f"rgba({red},{green},{blue},{min(1.0, abs(float(value))):.2f})"


def frame(columns: Mapping[str, Any], index: list[str] | None = None) -> Any:
    """A pandas DataFrame."""
    import pandas as pd

    return pd.DataFrame(
        dict(columns), index=None if index is None else pd.Index(index, name="unit")
    )


def unit_columns(space: ScoreSpace, places: np.ndarray) -> dict[str, list[Any]]:
    """What names units in a table: columns of their indices [unit, axis]."""
    graph, places = space.graph, places.reshape(-1, len(space.shape))
    spans: dict[str, list[Any]] = {}
    if space.spans is not None:
        spans = {"span": [space.spans.names[at] for at in places[:, 0]]}
        places = places[:, 1:]
        if space.crossing:  # what a crossing edge reads is a span
            names = [*graph.source_names, *(f"@{name}" for name in space.spans.names)]
            return {
                **spans,
                "source": [names[at] for at in places[:, 0]],
                "destination": [graph.destination_names[at] for at in places[:, 1]],
            }
    sources = np.array(graph.source_names)[space.scored_sources][places[:, 0]].tolist()
    if space.level == "edge":
        destinations = [graph.destination_names[at] for at in places[:, 1]]
        return {**spans, "source": sources, "destination": destinations}
    return {"node": sources, **({"number": places[:, 1].tolist()} if places.shape[1] > 1 else {})}
