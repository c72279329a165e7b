"""Data of circuit tasks: candidate pairs made for the tokenizer in use, and split without overlap.

A task's `pairs.py`, or a module of this package, yields candidate documents. Here they become the
splits of a harness task:

1. A candidate's `key` says what must not occur in two splits (for example a template with a pair of
   names). A hash of the key assigns the candidate to a split, so the splits are disjoint in keys.
2. Candidates that do not align under the tokenizer in use (different token lengths, answers that
   share their first token) are left out, counted by reason, and reported: never silently.
3. Splits are filled in the order of the candidates, which a seed determines.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from harness_circuits.errors import CircuitError, OptionError, PairError, TaskDataError
from harness_circuits.evaluation.metrics import METRICS, Metric
from harness_circuits.pairs.pair import Pair
from harness_circuits.pairs.tokenise import check_first_tokens, encode_answers, tokenise_pair
from harness_circuits.registry import unknown_name

logger = logging.getLogger("lm_eval.circuit")

SPLITS = ("train", "validation", "test")
PAIRS_PER_SPLIT = 200
MOST_CANDIDATES = 200  # tried per wanted pair, before a split is left short

T = TypeVar("T")
Candidate = Mapping[str, Any]
Candidates = Callable[..., Iterable[Candidate]]

_active: list[tuple[str | None, Any]] = []
_left_out: dict[str, dict[str, int]] = {}


class TaskData:
    """Builds a task's splits; an instance is a task's `custom_dataset`.

    (Not a dataclass: lm-eval writes those into the results field by field, functions included.)

    Attributes:
        task: The task's name.
        candidates: Called with a random generator and the task's options; yields documents with
            the fields of `Pair` and a `key`.
        options: Names of the task's options and the values each may have, the default first. They
            are set by `--metadata '{"corruption": "flip"}'`.
    """

    def __init__(
        self,
        task: str,
        candidates: Candidates,
        options: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Describe a task's data."""
        self.task, self.candidates, self.options = task, candidates, dict(options or {})

    def __repr__(self) -> str:
        return f"TaskData({self.task!r})"

    def __call__(self, **metadata: Any) -> dict[str, Any]:
        """Build all splits.

        Args:
            **metadata: The YAML's `metadata` with `--model_args` and `--metadata`: `task_metric`,
                whose needs decide what is left out, the task's options, `data_seed`, `n_train`,
                `n_validation`, `n_test`; the rest is for others.

        Returns:
            A `datasets.Dataset` per split.

        Raises:
            OptionError: An option has a value the task does not know.
            PairError: A candidate is malformed.
            TaskDataError: No candidate fits the tokenizer.
        """
        from datasets import Dataset

        options = {name: self._option(name, metadata) for name in self.options}
        wanted = {split: _count(metadata, f"n_{split}") for split in SPLITS}
        generator = random.Random(f"{self.task}/{metadata.get('data_seed', 0)}")
        fit = self.fitting(metadata)
        rows = self._fill(self.candidates(generator, **options), wanted, fit)
        self._report(rows, wanted, fit)
        return {split: Dataset.from_list(rows[split]) for split in SPLITS}

    def fitting(self, metadata: Mapping[str, Any]) -> _Fit:
        """What keeps the documents that align under the tokenizer in use."""
        tokenizer, scored_by_us = tokenizer_in_use(metadata)
        metric = METRICS.get(metadata.get("task_metric", "logit_diff"))
        return _Fit(self.task, metric, tokenizer, scored_by_us)

    def _option(self, name: str, metadata: Mapping[str, Any]) -> Any:
        known = self.options[name]
        value = metadata.get(name, known[0])
        if value not in known:
            what = f"{name} of task {self.task}"
            raise OptionError(unknown_name(what, value, [str(item) for item in known]))
        return value

    def _fill(
        self, candidates: Iterable[Candidate], wanted: Mapping[str, int], fit: _Fit
    ) -> dict[str, list[dict[str, Any]]]:
        rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        seen: set[tuple[str, str]] = set()
        most = MOST_CANDIDATES * max(1, sum(wanted.values()))
        for tried, candidate in enumerate(candidates):
            full = all(len(rows[split]) >= wanted[split] for split in SPLITS)
            if full or tried >= most:
                break
            doc = dict(candidate)
            split = split_of(self.task, str(doc.pop("key")))
            text = (doc["clean"], doc["corrupted"])
            if text in seen or len(rows[split]) >= wanted[split]:
                continue
            seen.add(text)
            kept = fit(doc)
            if kept is not None:
                rows[split].append(kept)
        return rows

    def _report(self, rows: Mapping[str, list[Any]], wanted: Mapping[str, int], fit: _Fit) -> None:
        _left_out[self.task] = dict(sorted(fit.reasons.items()))
        counts = ", ".join(f"{len(rows[split])} {split}" for split in SPLITS)
        reasons = ", ".join(f"{n} {reason}" for reason, n in _left_out[self.task].items())
        tokens = "" if fit.tokenizer is not None else " (no tokenizer known: alignment not checked)"
        logger.info(
            "%s: %s pairs; left out for this tokenizer: %s%s",
            self.task,
            counts,
            reasons or "none",
            tokens,
        )
        empty = [split for split in ("train", "test") if wanted[split] and not rows[split]]
        if empty:
            raise TaskDataError(
                f"{self.task} has no {' and no '.join(empty)} pairs for this model's tokenizer; all "
                f"candidates were left out ({reasons or 'there were none'})."
            )
        short = [split for split in SPLITS if len(rows[split]) < wanted[split]]
        if short:
            logger.warning("%s: fewer pairs than asked for in %s.", self.task, ", ".join(short))


class _Fit:
    """Keeps documents that align under a tokenizer, and counts why others do not."""

    def __init__(self, task: str, metric: Metric, tokenizer: Any, scored_by_us: bool) -> None:
        self.task, self.tokenizer, self.scored_by_us = task, tokenizer, scored_by_us
        self.first_tokens = not metric.whole_answers
        self.reasons: Counter[str] = Counter()

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


def split_of(task: str, key: str) -> str:
    """The split that everything with this key belongs to: a third of all keys each."""
    digest = hashlib.sha256(f"{task}\n{key}".encode()).digest()
    return SPLITS[digest[0] % len(SPLITS)]


def pools(task: str, items: Iterable[T]) -> dict[str, list[T]]:
    """Items of a finite source by the split they belong to.

    Every split has items of its own, and pairs are made within a split: the corrupted prompt, too,
    then holds nothing from another split. The key of such a pair is `str` of an item.
    """
    found: dict[str, list[T]] = {split: [] for split in SPLITS}
    for item in items:
        found[split_of(task, str(item))].append(item)
    return found


def left_out(task: str) -> dict[str, int]:
    """How many candidates the last build of a task left out, by reason."""
    return _left_out.get(task, {})


def set_active_tokenizer(tokenizer: Any, source: str | None = None) -> None:
    """Say which tokenizer the model that was loaded last uses, and what it was loaded from."""
    _active[:] = [(source, tokenizer)]


def tokenizer_in_use(metadata: Mapping[str, Any]) -> tuple[Any, bool]:
    """The tokenizer pairs have to align for, and whether our own model scores them.

    That of the `circuit` model loaded last, unless `--model_args` name another model (as with
    `--model hf`), whose tokenizer is then loaded. None where no tokenizer can be found, as for
    models behind an API.
    """
    named = metadata.get("tokenizer") or metadata.get("pretrained")
    if _active and (named is None or str(named) == _active[0][0]):
        return _active[0][1], True
    if named is None:
        return None, False
    from harness_circuits.loading.load import load_tokenizer

    try:
        return load_tokenizer(str(named), str(metadata.get("revision", "main"))), False
    except CircuitError as error:
        logger.warning("No tokenizer to align pairs with: %s", error)
        return None, False


def _count(metadata: Mapping[str, Any], name: str) -> int:
    value = metadata.get(name, PAIRS_PER_SPLIT)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise OptionError(f"{name} is a whole number of pairs, got {value!r}.")
    return value


def limit_of(metadata: Mapping[str, Any], name: str, default: int | None = None) -> int | None:
    """At most how many pairs of a split that exists as it is; None for all.

    Raises:
        OptionError: It is no number of pairs.
    """
    value = metadata.get(name, default)
    if value is not None and (type(value) is not int or value < 0):
        raise OptionError(f"{name} is a whole number of pairs or null for all, got {value!r}.")
    return value


def _reason(message: str) -> str:
    known = {
        "Position-wise patching": "clean and corrupted differ in token length",
        "are the same": "clean and corrupted are the same",
        "has no token of its own": "an answer has no token of its own",
    }
    return next(reason for text, reason in known.items() if text in message)
