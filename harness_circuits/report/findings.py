"""What an evaluation found, for Python code and notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.errors import OptionError, shown
from harness_circuits.evaluation.curve import AREAS
from harness_circuits.machine.files import write_atomically
from harness_circuits.machine.notebook import (
    beside,
    in_notebook,
    picture_html,
    show_picture,
    table_html,
)
from harness_circuits.options.paths import read_path
from harness_circuits.records.run import CurveRecord
from harness_circuits.statistics.bootstrap import Interval

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Faithfulness:
    """What an evaluation found.

    Attributes:
        metrics: By the names they have in lm-eval's results: `cmd`, `cmd_ci95_low`,
            `faithfulness@0.05`, `full_metric`, ...; None where there is no interval.
        curves: Per ranking, sizes with faithfulness, its 95% interval, accuracy, kept units.
        text: The curves as a table, with the warnings: what `print` shows.
        evidence: What `evidence=` asked for, by kind, as the results file has it.
        warnings: What makes the numbers say less than they seem to: repeated pairs, pairs that the
            circuits were found on (where `training` names them), a corruption that does not hurt.
    """

    metrics: Mapping[str, float | None]
    curves: Mapping[Ranking, CurveRecord]
    text: str
    warnings: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def figure(self) -> go.Figure:
        """The curves as an interactive plotly figure.

        Raises:
            OptionError: The extra `report` is not installed.
        """
        from harness_circuits.report.extras import needs_report

        with needs_report():
            from harness_circuits.report.drawing.curves import curves_figure
        return curves_figure(self.curves)

    def plot(self, path: str | Path | None = None, title: str = "") -> Path | None:
        """Show the curves, or write them to a PNG, SVG, PDF or HTML file.

        Args:
            path: Where to write; by default they are shown: below the cell of a notebook, else in a
                browser.
            title: Heading of a PNG, SVG or PDF.

        Returns:
            The path; None where they are shown.

        Raises:
            OptionError: Another suffix, or the extra `report` is not installed.
        """
        if path is None:
            if in_notebook():
                show_picture(self._picture("png", title))
            else:
                self.figure().show()
            return None
        path = read_path(path, "path", "a picture file")
        if path.suffix == ".html":
            return write_atomically(path, self.figure().to_html(include_plotlyjs=True).encode())
        if path.suffix not in PICTURES:
            known = ", ".join((*PICTURES, ".html"))
            raise OptionError(
                f"A curve is written to a file ending in {known}, not {shown(path.name)}."
            )
        return write_atomically(path, self._picture(path.suffix[1:], title))

    def to_frame(self) -> pd.DataFrame:
        """A row per ranking and size as a pandas DataFrame, with the ends of 95% intervals."""
        import pandas as pd

        rows = [
            {
                "ranking": ranking.value,
                "size": size,
                "faithfulness": point.value,
                "ci95_low": point.low,
                "ci95_high": point.high,
                "accuracy": accuracy,
                "kept": int(kept),
                "edges": edges,
            }
            for ranking, curve in self.curves.items()
            for size, point, accuracy, kept, edges in zip(
                curve.sizes, curve.points, curve.accuracy, curve.kept, curve.edges, strict=True
            )
        ]
        return pd.DataFrame(rows)

    def _picture(self, kind: str, title: str) -> bytes:
        from harness_circuits.report.extras import needs_report

        with needs_report():
            from harness_circuits.report.drawing.curves_static import curves_picture
        return curves_picture(self.curves, kind, title)

    def __repr__(self) -> str:
        areas = (f"{name}={self._interval(name)}" for name in AREAS if name in self.metrics)
        sizes = len(next(iter(self.curves.values())).sizes)
        said = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"Faithfulness({', '.join([*areas, f'{sizes} sizes'])}{said})"

    def _repr_html_(self) -> str:
        rows = [
            (
                size_name(size),
                f"{point.value:.3f}",
                _ends(point),
                f"{accuracy:.2f}",
                f"{edges:,.0f}",
            )
            for curve in self.curves.values()
            for size, point, accuracy, edges in zip(
                curve.sizes, curve.points, curve.accuracy, curve.edges, strict=True
            )
        ]
        heads = ["size", "faithfulness", "95% interval", "accuracy", "edges kept"]
        areas = [(name, self._interval(name)) for name in AREAS if name in self.metrics]
        full, empty = (self.metrics[name] for name in ("full_metric", "corrupted_metric"))
        areas += [("full_metric", f"{full:.3f}"), ("corrupted_metric", f"{empty:.3f}")]
        try:
            picture = picture_html(self._picture("png", ""), "faithfulness over circuit size")
        except OptionError:  # without the extra there are tables
            picture = ""
        parts = (picture, table_html("faithfulness", heads, rows, 0))
        warnings = [table_html("warnings", [""], [[text] for text in self.warnings])]
        notes = warnings if self.warnings else []
        return beside(*parts, table_html("areas", ["", "value, 95% interval"], areas), *notes)

    def _interval(self, name: str) -> str:
        ends = (self.metrics.get(f"{name}_ci95_{end}") for end in ("low", "high"))
        interval = Interval.of(self.metrics[name] or 0.0, *ends)
        return f"{interval.value:.3f}{_brackets(interval)}"


def _brackets(interval: Interval) -> str:
    return "" if interval.low == interval.high else f" [{_ends(interval)}]"


def _ends(interval: Interval) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}"
