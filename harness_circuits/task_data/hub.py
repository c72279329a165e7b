"""Data of circuit tasks that exist as rows of a dataset: on the Hugging Face hub, or in a folder.

Splits are the dataset's own. Rows are read in their order; a task's reader makes a document of each
or says why it cannot, and what does not align under the tokenizer in use is left out, both counted
by reason.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness_circuits.errors import OptionError, TaskDataError, shown
from harness_circuits.options.paths import read_path
from harness_circuits.registry import unknown_name
from harness_circuits.task_data.base import SPLITS, TaskData, limit_of
from harness_circuits.task_data.chat import Chat
from harness_circuits.task_data.scorer import Scorer

logger = logging.getLogger("lm_eval.circuit")

Row = Mapping[str, Any]
ENDING = "_counterfactual"
COMMIT = re.compile(r"[0-9a-f]{40}")


class RowReader:
    """What turns a row into a document: called with row, counterfactual column and tokenizer.

    Returns a document, or the reason why there is none.
    """

    def __init__(self, read: Callable[[Row, str, Any], dict[str, Any] | str]) -> None:
        """Wrap a function."""
        self.read = read

    def __call__(
        self, row: Row, number: int, where: str, column: str, tokenizer: Any
    ) -> dict[str, Any] | str:
        """Read a row.

        Raises:
            TaskDataError: A column is missing or of another kind than expected.
        """
        try:
            return self.read(row, column, tokenizer)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise TaskDataError(
                f"{where}, row {number}: not as expected ({type(error).__name__}: {error}). It has "
                f"the columns {sorted(row)}; the counterfactual is read from {shown(column)}."
            ) from error


class HubData(TaskData):
    """Splits of a task from a dataset.

    Attributes:
        path: Repository on the hub.
        name: The dataset's configuration, if it has several.
        revision: Commit on the hub.
        counterfactual: Where corrupted prompts come from unless `--metadata` says otherwise: the
            column `{counterfactual}_counterfactual`.
        reader: Makes documents of rows.
        n_train: Training pairs unless `--metadata` says otherwise; None for all.
        facts: Of the last build, for the results: dataset, configuration, revision asked for,
            whether that pins a commit, the commit that was read if that is known, counterfactual.
    """

    more = ("dataset_path", "dataset_revision", "counterfactual")

    def __init__(
        self,
        task: str,
        path: str,
        reader: Callable[[Row, str, Any], dict[str, Any] | str],
        counterfactual: str,
        *,
        name: str | None = None,
        revision: str = "main",
        n_train: int | None = None,
    ) -> None:
        """Describe the data."""
        super().__init__(task, lambda _: ())
        self.path, self.name, self.revision = path, name, revision
        self.counterfactual = counterfactual
        self.facts: dict[str, Any] = {}
        self.reader, self.n_train = RowReader(reader), n_train

    def build(
        self, metadata: Mapping[str, Any], scorer: Scorer, chat: Chat | None = None
    ) -> dict[str, Any]:
        """Load the dataset and keep what fits.

        Args:
            metadata: As for `TaskData`; `dataset_path` and `dataset_revision` replace the hub
                repository, which may be a folder, and its commit; `n_train`, `n_validation`,
                `n_test` limit the pairs (null for all).
            scorer: The model they are built for.
            chat: What puts prompts into a chat's format.

        Raises:
            OptionError: A number of pairs is none, or the dataset has no such counterfactual.
            TaskDataError: The dataset cannot be reached, lacks a split or column, or has no row
                that fits.
        """
        from datasets import Dataset

        limits = {s: limit_of(metadata, f"n_{s}") for s in SPLITS}
        limits["train"] = limit_of(metadata, "n_train", self.n_train)
        path = str(metadata.get("dataset_path") or self.path)
        revision = str(metadata.get("dataset_revision") or self.revision)
        splits = load_splits(self.task, path, self.name, revision)
        column = self._column(str(metadata.get("counterfactual", self.counterfactual)), splits)
        self.facts = {
            "dataset": path,
            "configuration": self.name,
            **facts_of_revision(path, revision, splits["train"]),
            "counterfactual": column.removesuffix(ENDING),
        }
        fit = scorer.fit(self.task, metadata, chat)
        rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        for split in SPLITS:
            where, limit = f"{self.task}: split {split} of {path}", limits[split]
            for number, row in enumerate(splits.get(split, ())):
                if limit is not None and len(rows[split]) >= limit:
                    break
                doc = self.reader(row, number, where, column, fit.tokenizer)
                if isinstance(doc, str):
                    fit.reasons[doc] += 1
                elif (kept := fit(doc)) is not None:
                    rows[split].append(kept)
        needed = [s for s in SPLITS if limits[s] != 0 and s in splits]
        self._report(rows, {split: int(split in needed) for split in SPLITS}, fit)
        return {split: Dataset.from_list(rows[split]) for split in SPLITS if rows[split]}

    def _column(self, counterfactual: str, splits: Mapping[str, Any]) -> str:
        """The column of corrupted prompts."""
        columns = splits["train"].column_names
        known = [name.removesuffix(ENDING) for name in columns if name.endswith(ENDING)]
        if counterfactual not in known:
            what = f"counterfactual of task {self.task}"
            raise OptionError(unknown_name(what, counterfactual, known))
        return counterfactual + ENDING


def load_splits(task: str, path: str, name: str | None, revision: str) -> dict[str, Any]:
    """Load a dataset's splits from the hub, its cache, or a folder.

    A configuration is the subfolder of its name in a folder that has one. `val` and `dev` are
    other names of `validation`.

    Raises:
        TaskDataError: It cannot be loaded, or has no training split or nothing to evaluate on.
    """
    from datasets import load_dataset

    folder = read_path(path, "dataset_path", "a hub id or a folder")
    local = folder.is_dir()
    if not local and COMMIT.fullmatch(revision) is None:
        logger.warning(
            "%s: no commit of %s is pinned, so the newest version of %r is used, which may change; "
            'pin one with --metadata \'{"dataset_revision": "COMMIT"}\'.',
            task,
            path,
            revision,
        )
    if local and name is not None and (folder / name).is_dir():
        folder, name = folder / name, None
    elif local and not (folder / "README.md").is_file():  # which would say what configurations are
        name = None
    try:
        loaded = dict(
            load_dataset(str(folder), name)
            if local
            else load_dataset(path, name, revision=revision)
        )
    except Exception as error:  # whatever the hub's client or a file's reader raises
        raise TaskDataError(_not_loaded(task, path, revision, local, error)) from error
    for other in ("val", "dev"):
        if other in loaded:
            loaded.setdefault("validation", loaded.pop(other))
    if "train" not in loaded or not {"validation", "test"} & set(loaded):
        raise TaskDataError(
            f"{task}: {path} has the splits {sorted(loaded)}; it needs train, and validation or test."
        )
    return loaded


def facts_of_revision(path: str, revision: str, split: Any) -> dict[str, Any]:
    """Which version of a dataset was read: the revision asked for, and the commit behind it.

    The commit is in the addresses of the files that `datasets` downloaded (`...@COMMIT/...`); None
    where there are none.
    """
    if Path(path).expanduser().is_dir():
        return {"revision": None, "pinned": False, "commit": None}
    addresses = " ".join(getattr(split.info, "download_checksums", None) or ())
    found = re.search(rf"@({COMMIT.pattern})/", addresses)
    pinned = COMMIT.fullmatch(revision) is not None
    commit = revision if pinned else found and found[1]
    return {"revision": revision, "pinned": pinned, "commit": commit}


def _not_loaded(task: str, path: str, revision: str, local: bool, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if local:
        return f"{task}: the folder {path} cannot be read as a dataset: {reason}"
    return (
        f"{task}: the dataset {path} (revision {revision}) cannot be loaded: {reason} It lies on the "
        "Hugging Face hub, which needs a network or the dataset in the local cache. Without these, "
        'give a folder with its files: --metadata \'{"dataset_path": "FOLDER"}\'.'
    )
