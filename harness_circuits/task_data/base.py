"""Data of circuit tasks: candidate pairs made for the tokenizer in use, and split without overlap.

A task's `pairs.py`, or a module of this package, yields candidate documents. Here they become the
splits of a harness task:

1. A candidate's `key` says what must not occur in two splits (for example a template with a pair of
   names). A hash of the key assigns the candidate to a split, so the splits are disjoint in keys.
2. Candidates that do not align under the tokenizer in use (different token lengths; for metrics that
   compare first tokens, answers that share theirs) are left out, counted by reason, and reported:
   never silently.
3. Splits are filled in the order of the candidates, which a seed determines.
"""

from __future__ import annotations

import hashlib
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.options.kinds import Whole
from harness_circuits.registry import unknown_name
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.fit import Fit
from harness_circuits.task_data.scorer import Scorer

logger = logging.getLogger("lm_eval.circuit")

SPLITS = ("train", "validation", "test")
PAIRS_PER_SPLIT = 200
PAIRS = Whole(0, 1_000_000)  # of a split
COMMON = (
    *("data_seed", *(f"n_{split}" for split in SPLITS), "task_metric"),
    *("tokenizer", "pretrained", "revision"),
)
MOST_CANDIDATES = 200  # tried per wanted pair, before a split is left short

T = TypeVar("T")
Candidate = Mapping[str, Any]
Candidates = Callable[..., Iterable[Candidate]]


class TaskData:
    """Builds a task's splits; an instance is a task's `custom_dataset`.

    (Not a dataclass: lm-eval writes those into the results field by field, functions included.)

    Attributes:
        task: The task's name.
        candidates: Called with a random generator and the task's options; yields documents with
            the fields of `Pair` and a `key`.
        options: Names of the task's options and the values each may have, the default first. They
            are set by `--metadata '{"corruption": "flip"}'`.
        one_phrasing: Whether all pairs of a run are of one phrasing; pairs of several say theirs as
            `template`.
        left_out: How many candidates the last build left out, by reason.
    """

    more: tuple[str, ...] = ()  # what a subclass reads of the metadata beside the options

    def __init__(
        self,
        task: str,
        candidates: Candidates,
        options: Mapping[str, Sequence[Any]] | None = None,
        *,
        one_phrasing: bool = False,
    ) -> None:
        """Describe a task's data."""
        self.task, self.candidates, self.options = task, candidates, dict(options or {})
        self.one_phrasing = one_phrasing
        self.left_out: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"TaskData({self.task!r})"

    def __call__(self, **metadata: Any) -> dict[str, Any]:
        """Build all splits for the model that the metadata name, if they name one.

        Args:
            **metadata: As for `build`.
        """
        return self.build(metadata, Scorer.named(metadata))

    def build(
        self, metadata: Mapping[str, Any], scorer: Scorer, chat: Chat | None = None
    ) -> dict[str, Any]:
        """Build all splits.

        Args:
            metadata: The YAML's `metadata` with `--model_args` and `--metadata`: `task_metric`,
                the metric unless the model has another, whose needs decide what is left out; the
                task's options, `data_seed`, `n_train`, `n_validation`, `n_test`; the rest is for
                others.
            scorer: The model they are built for.
            chat: What puts prompts into a chat's format.

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
        fit = scorer.fit(self.task, metadata, chat)
        rows = self._fill(self.candidates(generator, **options), wanted, fit)
        self._report(rows, wanted, fit)
        return {split: Dataset.from_list(rows[split]) for split in SPLITS}

    def known_names(self) -> tuple[str, ...]:
        """The names of all that `--metadata` can say of the task."""
        return (*self.options, *COMMON, *self.more)

    def check(self, metadata: Mapping[str, Any]) -> None:
        """Check options and numbers of pairs, without building anything.

        Raises:
            OptionError: A value is none of those that the option has.
        """
        for name in self.options:
            self._option(name, metadata)
        for split in SPLITS:
            limit_of(metadata, f"n_{split}")

    def _option(self, name: str, metadata: Mapping[str, Any]) -> Any:
        known = self.options[name]
        value = metadata.get(name, known[0])
        if value not in known:
            what = f"{name} of task {self.task}"
            raise OptionError(unknown_name(what, value, [str(item) for item in known]))
        return value

    def _fill(
        self, candidates: Iterable[Candidate], wanted: Mapping[str, int], fit: Fit
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

    def _report(self, rows: Mapping[str, list[Any]], wanted: Mapping[str, int], fit: Fit) -> None:
        self.left_out = fit.left_out
        counts = ", ".join(f"{len(rows[split])} {split}" for split in SPLITS)
        reasons = fit.report(counts)
        empty = [split for split in ("train", "test") if wanted[split] and not rows[split]]
        if empty:
            raise TaskDataError(
                f"{self.task} has no {' and no '.join(empty)} pairs for this model's tokenizer; all "
                f"candidates were left out ({reasons or 'there were none'}).{fit.why()}"
            )
        short = [split for split in SPLITS if len(rows[split]) < wanted[split]]
        if short:
            logger.warning("%s: fewer pairs than asked for in %s.", self.task, ", ".join(short))


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


def _count(metadata: Mapping[str, Any], name: str) -> int:
    value = metadata.get(name, PAIRS_PER_SPLIT)
    return PAIRS.read(name, value)


def limit_of(metadata: Mapping[str, Any], name: str, default: int | None = None) -> int | None:
    """At most how many pairs of a split that exists as it is; None for all.

    Raises:
        OptionError: It is no number of pairs.
    """
    value = metadata.get(name, default)
    return None if value is None else PAIRS.read(name, value)
