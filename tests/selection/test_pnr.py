"""pnr against its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from helpers.selection_cases import Case, cases
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.selection.pnr import pnr
from harness_circuits.selection.top_n import top_n


def units(kept: np.ndarray) -> set[int]:
    return set(np.flatnonzero(kept).tolist())


@settings(deadline=None)
@given(case=cases(), share=st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 1]))
def test_pnr_is_its_definition(case: Case, share: float) -> None:
    scores = replace(case, ranking=Ranking.SIGNED).values
    by_score = sorted(scores, key=lambda unit: (-scores[unit], unit))
    positive = [unit for unit in by_score if scores[unit] > 0]
    by_size = sorted(scores, key=lambda unit: (-abs(scores[unit]), unit))
    circuits = pnr(case.scores, case.counts, case.ranking, share=share)
    for circuit, n in zip(circuits, case.counts, strict=True):
        first = positive[: int(share * n)]
        rest = [unit for unit in by_size if unit not in first][: n - len(first)]
        assert units(circuit.kept) == {*first, *rest}
        assert circuit.n_kept == n


@given(case=cases())
def test_pnr_at_its_ends(case: Case) -> None:
    absolute = top_n(case.scores, case.counts, ranking=Ranking.ABSOLUTE)
    for a, b in zip(
        pnr(case.scores, case.counts, Ranking.ABSOLUTE, share=0), absolute, strict=True
    ):
        np.testing.assert_array_equal(a.kept, b.kept)
    n_positive = int((case.scores.values > 0).sum())
    counts = [n for n in case.counts if n <= n_positive]
    signed = top_n(case.scores, counts, ranking=Ranking.SIGNED)
    for a, b in zip(pnr(case.scores, counts, Ranking.SIGNED, share=1), signed, strict=True):
        np.testing.assert_array_equal(a.kept, b.kept)
