"""A response is lm-eval's pair of numbers, and brings its document's record along."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from harness_circuits.harness.responses import ScoredChoice

RECORD: Any = {"of": "document 3"}


def test_it_is_the_pair_and_keeps_its_record_wherever_it_goes() -> None:
    choice = ScoredChoice(-1.5, True, RECORD)
    assert choice == (-1.5, True) and repr(choice) == "(-1.5, True)"
    log_prob, greedy = choice
    assert (log_prob, greedy) == (-1.5, True)
    for other in (pickle.loads(pickle.dumps(choice)), copy.deepcopy(choice)):
        assert other == choice and other.record == RECORD and type(other) is ScoredChoice
