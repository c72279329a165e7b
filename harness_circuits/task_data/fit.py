"""Which documents align under a tokenizer and the metrics in force; others are left out, by reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from harness_circuits.errors import PairError
from harness_circuits.metrics.metrics import Metric
from harness_circuits.models.text_reader import TextReader
from harness_circuits.pairs.encode import encode_answers
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.spans import NO_POSITIONS, Positions
from harness_circuits.pairs.tokenise import check_first_tokens, tokenise_pair
from harness_circuits.task_data.chat import Chat

MERGING = "all answers of one kind merge with the prompt"
MERGING_CHOICES = "single choices that merge with the prompt"

logger = logging.getLogger("lm_eval.circuit")


class Fit:
    """Keeps documents that align under a tokenizer, and counts why others do not.

    Attributes:
        first: For each reason, what was wrong with the first document that it left out.
    """

    def __init__(
        self,
        task: str,
        metrics: Iterable[Metric],
        tokenizer: Any,
        scored_by_us: bool = True,
        chat: Chat | None = None,
        positions: Positions = NO_POSITIONS,
    ) -> None:
        """Nothing is left out yet.

        Args:
            task: What messages call the pairs.
            metrics: Those in force, of evaluation and of attribution.
            tokenizer: A tokenizer or a reader; None where none is known: then everything is kept.
            scored_by_us: Whether our own model scores the answers.
            chat: What puts prompts into a chat's format, if anything does.
            positions: How prompts are divided into spans.
        """
        self.task, self.scored_by_us, self.chat = task, scored_by_us, chat
        self.positions = positions
        self.reader = None if tokenizer is None else TextReader.of(tokenizer)
        self.first_tokens = any(metric.compares_first_tokens for metric in metrics)
        self.reasons: Counter[str] = Counter()
        self.first: dict[str, str] = {}
        self._seen = 0

    @property
    def tokenizer(self) -> Any:
        """The tokenizer; None where none is known."""
        return None if self.reader is None else self.reader.tokenizer

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
        number, self._seen = self._seen, self._seen + 1
        if self.chat is not None:
            doc = self.chat(doc)
        if self.reader is None:
            return doc
        if not self.scored_by_us:
            doc = self._without_merging_choices(doc, self.reader)
            if not doc["correct"] or not doc["incorrect"]:
                self.reasons[MERGING] += 1
                return None
        try:
            tokens = tokenise_pair(
                self.reader, Pair.from_doc(doc), number, self.task, self.positions
            )
            if self.first_tokens:
                check_first_tokens(self.tokenizer, tokens, self.task)
        except PairError as error:
            if not error.reason:
                raise
            self.reasons[error.reason] += 1
            self.first.setdefault(error.reason, str(error))
            return None
        return doc

    def why(self) -> str:
        """One sentence that shows the commonest reason on a pair; empty where there is none."""
        told = [reason for reason, _ in self.reasons.most_common() if reason in self.first]
        return f" For example: {self.first[told[0]]}" if told else ""

    def _without_merging_choices(self, doc: dict[str, Any], reader: TextReader) -> dict[str, Any]:
        """Drop choices that another harness model would not tokenise behind the prompt.

        Where a tokenizer merges the prompt's end with an answer (GPT-2 has ` 1776`), lm-eval finds
        no token of the answer. Our own model scores such an answer as the prompt's continuation.
        """
        encoded = encode_answers(reader, doc["clean"], doc["choices"], moved=None)
        merges = [not stays for _, stays in encoded]
        if not any(merges):
            return doc
        self.reasons[MERGING_CHOICES] += sum(merges)
        kept = [at for at, merged in enumerate(merges) if not merged]
        place = {at: new for new, at in enumerate(kept)}
        return {
            **doc,
            "choices": [doc["choices"][at] for at in kept],
            "correct": [place[at] for at in doc["correct"] if at in place],
            "incorrect": [place[at] for at in doc["incorrect"] if at in place],
        }
