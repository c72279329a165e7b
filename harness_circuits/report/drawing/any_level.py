"""The drawing that fits a circuit's level."""

from __future__ import annotations

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.scores import HIDDEN_UNITS, Scores
from harness_circuits.errors import OptionError
from harness_circuits.report.drawing.layout import Drawing, edges_to_draw, lay_out
from harness_circuits.report.drawing.layout_hidden import lay_out_hidden
from harness_circuits.report.drawing.span_layout import lay_out_spans


def lay_out_any(
    circuit: Circuit, scores: Scores | None = None, merge: bool | None = None
) -> Drawing:
    """Lay a circuit out: edge by edge, layer by layer where its units are hidden ones, or in columns.

    Args:
        circuit: A circuit of any level.
        scores: Scores of edges, or of the circuit's hidden units; of others, none are drawn.
        merge: As for `lay_out`.

    Raises:
        OptionError: As for `lay_out`, `lay_out_hidden` and `lay_out_spans`; or lines over spans are to
            be merged.
    """
    if circuit.space.spans is not None:
        if merge:
            raise OptionError("--merge is for circuits without spans: over spans lines stay apart.")
        return lay_out_spans(circuit, scores)
    if circuit.space.level == HIDDEN_UNITS:
        return lay_out_hidden(circuit, scores)
    return lay_out(circuit, scores, merge)


def drawable(scores: Scores) -> Scores | None:
    """Scores, if a drawing has lines for their units."""
    return scores if scores.space.level in ("edge", HIDDEN_UNITS) else None


def n_drawn(circuit: Circuit) -> int:
    """How many edges, or hidden units, a drawing of a circuit stands for."""
    if circuit.space.level == HIDDEN_UNITS or circuit.space.spans is not None:
        return circuit.n_kept
    return int(edges_to_draw(circuit).sum())
