"""Which documents align under a tokenizer and the metrics in force; others are left out, by reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from harness_circuits.errors import PairError
from harness_circuits.metrics.metrics import Metric
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.tokenise import check_first_tokens, encode_answers, tokenise_pair

logger = logging.getLogger("lm_eval.circuit")


class Fit:
    """Keeps documents that align under a tokenizer, and counts why others do not."""

    def __init__(
        self, task: str, metrics: Iterable[Metric], tokenizer: Any, scored_by_us: bool = True
    ) -> None:
        """Nothing is left out yet.

        Args:
            task: What messages call the pairs.
            metrics: Those in force, of evaluation and of attribution.
            tokenizer: None where none is known: then everything is kept.
            scored_by_us: Whether our own model scores the answers.
        """
        self.task, self.tokenizer, self.scored_by_us = task, tokenizer, scored_by_us
        self.first_tokens = any(metric.compares_first_tokens for metric in metrics)
        self.reasons: Counter[str] = Counter()

    @property
    def left_out(self) -> dict[str, int]:
        """How many documents were left out, by reason."""
        return dict(sorted(self.reasons.items()))

    def report(self, kept: str) -> str:
        """Say in the log what was kept and left out, and return the latter."""
        reasons = ", ".join(f"{n} {reason}" for reason, n in self.left_out.items())
        tokens = (
            "" if self.tokenizer is not None else " (no tokenizer known: alignment not checked)"
        )
        found = (
            f"{self.task}: {kept} pairs; left out for this tokenizer: {reasons or 'none'}{tokens}"
        )
        logger.info(found)
        return reasons

    def __call__(self, doc: dict[str, Any]) -> dict[str, Any] | None:
        """Return a document, if it aligns."""
        Pair.from_doc(doc)  # what is malformed is the task's mistake, not the tokenizer's
        if self.tokenizer is None:
            return doc
        if not self.scored_by_us:
            doc = self._without_merging_choices(doc)
            if not doc["correct"] or not doc["incorrect"]:
                self.reasons["all answers of one kind merge with the prompt"] += 1
                return None
        try:
            tokens = tokenise_pair(self.tokenizer, Pair.from_doc(doc), 0, self.task)
        except PairError as error:
            self.reasons[_reason(str(error))] += 1
            return None
        if self.first_tokens:
            try:
                check_first_tokens(self.tokenizer, tokens, self.task)
            except PairError:
                self.reasons["answers share their first token"] += 1
                return None
        return doc

    def _without_merging_choices(self, doc: dict[str, Any]) -> dict[str, Any]:
        """Drop choices that another harness model would not tokenise behind the prompt.

        Where a tokenizer merges the prompt's end with an answer (GPT-2 has ` 1776`), lm-eval finds
        no token of the answer. Our own model scores such an answer as the prompt's continuation.
        """
        encoded = encode_answers(self.tokenizer, doc["clean"], doc["choices"])
        merges = [not stays for _, stays in encoded]
        if not any(merges):
            return doc
        self.reasons["single choices that merge with the prompt"] += sum(merges)
        kept = [at for at, merged in enumerate(merges) if not merged]
        place = {at: new for new, at in enumerate(kept)}
        return {
            **doc,
            "choices": [doc["choices"][at] for at in kept],
            "correct": [place[at] for at in doc["correct"] if at in place],
            "incorrect": [place[at] for at in doc["incorrect"] if at in place],
        }


def _reason(message: str) -> str:
    known = {
        "Position-wise patching": "clean and corrupted differ in token length",
        "are the same": "clean and corrupted are the same",
        "has no token of its own": "an answer has no token of its own",
    }
    return next(reason for text, reason in known.items() if text in message)
