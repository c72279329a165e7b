"""Where the MLPs of a circuit of hidden units go on a drawing: one node per layer, as a summary.

Everything but the hidden units is kept, so that a drawing of all edges would show the model. It shows
each MLP with how many of its units are kept (`m3:45`), between the input and the logits; with scores,
lines are as wide as the kept units' scores add up to.
"""

from __future__ import annotations

import numpy as np

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.graph import INPUT, LOGITS
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError
from harness_circuits.report.drawing.layout import Drawing, DrawnEdge, DrawnNode

NAMED = 10  # units that a line's label names
HEIGHTS = (0.0, 1.5, 3.0)


def lay_out_hidden(circuit: Circuit, scores: Scores | None = None) -> Drawing:
    """Lay a circuit of hidden units out, layer by layer.

    Args:
        circuit: A circuit at level `mlp-neuron`.
        scores: Scores of the same units, for widths and signs.

    Raises:
        OptionError: The circuit is empty, or the scores belong elsewhere.
    """
    if scores is not None and scores.space != circuit.space:
        raise OptionError("The scores for a drawing are scores of the circuit's own units.")
    layers = np.flatnonzero(circuit.kept.any(axis=1)).tolist()
    if not layers:
        raise OptionError("A drawing shows the layers with units; this circuit keeps none.")
    middle = (len(layers) - 1) / 2
    ends = [
        DrawnNode(name, name, middle, y) for name, y in ((INPUT, HEIGHTS[0]), (LOGITS, HEIGHTS[2]))
    ]
    values = np.where(circuit.kept, 0.0 if scores is None else scores.values, 0.0)
    sums = {layer: float(values[layer].sum()) for layer in layers}
    strongest = max(map(abs, sums.values())) or 1.0
    nodes, edges = [], []
    for place, layer in enumerate(layers):
        n_kept = int(circuit.kept[layer].sum())
        node = DrawnNode(f"m{layer}:{n_kept}", "mlp", float(place), HEIGHTS[1])
        nodes.append(node)
        score = None if scores is None else sums[layer]
        how = (
            _names(circuit, values, layer),
            score,
            1.0 if score is None else abs(score) / strongest,
        )
        edges += [DrawnEdge(ends[0], node, "mlp", *how), DrawnEdge(node, ends[1], "logits", *how)]
    edges.sort(key=lambda edge: edge.strength)
    note = (
        f"{circuit.n_kept} hidden units of MLPs, by layer; everything else is kept, and lines stand for "
        "a layer's units together"
    )
    every = (ends[0], *nodes, ends[1])
    scored = scores is not None
    return Drawing(every, tuple(edges), circuit.n_kept, True, scored, note, units="hidden units")


def _names(circuit: Circuit, values: np.ndarray, layer: int) -> tuple[str, ...]:
    """A layer's kept units, the strongest first, as many as a label has room for."""
    kept = np.flatnonzero(circuit.kept[layer])
    strongest = kept[np.argsort(-np.abs(values[layer, kept]), kind="stable")]
    names = [circuit.space.unit_name(layer, int(unit)) for unit in strongest[:NAMED]]
    more = len(kept) - len(names)
    return (*names, *([f"and {more} more"] if more else []))
