"""Options that say nothing to one half of the work.

They are allowed, as one set of options often goes to both halves, and named once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

logger = logging.getLogger("lm_eval.circuit")

NOT_OF_DISCOVERY = (
    "sizes",
    "ranking",
    "bootstrap_iters",
    "null_circuits",
    "evidence_draws",
    "retrain_steps",
)
NOT_OF_EVALUATION = ("sizes", "method", "selection", "keep_samples")


def name_ignored(function: str, given: Iterable[str], ignored: Collection[str]) -> None:
    """Say which of the options that a function was given it ignores.

    Args:
        function: Its name in `hc`.
        given: Names of the options.
        ignored: Those without effect.
    """
    named = [name for name in given if name in ignored]
    if named:
        logger.warning("hc.%s: %s without effect here.", function, ", ".join(named))
