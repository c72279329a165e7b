"""Transfer matrices as Markdown tables, and as what pages draw heatmaps of."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.records.transfer import Transfer, TransferMatrix
from harness_circuits.report.markdown import escape, interval_text, markdown_table
from harness_circuits.statistics.bootstrap import Interval

WITHOUT = (
    "Without an interval: overlaps, and means of random circuits (each task's circuit is discovered "
    "once, and random ones are few)."
)


def transfer_markdown(found: Transfer) -> str:
    """Two tables per ranking and size: faithfulness beside random circuits, and overlap."""
    lines = [
        f"# Circuits of each task on all tasks: {escape(found.model)}\n",
        "Rows: the task that a circuit was discovered on. Columns: the task that it is run on. "
        "Faithfulness with its 95% interval over evaluation pairs; in round brackets, the mean of "
        f"{found.settings['null_circuits']} random circuits of the row's size. Overlap: Jaccard index "
        f"corrected for chance, 0 as random circuits of these sizes, 1 the same. {WITHOUT}\n",
    ]
    lines += [f"- warning: {escape(warning)}" for warning in found.warnings]
    for matrix in found.matrices:
        lines.append(f"\n## {escape(title(matrix))}\n")
        lines.append(markdown_table(["circuit of", *found.tasks], _faithfulness(found, matrix), 1))
        overlap = [
            [escape(name), *(f"{value:z.2f}" for value in row)]
            for name, row in zip(found.tasks, matrix.corrected_jaccard, strict=True)
        ]
        lines.append(markdown_table(["overlap of", *found.tasks], overlap, 1))
    return "\n".join(lines)


def _faithfulness(found: Transfer, matrix: TransferMatrix) -> list[list[str]]:
    return [[escape(name), *faithfulness_texts(matrix, at)] for at, name in enumerate(found.tasks)]


def faithfulness_texts(matrix: TransferMatrix, row: int) -> list[str]:
    """One circuit's faithfulness on each task: `0.81 [0.76, 0.86] (0.10)`, random ones in brackets."""
    texts = []
    for on, value in enumerate(matrix.faithfulness[row]):
        ends = (side[row][on] for side in (matrix.ci95_low, matrix.ci95_high))
        random = "" if matrix.random is None else f" ({matrix.random[row][on]:z.2f})"
        texts.append(interval_text(Interval.of(value, *ends), digits=2) + random)
    return texts


def title(matrix: TransferMatrix) -> str:
    """What a matrix is of: `ranked by |score|, size 0.05`."""
    return f"ranked by {Ranking(matrix.ranking).symbol}, size {size_name(matrix.size)}"


def transfer_view(found: Transfer) -> dict[str, Any]:
    """What `heatmap.js` draws: matrices with their titles, and whether there are random circuits."""
    return {
        "tasks": list(found.tasks),
        "matrices": [asdict(matrix) | {"title": title(matrix)} for matrix in found.matrices],
        "null_circuits": found.settings.get("null_circuits", 0),
    }


def about(found: Transfer) -> str:
    """Model and method, for headings: `gpt2, EAP-IG-inputs, patching`."""
    settings = (
        str(found.settings[name]) for name in ("method", "ablation") if name in found.settings
    )
    return ", ".join((found.model, *settings))
