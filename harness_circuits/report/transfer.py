"""Transfer matrices as Markdown tables and as heatmaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.report.extras import needs_report
from harness_circuits.report.markdown import escape, interval_text, markdown_table
from harness_circuits.statistics.bootstrap import Interval

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from harness_circuits.sweep.transfer import Transfer, TransferMatrix


def transfer_markdown(found: Transfer) -> str:
    """Two tables per ranking and size: faithfulness beside random circuits, and overlap."""
    lines = [
        f"# Circuits of each task on all tasks: {escape(found.model)}\n",
        "Rows: the task that a circuit was discovered on. Columns: the task that it is run on. "
        "Faithfulness with its 95% interval over evaluation pairs; in round brackets, the mean of "
        f"{found.settings['null_circuits']} random circuits of the row's size. Overlap: Jaccard index "
        "corrected for chance, 0 as random circuits of these sizes, 1 the same.\n",
    ]
    lines += [f"- warning: {escape(warning)}" for warning in found.warnings]
    for matrix in found.matrices:
        lines.append(f"\n## {escape(title(matrix))}\n")
        lines.append(markdown_table(["circuit of", *found.tasks], _faithfulness(found, matrix), 1))
        overlap = [
            [escape(name), *(f"{value:.2f}" for value in row)]
            for name, row in zip(found.tasks, matrix.corrected_jaccard, strict=True)
        ]
        lines.append(markdown_table(["overlap of", *found.tasks], overlap, 1))
    return "\n".join(lines)


def _faithfulness(found: Transfer, matrix: TransferMatrix) -> list[list[str]]:
    rows = []
    for at, name in enumerate(found.tasks):
        cells = [escape(name)]
        for on in range(len(found.tasks)):
            ends = (side[at][on] for side in (matrix.ci95_low, matrix.ci95_high))
            text = interval_text(Interval.of(matrix.faithfulness[at][on], *ends), digits=2)
            random = "" if matrix.random is None else f" ({matrix.random[at][on]:.2f})"
            cells.append(text + random)
        rows.append(cells)
    return rows


def title(matrix: TransferMatrix) -> str:
    """What a matrix is of: `ranked by |score|, size 0.05`."""
    return f"ranked by {Ranking(matrix.ranking).symbol}, size {size_name(matrix.size)}"


def transfer_figure(found: Transfer) -> go.Figure:
    """Both matrices side by side; a menu chooses ranking and size.

    Raises:
        OptionError: The extra `report` is not installed.
    """
    with needs_report():
        from plotly.subplots import make_subplots
    what = ("faithfulness", "overlap, corrected for chance")
    figure = make_subplots(rows=1, cols=2, subplot_titles=what, horizontal_spacing=0.3)
    for side, values in enumerate(_both(found.matrices[0]), start=1):
        figure.add_heatmap(
            z=values,
            x=list(found.tasks),
            y=list(found.tasks),
            zmin=0,
            zmax=1,
            colorscale="Viridis",
            texttemplate="%{z:.2f}",
            hovertemplate="circuit of %{y}<br>on %{x}<br>%{z:.3f}<extra></extra>",
            showscale=side == 2,
            row=1,
            col=side,
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(
        height=320 + 40 * len(found.tasks),
        margin={"l": 120, "r": 10, "t": 90, "b": 90},
        updatemenus=[{"buttons": _buttons(found.matrices), "x": 0, "xanchor": "left", "y": 1.3}],
        paper_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def _both(matrix: TransferMatrix) -> tuple[list[list[float]], list[list[float]]]:
    return matrix.faithfulness, matrix.corrected_jaccard


def _buttons(matrices: Sequence[TransferMatrix]) -> list[dict[str, Any]]:
    return [
        {"label": title(matrix), "method": "restyle", "args": [{"z": list(_both(matrix))}]}
        for matrix in matrices
    ]
