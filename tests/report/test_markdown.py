"""Markdown that shows text as it is, and numbers as people read them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.report.markdown import escape, interval_text, markdown_table, p_text
from harness_circuits.statistics.bootstrap import Interval


@given(st.text())
def test_escaped_text_is_one_line_with_nothing_special_left_bare(text: str) -> None:
    line = escape(text)
    assert "\n" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*\[\]<>|&~#]", line)
    assert re.sub(r"\\(.)", r"\1", line) == " ".join(text.split())


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3), max_size=4))
def test_every_row_of_a_table_has_all_its_cells(rows: list[list[str]]) -> None:
    table = markdown_table(["a|b", "c", "d"], [[escape(x) for x in row] for row in rows], 1)
    lines = table.splitlines()
    assert lines[0] == r"| a\|b | c | d |"
    assert lines[1] == "| --- | ---: | ---: |"
    assert len(lines) == 2 + len(rows)
    for line in lines:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 4


def test_intervals_and_p_values() -> None:
    assert interval_text(Interval(0.8149, 0.76, 0.86)) == "0.815 [0.760, 0.860]"
    assert interval_text(Interval(0.1, -0.05, 0.2), "+", 2) == "+0.10 [-0.05, +0.20]"
    assert interval_text(Interval(3, 3, 3), digits=0) == "3"
    assert [p_text(p) for p in (None, 0.0004, 0.001, 0.25)] == [
        *("unknown", "<0.001", "0.001", "0.250")
    ]
