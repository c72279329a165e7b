"""Faults found by use, each a small input with a name: some test shows each of them to be gone."""

from __future__ import annotations

import re

import pytest
from helpers.environments import ROOT

CASES = (
    "add-bos-token-ignored",
    "answer-gets-a-space",
    "chat-prompt-newline",
    "corruption-without-effect",
    "dataset-path-misaligned",
    "discover-ignores-metadata",
    "duplicate-pairs",
    "eapig-saved-circuit",
    "excel-csv",
    "gpt-neo",
    "leaderboard-merges-checkpoints",
    "lora-adapter",
    "metric-prob-diff-filter",
    "pandas-index-csv",
    "prompt-longer-than-context",
    "quantised-checkpoint",
)
FOLDER = ROOT.parent / "shared" / "cases"
MARK = re.compile(r"^@pytest\.mark\.case\(([^)]*)\)$", re.M)


def test_every_case_has_a_test() -> None:
    marks = (
        mark
        for path in (ROOT / "tests").rglob("test_*.py")
        for mark in MARK.findall(path.read_text())
    )
    assert {name for mark in marks for name in re.findall(r'"([^"]*)"', mark)} == set(CASES)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the inputs are not on this machine")
def test_every_input_is_a_case() -> None:
    assert sorted(path.parent.name for path in FOLDER.glob("*/run.sh")) == list(CASES)
