"""The two ways to rank units, and what follows from each (MIB, Mueller et al. 2025, arXiv 2504.13151).

A circuit by |score| keeps what matters in either direction: it is to act like the model, and is
judged by the distance |1 - f| of its faithfulness f to 1 (CMD). A circuit by signed score keeps what
helps: it is judged by f itself (CPR).
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from jaxtyping import Float

from harness_circuits.errors import OptionError, shown


class Ranking(StrEnum):
    """How units are ranked. Members are their text in options, results and file names."""

    ABSOLUTE = "absolute"
    SIGNED = "signed"

    @classmethod
    def read(cls, text: str) -> Ranking:
        """The ranking of a name.

        Raises:
            OptionError: It is not the name of one ranking.
        """
        if text not in tuple(cls):
            known = " or ".join(repr(member.value) for member in cls)
            raise OptionError(f"ranking is {known}, got {shown(text)}.")
        return cls(text)

    @property
    def symbol(self) -> str:
        """What units are ranked by, as people read it."""
        return "score" if self is Ranking.SIGNED else "|score|"

    @property
    def heading(self) -> str:
        """The name of a curve: what circuits were ranked by, and the area that this is for."""
        return f"ranked by {self.symbol} ({'CPR' if self is Ranking.SIGNED else 'CMD'})"

    @property
    def suffix(self) -> str:
        """What stands before the `@SIZE` of metric names."""
        return "_signed" if self is Ranking.SIGNED else ""

    @property
    def judged_by(self) -> str:
        """What `judged` makes of faithfulness f, as a formula."""
        return "f" if self is Ranking.SIGNED else "|1-f|"

    @property
    def higher_is_better(self) -> bool:
        """Direction of `judged`."""
        return self is Ranking.SIGNED

    def of(self, scores: Float[np.ndarray, "*units"]) -> Float[np.ndarray, "*units"]:
        """Values to rank units by, highest first: scores or their absolute values.

        >>> Ranking.ABSOLUTE.of(np.array([0.5, -2.0])).tolist()
        [0.5, 2.0]
        """
        return scores if self is Ranking.SIGNED else np.abs(scores)

    def judged(self, f: Float[np.ndarray, "*points"]) -> Float[np.ndarray, "*points"]:
        """What circuits are judged by: faithfulness f, or its distance |1 - f| to 1."""
        return f if self is Ranking.SIGNED else np.abs(1 - f)
