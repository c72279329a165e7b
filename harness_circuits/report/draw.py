"""From a circuit file to a drawing in a file."""

from __future__ import annotations

from pathlib import Path

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError
from harness_circuits.formats import load_circuit_file
from harness_circuits.report.drawing.layout import Drawing, lay_out
from harness_circuits.report.extras import needs_report
from harness_circuits.selection import select

SUFFIXES = (".svg", ".png", ".html", ".dot")
KEEP = 40


def read_drawing(
    file: str, scores_file: str | None = None, keep: int | None = None, merge: bool | None = None
) -> Drawing:
    """Read a circuit, or the strongest units of scores, and lay it out.

    Args:
        file: A file that `load_circuit_file` reads: a circuit or scores.
        scores_file: Scores for the widths and signs of a circuit's edges.
        keep: Of scores, how many units to draw (40).
        merge: As for `lay_out`.

    Raises:
        OptionError: Options that exclude each other, or nothing to draw.
        CircuitFileError: A file cannot be read.
    """
    found = load_circuit_file(file)
    if isinstance(found, Circuit):
        if keep is not None:
            raise OptionError(f"--keep chooses among scores, but {file} holds a circuit.")
        return lay_out(found, scores_of(scores_file, found), merge)
    if scores_file is not None:
        raise OptionError(f"--scores goes with a circuit, but {file} holds scores already.")
    keep = KEEP if keep is None else keep
    if not 0 < keep <= found.space.n_units:
        raise OptionError(f"--keep is from 1 to {found.space.n_units}, got {keep}.")
    (circuit,) = select(found, [keep], "top-n", ranking=Ranking.ABSOLUTE)
    return lay_out(circuit, found if found.space.level == "edge" else None, merge)


def scores_of(file: str | None, circuit: Circuit) -> Scores | None:
    """The scores behind a circuit, where a file is given.

    Raises:
        OptionError: The file holds a circuit.
        CircuitFileError: It cannot be read, or is of another graph.
    """
    if file is None:
        return None
    scores = load_circuit_file(file, circuit.space.graph)
    if not isinstance(scores, Scores):
        raise OptionError(f"--scores wants a file with scores, but {file} holds a circuit.")
    return scores


def check_output(path: Path) -> None:
    """Refuse an unknown kind of drawing before anything is read.

    Raises:
        OptionError: The suffix says nothing.
    """
    if path.suffix not in SUFFIXES:
        raise OptionError(f"{path}: a drawing ends in {', '.join(SUFFIXES)}, not {path.suffix!r}.")


def default_output(file: str) -> Path:
    """An SVG beside the circuit file, named after the circuit in it where one is named."""
    path, _, name = file.rpartition("#") if "#" in file else (file, "", "")
    stem = Path(path).with_suffix("")
    return stem.with_name(f"{stem.name}{'-' if name else ''}{name.replace('/', '-')}.svg")


def draw(drawing: Drawing, suffix: str, title: str = "") -> bytes:
    """Render a drawing as the kind of file that a suffix stands for.

    Raises:
        OptionError: The extra `report` is not installed.
    """
    if suffix == ".dot":
        from harness_circuits.report.drawing.dot import draw_dot

        return draw_dot(drawing, title).encode()
    if suffix == ".html":
        with needs_report():
            from harness_circuits.report.drawing.draw_plotly import draw_figure
            from harness_circuits.report.page import drawing_page
        return drawing_page(draw_figure(drawing), title).encode()
    with needs_report():
        from harness_circuits.report.drawing.draw_static import draw_static
    return draw_static(drawing, suffix.removeprefix("."), title)
