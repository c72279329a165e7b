"""The leaderboard as a page, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.result_files import examples, with_task, write_run

from harness_circuits.commands.main import main
from harness_circuits.records.results_file import read_results
from harness_circuits.report.page import leaderboard_page
from harness_circuits.report.table import Leaderboard, make_leaderboard


def board_of(*folders: Path) -> Leaderboard:
    return make_leaderboard(read_results(folders).runs)


def test_the_page_escapes_everything_and_needs_no_network(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script>"
    write_run(tmp_path, with_task(examples(1), name), model=name, with_examples=False)
    page = leaderboard_page(board_of(tmp_path), ["a<b>.json: <i>"])
    assert "<script>alert(1)" not in page
    assert "<i>" not in page and "<b>" not in page.replace("a<b>", "a&lt;b&gt;")
    assert "default-src &#39;none&#39;" in page
    own = page.split("<script>")[0]
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", own)


def test_skipped_files_are_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "in", examples(1))
    (tmp_path / "in" / "broken.json").write_text("{")
    assert main(["leaderboard", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    assert "1 files skipped, 1 used" in capsys.readouterr().err
    page = (tmp_path / "out" / "leaderboard.html").read_text()
    assert "<summary>1 left out</summary>" in page
    assert "broken.json: not readable as JSON" in page
    table = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "1 left out:" in table and "broken.json: not readable as JSON" in table
