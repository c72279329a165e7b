"""A circuit in Graphviz' DOT language, for those who want to lay it out themselves."""

from __future__ import annotations

import json

from harness_circuits.report.drawing.colours import EDGE_COLOURS, NODE_COLOURS, width
from harness_circuits.report.drawing.layout import Drawing


def draw_dot(drawing: Drawing, title: str = "") -> str:
    """The drawing's nodes and edges; rows become ranks, places are left to Graphviz."""
    lines = [
        "digraph circuit {",
        f"  graph [rankdir=BT, label={_quoted(title)}];",
        '  node [shape=box, style="rounded,filled", fontname="Helvetica"];',
    ]
    rows: dict[float, list[str]] = {}
    for node in drawing.nodes:
        rows.setdefault(node.y, []).append(_quoted(node.full_name))
        lines.append(f'  {_quoted(node.full_name)} [fillcolor="{NODE_COLOURS[node.kind]}"];')
    lines += [f"  {{ rank=same; {'; '.join(names)}; }}" for names in rows.values()]
    for edge in drawing.edges:
        lines.append(
            f"  {_quoted(edge.source.full_name)} -> {_quoted(edge.target.full_name)} "
            f'[color="{EDGE_COLOURS[edge.kind]}", penwidth={width(edge.strength, drawing.scored):.2f}, '
            f"style={'dashed' if edge.is_negative else 'solid'}, tooltip={_quoted(edge.label)}"
            f"{f', label={edge.kind}, constraint=false' if edge.is_crossing else ''}];"
        )
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
