"""The spans of a set of encoded pairs, and whether a circuit over spans fits them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness_circuits.circuits.scores import ScoreSpace
from harness_circuits.circuits.spans import MOST_SPANS, Spans
from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.pairs.spans import Positions
from harness_circuits.pairs.tokenise import TokenPair

BY_TOKEN = "mean-positional"  # the ablation that is one mean per token


def spans_of(
    pairs: Sequence[TokenPair],
    positions: Positions,
    ablation: str,
    where: str,
    given: ScoreSpace | None = None,
) -> Spans | None:
    """The spans of pairs; None where positions play no part.

    Args:
        pairs: All encoded pairs of a run.
        positions: How they were divided.
        ablation: Name of the ablation.
        where: What messages call the pairs.
        given: Units of a circuit or of scores that were given; their spans hold then.

    Raises:
        MismatchError: The pairs have spans, or an order of them, that the given circuit has not.
        OptionError: The given circuit has spans and the pairs have none, or the other way round; or
            means per token would mix spans.
        TaskDataError: Prompts have different lengths, with `positions=tokens`; or too many spans.
    """
    if not _has_spans(positions, given):
        return None
    lengths = sorted({len(pair.clean) for pair in pairs})
    if positions.mode == "tokens" and len(lengths) > 1:
        raise TaskDataError(
            f"positions=tokens needs prompts of one length, and {where} has some of {lengths[0]} to "
            f"{lengths[-1]} tokens. Use positions=spans, or pairs of one length."
        )
    if ablation == BY_TOKEN and len({pair.spans for pair in pairs}) > len(lengths):
        raise OptionError(
            f"ablation={BY_TOKEN} takes means token by token, and prompts of one length have their "
            "spans at different tokens here, so that means would mix spans. Use ablation=patching or "
            "ablation=mean, or positions=tokens."
        )
    found = Spans.of(pair.spans for pair in pairs)
    if len(found) > MOST_SPANS:
        raise TaskDataError(f"{where} has {len(found)} spans; at most {MOST_SPANS} can be used.")
    if given is None or given.spans is None:
        return replace(found, crossing=positions.crossing)
    given.spans.check_holds(found)
    if positions.crossing != given.spans.crossing:
        raise OptionError(
            "The circuit has crossing edges: give crossing=true as for its discovery."
            if given.spans.crossing
            else "crossing=true has no effect on a circuit without crossing edges: leave it out."
        )
    return given.spans


def _has_spans(positions: Positions, given: ScoreSpace | None) -> bool:
    """Whether pairs are divided into spans; what was given and the option have to agree."""
    asked = positions.mode != "none"
    if given is None:
        return asked
    if not asked and given.spans is not None:
        raise OptionError(
            f"The circuit is over spans ({_some(given.spans.names)}): give positions= as for its "
            "discovery."
        )
    if asked and given.spans is None:
        raise OptionError(
            f"positions={positions.mode} has no effect on a circuit without spans: leave it out."
        )
    return asked


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
