"""The field of learned masks: what docs/learned.md says of the committed results."""

from __future__ import annotations

import sys

from helpers.environments import ROOT

from harness_circuits.report.scoring import make_entry

sys.path.insert(0, str(ROOT))
from benchmarks import field, results


def test_the_fields_tables_are_those_of_the_committed_results() -> None:
    """Every row of docs/learned.md, but for differences, which `benchmarks.field` tests for minutes."""
    page = (ROOT / "docs" / "learned.md").read_text().partition("## The field")[2]
    runs = results.done(field.all_cells(), results.kept_runs())
    assert len(runs) > 30
    rows = 0
    for one in runs:
        entry = make_entry(one)
        found = [field.own_cells(entry, n_discovery=which) for which in (False, True)]
        rows += any(f"| {' | '.join(cells)} |" in page for cells in found)
    assert rows == len(runs) == page.count(" | edge |") + page.count(" | node |")
