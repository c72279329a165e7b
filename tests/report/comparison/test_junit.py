"""JUnit XML that holds every row, whatever models and tasks are called."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from helpers.result_files import examples, write_run

from harness_circuits.records.results_file import read_results
from harness_circuits.report.comparison.compare import compare
from harness_circuits.report.comparison.junit import SUITE, _allowed, comparison_junit


def test_rows_are_tests_and_what_got_worse_fails(tmp_path: Path) -> None:
    old = read_results([write_run(tmp_path / "old", examples(0, 40))]).runs
    for shift in (0.0, -3.0):
        new = write_run(tmp_path / f"new{shift}", examples(0, 40, shift=shift))
        comparison = compare(old, read_results([new]).runs)
        (suite,) = ElementTree.fromstring(comparison_junit(comparison))
        worse = comparison.with_verdict("worse")
        assert bool(worse) is bool(shift)
        assert suite.get("name") == SUITE
        assert suite.get("tests") == str(len(comparison.rows)) == str(len(suite))
        assert suite.get("failures") == str(len(worse)) == str(len(suite.findall("*/failure")))
        assert suite.get("errors") == "0"
        for case, row in zip(suite, comparison.rows, strict=True):
            assert case.get("classname") == f"{row.model}.{row.task}"
            assert case.get("name") == f"{row.method}: {row.metric}"


def test_a_run_without_a_partner_is_an_error(tmp_path: Path) -> None:
    old = read_results([write_run(tmp_path / "old", examples(0), method="EAP")]).runs
    (tmp_path / "none").mkdir()
    comparison = compare(old, ())
    (suite,) = ElementTree.fromstring(comparison_junit(comparison))
    assert suite.get("errors") == "1" == str(len(suite.findall("*/error")))


def test_names_hold_no_character_that_xml_cannot() -> None:
    every = "".join(map(chr, np.r_[0:0x300, 0xD7F0:0xE010, 0xFFF0:0x10010].tolist()))
    (name,) = _allowed({"name": every}).values()
    assert len(name) == len(every)
    element = ElementTree.Element("case", {"name": name})
    again = ElementTree.fromstring(ElementTree.tostring(element, encoding="unicode"))
    assert again.get("name") == name
