"""From a circuit file to a drawing in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.errors import OptionError, shown
from harness_circuits.formats import CIRCUITS_FILE, SCORES_FILE, load_circuit_file
from harness_circuits.machine.packed import is_stored
from harness_circuits.options.paths import read_path
from harness_circuits.records.circuit_view import VIEW_FILE
from harness_circuits.report.drawing.any_level import drawable, lay_out_any
from harness_circuits.report.drawing.layout import Drawing
from harness_circuits.report.extras import needs_report
from harness_circuits.selection import select

SUFFIXES = (".svg", ".png", ".pdf", ".html", ".dot")
KEEP = 40


def read_drawing(
    file: str, scores_file: str | None = None, keep: int | None = None, merge: bool | None = None
) -> Drawing:
    """Read a circuit, or the strongest units of scores, and lay it out.

    Args:
        file: A file that `load_circuit_file` reads, or a folder that `find_files` takes.
        scores_file: Scores for the widths and signs of a circuit's edges.
        keep: Of scores, how many units to draw (40).
        merge: As for `lay_out_any`.

    Raises:
        OptionError: Options that exclude each other, or nothing to draw.
        CircuitFileError: A file cannot be read.
    """
    file, scores_file = find_files(file, scores_file)
    found, keep = read_item(file, scores_file, keep)
    if isinstance(found, Circuit):
        return lay_out_any(found, scores_of(scores_file, found), merge)
    (circuit,) = select(found, [keep], "top-n", ranking=Ranking.ABSOLUTE)
    note = _pruned(circuit, keep)
    drawing = lay_out_any(circuit, drawable(found), merge)
    return replace(drawing, note=note or drawing.note)


def read_item(file: str, scores_file: str | None, keep: int | None) -> tuple[Scores | Circuit, int]:
    """What a file holds, and how many units of scores are wanted; raises as `read_drawing`."""
    found = load_circuit_file(file)
    if isinstance(found, Circuit):
        if keep is not None:
            raise OptionError(f"--keep chooses among scores, but {file} holds a circuit.")
        return found, 0
    if scores_file is not None:
        raise OptionError(f"--scores goes with a circuit, but {file} holds scores already.")
    keep = KEEP if keep is None else keep
    if not 0 < keep <= found.space.n_units:
        raise OptionError(f"--keep is from 1 to {found.space.n_units}, got {keep}.")
    return found, keep


def _pruned(circuit: Circuit, keep: int) -> str:
    """Why fewer units are drawn than were asked for; empty if none is left out.

    Raises:
        OptionError: All are left out.
    """
    units, left = f"{circuit.space.level}s", keep - circuit.n_kept
    why = "no path of kept units leads through them from the input to the logits"
    if circuit.n_kept == 0:
        raise OptionError(
            f"None of the strongest {keep} {units} can be drawn: {why}. Raise --keep."
        )
    return f"{left} of the strongest {keep} {units} are left out: {why}" if left else ""


def find_files(file: str, scores_file: str | None = None) -> tuple[str, str | None]:
    """The files behind what is to be drawn, which may be a folder of artifacts.

    Args:
        file: A circuit or scores file, which is left as it is; or a folder of artifacts, of a run
            or of one task: its scores, or `FOLDER#NAME` for one of its circuits with their widths.
        scores_file: Scores for widths, if they are given.

    Raises:
        OptionError: A folder is none of artifacts, or holds several tasks'.
    """
    read_path(file, "FILE", "a circuit file or a folder of artifacts")
    path, sign, name = file.partition("#")
    folder = read_path(path, "FILE")
    if not folder.is_dir():
        return file, scores_file
    place = _only_task(folder, CIRCUITS_FILE if sign else SCORES_FILE)
    scores = place / SCORES_FILE
    if not sign:
        return str(scores), scores_file
    beside = str(scores) if scores.is_file() and scores_file is None else scores_file
    return f"{place / CIRCUITS_FILE}#{name}", beside


def _only_task(folder: Path, *wanted: str) -> Path:
    """The folder itself, or the one below it, that has one of some files.

    Raises:
        OptionError: There is none, or several.
    """

    def has(place: Path) -> bool:
        return any(is_stored(place / name) for name in wanted)

    places = (
        [folder] if has(folder) else [place for place in sorted(folder.iterdir()) if has(place)]
    )
    if len(places) == 1:
        return places[0]
    names = " or ".join(wanted)
    found = f"several: {', '.join(p.name for p in places[:10])}" if places else f"no {names}"
    more = (
        "" if VIEW_FILE in wanted or places else "; a page (--output X.html) can do with view.json"
    )
    raise OptionError(f"{folder}: name the folder of one task's artifacts; it has {found}{more}.")


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
        raise OptionError(
            f"{path}: a drawing ends in {', '.join(SUFFIXES)}, not {shown(path.suffix)}."
        )


def default_output(file: str) -> Path:
    """An SVG beside the circuit file, named after the circuit in it where one is named."""
    path, _, name = find_files(file)[0].partition("#")
    stem = Path(path).with_suffix("")
    return stem.with_name(f"{stem.name}{'-' if name else ''}{name.replace('/', '-')}.svg")


def read_page(file: str, scores_file: str | None = None, keep: int | None = None) -> dict[str, Any]:
    """What the circuit page of a file or of a task's artifacts shows; arguments as `read_drawing`.

    Raises:
        OptionError: Options that exclude each other, nothing to draw, or a missing extra.
        CircuitFileError: A file cannot be read.
    """
    with needs_report():
        from harness_circuits.report.circuit_sources import file_data, folder_data
    if keep is None and "#" not in file and (folder := read_path(file, "FILE")).is_dir():
        return folder_data(_only_task(folder, CIRCUITS_FILE, VIEW_FILE))
    found, scores_file = find_files(file, scores_file)
    item, keep = read_item(found, scores_file, keep)
    scores = scores_of(scores_file, item) if isinstance(item, Circuit) else None
    return file_data(item, scores, keep)


def draw(drawing: Drawing, suffix: str, title: str = "") -> bytes:
    """Render a drawing as the kind of file that a suffix stands for.

    Raises:
        OptionError: The extra `report` is not installed.
    """
    if suffix == ".dot":
        from harness_circuits.report.drawing.dot import draw_dot

        return draw_dot(drawing, title).encode()
    with needs_report():
        from harness_circuits.report.drawing.draw_static import draw_static
    return draw_static(drawing, suffix.removeprefix("."), title)
