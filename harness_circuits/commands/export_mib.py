"""`harness-circuits export-mib`: artifacts or score files into a folder for the MIB leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.scores import Scores
from harness_circuits.commands.parser import CommandParser, path_argument, text_argument
from harness_circuits.errors import CircuitFileError, OptionError, shown
from harness_circuits.formats import (
    CIRCUITS_FILE,
    SCORES_FILE,
    load_file,
    read_circuits,
)
from harness_circuits.formats.mib_folder import (
    FORMATS,
    MODELS,
    SIZES,
    TASKS,
    Contribution,
    MibCell,
    check_submission,
    curves_of,
    write_submission,
)
from harness_circuits.machine.outgoing import clean
from harness_circuits.options.paths import read_path

BOTH = "both"

_EPILOG = """\
examples:
  harness-circuits export-mib submission runs/gpt2 runs/qwen
  harness-circuits export-mib submission ioi_gpt2=runs/a/ioi mcqa_qwen2.5=scores.pt --format pt
  harness-circuits export-mib submission runs/gpt2 runs/qwen --circuits absolute
"""


def export_mib(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        OptionError: A source cannot be found or named, or the output exists.
        CircuitFileError: A file cannot be read, or not be written in MIB's format.
    """
    options = _parser().parse_args(arguments)
    cells: dict[MibCell, Contribution] = {}
    for source in options.sources:
        for cell, contribution in read_source(source, options.circuits).items():
            if cell in cells:
                raise OptionError(f"{cell.folder} is given twice, the second time by {source}.")
            cells[cell] = contribution
    warnings = check_submission(cells)
    write_submission(options.output, cells, options.format)
    for cell in sorted(cells):
        print(clean(f"{options.output / cell.folder}: {_summary(cells[cell])}"))
    for warning in warnings:
        print(clean(f"warning: {warning}"))


def read_source(source: str, ranking: str | None = None) -> dict[MibCell, Contribution]:
    """What one source on the command line contributes.

    Args:
        source: `PATH` or `TASK_MODEL=PATH`; the path is a file, the artifacts folder of one task,
            or a folder of those.
        ranking: `absolute` or `signed` takes the nine circuits of that ranking, `both` nine of
            each (folders `abs-True` and `abs-False`), None importances.

    Raises:
        OptionError: Nothing is there, or what is there cannot be named.
        CircuitFileError: A file cannot be read.
    """
    name, path = _split(source)
    cells: dict[MibCell, Contribution] = {}
    for folder_or_file in _places(path):
        contribution = _circuits(folder_or_file, ranking) if ranking else _scores(folder_or_file)
        cell = name or _cell(folder_or_file, contribution)
        if cell in cells:
            raise OptionError(
                f"{path} holds several tasks that would all become {cell.folder}; name each: "
                "TASK_MODEL=FOLDER."
            )
        cells[cell] = contribution
    return cells


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="harness-circuits export-mib",
        description="Write scores or circuits in the layout of the MIB leaderboard.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "output", type=path_argument, help="folder to write, which must not exist yet"
    )
    parser.add_argument(
        "sources",
        nargs="+",
        type=text_argument,
        metavar="[TASK_MODEL=]PATH",
        help="artifacts folder of a run or of one task, or a score file (.safetensors, .json, "
        ".pt); MIB's name, such as arc-easy_llama3, where the file does not say it",
    )
    parser.add_argument("--format", choices=FORMATS, default="json", help="default: json")
    parser.add_argument(
        "--circuits",
        choices=(*Ranking, BOTH),
        help="write the nine circuits of this ranking instead of importances; of both, into "
        "abs-True and abs-False",
    )
    return parser


def _split(source: str) -> tuple[MibCell | None, Path]:
    name, sign, path = source.partition("=")
    if not sign or Path(source).exists():
        return None, read_path(source, "PATH")
    return MibCell.parse(name), read_path(path, source)


def _places(path: Path) -> list[Path]:
    """A file, a task's folder, or all tasks' folders in a run's folder."""
    if path.is_file() or (path / SCORES_FILE).is_file() or (path / CIRCUITS_FILE).is_file():
        return [path]
    files = [*path.glob(f"*/{SCORES_FILE}"), *path.glob(f"*/{CIRCUITS_FILE}")]
    if not files:
        raise OptionError(
            f"{path} is neither a file nor an artifacts folder (no {SCORES_FILE} or "
            f"{CIRCUITS_FILE} in it or in its folders)."
        )
    return sorted({file.parent for file in files})


def _scores(path: Path) -> Scores:
    file = path if path.is_file() else path / SCORES_FILE
    item = load_file(file).item
    if isinstance(item, Circuit):
        raise CircuitFileError(
            f"{file} is one binary circuit; MIB takes importances or nine circuits (--circuits)."
        )
    if item.space.crossing:
        raise CircuitFileError(
            f"{file} has scores of crossing edges between spans, which MIB's layout has no room for. "
            "Discover without crossing=true."
        )
    return item.everywhere()  # MIB has no spans: an edge's importance is its sum over them


def _circuits(path: Path, ranking: str) -> Contribution:
    circuits = read_circuits(path if path.is_file() else path / CIRCUITS_FILE)
    found = {}
    for one in Ranking if ranking == BOTH else (Ranking.read(ranking),):
        names = {size: f"{one}@{size:g}" for size in SIZES}
        found[one] = {size: circuits[name] for size, name in names.items() if name in circuits}
    return found if ranking == BOTH else found[one]


def _cell(path: Path, contribution: Contribution) -> MibCell:
    """MIB's names of task and model, from what the scores say about themselves."""
    beside = path / SCORES_FILE
    if not isinstance(contribution, Scores) and beside.is_file():
        contribution = _scores(path)
    facts = contribution.provenance if isinstance(contribution, Scores) else {}
    model = MODELS.get(str(facts.get("model", "")).rstrip("/").rpartition("/")[2].lower())
    task = str(facts.get("task", path.name)).removesuffix("_circuit").replace("_", "-")
    if model is None or task not in TASKS:
        raise OptionError(
            f"{path}: task {shown(facts.get('task'))} on model {shown(facts.get('model'))} is none "
            f"of MIB's. Say what it is to be called: TASK_MODEL={path}, for example ioi_gpt2={path}."
        )
    return MibCell(task, model)


def _summary(contribution: Contribution) -> str:
    if isinstance(contribution, Scores):
        return f"importances of {contribution.space.n_units} {contribution.space.level}s"
    curves = curves_of(contribution)
    counts = (f"{len(circuits)} circuits {name}".rstrip() for name, circuits in curves.items())
    return ", ".join(counts)
