"""Names from files on their way out: terminal, Markdown, spreadsheet, page, paths."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from pathlib import Path

import pytest
from helpers.result_files import examples, with_task, write_run
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.commands.main import main
from harness_circuits.machine.outgoing import clean, clean_lines, path_part, spreadsheet_cell
from harness_circuits.records.examples import read_examples
from harness_circuits.records.results_file import read_results

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egpj.exe\u2066\u200b",
    '=HYPERLINK("http://x")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "-2+3",
    "\t=1",
    "../../ESCAPED",
    "/etc/x",
    "..",
    "a\nb\rc\x85d\u2028e",
    "x" * 300,
    "\x9b31m",
)
ESCAPING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def unshown(text: str) -> set[str]:
    """Characters that a terminal acts on or nobody sees."""
    return {c for c in text if unicodedata.category(c) in ESCAPING and c != "\n"}


@given(st.text())
def test_what_is_clean_shows_and_stays(text: str) -> None:
    assert unshown(clean(text)) == set() and "\n" not in clean(text)
    assert clean(clean(text)) == clean(text)
    assert unshown(clean_lines(text)) == set()
    assert clean("plain: ≈ ↑ é 漢") == "plain: ≈ ↑ é 漢"


@given(st.text() | st.sampled_from(HOSTILE))
def test_no_cell_is_a_formula(text: str) -> None:
    cell = str(spreadsheet_cell(text))
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert unshown(cell) == set()


@given(st.text() | st.sampled_from(HOSTILE), st.text())
def test_a_name_is_one_part_of_a_path(name: str, other: str) -> None:
    part = path_part(name)
    assert part == Path(part).name and part not in ("", ".", "..") and "\\" not in part
    assert len(part.encode()) <= 255
    assert unshown(part) == set()
    assert (part == path_part(other)) == (name == other)


@pytest.mark.parametrize("name", HOSTILE)
def test_artifacts_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "deep" / "in"
    write_run(folder, with_task(examples(0), name))
    inside = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert inside and all(folder in path.parents for path in inside)
    assert len({path.parent for path in inside if path.parent != folder}) == 1
    (run,) = read_results([folder]).runs
    assert len(read_examples(run).curves["absolute"].full) == 40  # type: ignore[index]


def hostile_results(folder: Path, shift: float) -> str:
    """Results whose model, task, method, options and file are hostile."""
    for at, name in enumerate(HOSTILE):
        file = write_run(
            folder / str(at),
            with_task(examples(0, shift=shift), name),
            model=name,
            with_examples=False,
        )
        data = json.loads(file.read_text())
        settings = data["config"]["circuit"]["settings"]
        settings["method"], settings["method_options"] = name, {name: name}
        settings["selection"] = name
        data["config"]["circuit"]["weights"] = {"source": name, "fingerprint": name}
        file.write_text(json.dumps(data))
    (folder / "\x1b[31m\u202e.json").write_text("{")
    return str(folder)


def test_reports_of_hostile_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = hostile_results(tmp_path / "old", 0), hostile_results(tmp_path / "new", -1)
    for form in ("markdown", "json", "junit"):
        assert main(["compare", old, new, "--format", form]) == 1
        out, err = capsys.readouterr()
        assert unshown(out) == set(), form
        assert unshown(err) == set(), form
        assert "\\x1b[31m" in err
    assert main(["leaderboard", old, "--output", str(tmp_path / "board")]) == 0
    out, err = capsys.readouterr()
    assert unshown(out + err) == set()
    for name in ("leaderboard.md", "leaderboard.csv"):
        assert unshown((tmp_path / "board" / name).read_text()) == set()
    rows = list(csv.reader(io.StringIO((tmp_path / "board" / "leaderboard.csv").read_text())))
    cells = [cell for row in rows for cell in row if not _is_number(cell)]
    assert len(rows) == 1 + len(HOSTILE)
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@"))]
    page = (tmp_path / "board" / "leaderboard.html").read_text()
    assert unshown(page[page.index("<main") : page.index("</main>")]) == set()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
