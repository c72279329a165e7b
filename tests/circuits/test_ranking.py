"""What follows from each ranking."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.circuits.sizes import size_name
from harness_circuits.errors import OptionError
from harness_circuits.evaluation.curve import AREAS, areas_of
from harness_circuits.harness.task import LOWER_IS_BETTER


def test_members_are_their_text_in_files_and_names() -> None:
    assert json.dumps({Ranking.SIGNED: [Ranking.ABSOLUTE]}) == '{"signed": ["absolute"]}'
    assert f"{Ranking.ABSOLUTE}@{size_name(0.05)}" == "absolute@0.05"
    assert {"absolute": 1}[Ranking.ABSOLUTE] == 1
    assert list(Ranking) == ["absolute", "signed"]


def test_scores_and_what_circuits_are_judged_by() -> None:
    values = np.array([-2.0, 1.0, 0.5])
    np.testing.assert_array_equal(Ranking.ABSOLUTE.of(values), [2, 1, 0.5])
    np.testing.assert_array_equal(Ranking.SIGNED.of(values), values)
    np.testing.assert_array_equal(Ranking.ABSOLUTE.judged(values), [3, 0, 0.5])
    np.testing.assert_array_equal(Ranking.SIGNED.judged(values), values)
    assert Ranking.SIGNED.higher_is_better and not Ranking.ABSOLUTE.higher_is_better


def test_every_area_belongs_to_one_ranking() -> None:
    assert list(areas_of(Ranking.SIGNED)) == ["cpr"]
    assert list(areas_of(Ranking.ABSOLUTE)) == ["cmd", "cmd_log"]
    assert [name for name, area in AREAS.items() if area.higher_is_better] == ["cpr"]
    assert LOWER_IS_BETTER == ("cmd", "cmd_log", "edges")


@pytest.mark.parametrize("text", ["both", "", "Signed", "x" * 1000])
def test_only_names_of_one_ranking_are_read(text: str) -> None:
    with pytest.raises(OptionError, match="ranking is 'absolute' or 'signed', got '") as error:
        Ranking.read(text)
    assert len(str(error.value)) < 300
