"""Data sets of the hub: read, limited, their version recorded, and refused with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.hub_files import DATA, TASKS, build, dataset, make_rows, write

from harness_circuits.errors import OptionError, TaskDataError
from harness_circuits.task_data import mib
from harness_circuits.task_data.hub import load_splits


def test_missing_columns_are_named(tmp_path: Path) -> None:
    rows = make_rows("ioi", 2)
    for row in rows:
        del row["metadata"]["random_c"]
    folder = write(tmp_path, {"train": rows, "test": rows})
    with pytest.raises(TaskDataError, match=r"split train .*, row 0: not as expected.*random_c"):
        build("mib_ioi_circuit", folder)


def test_limits_hold_and_are_checked(tmp_path: Path) -> None:
    folder = dataset(tmp_path, "mib_ioi_circuit")
    splits = build("mib_ioi_circuit", folder, n_train=3, n_validation=2, n_test=0)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 3, "validation": 2}
    with pytest.raises(OptionError, match=r"n_train is a whole number from 0 to 1000000"):
        build("mib_ioi_circuit", folder, n_train="many")


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'mib-bench/ioi' on the Hub (OfflineModeIsEnabled)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(TaskDataError) as caught:
        DATA["mib_ioi_circuit"]()
    message = str(caught.value)
    for part in ("mib-bench/ioi", DATA["mib_ioi_circuit"].revision, "network", "dataset_path"):
        assert part in message


@pytest.mark.parametrize("commit", [None, "0123456789abcdef" * 2 + "01234567"])
@pytest.mark.parametrize("task", TASKS)
def test_the_version_that_was_read_is_recorded_and_warned_about(
    tmp_path: Path,
    task: str,
    commit: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import datasets

    local = load_splits(task, str(dataset(tmp_path, task)), DATA[task].name, "main")
    asked = {}

    def hub(path: str, name: str | None, revision: str) -> dict[str, Any]:
        asked.update(path=path, name=name, revision=revision)
        read = "f" * 40 if revision == "main" else revision
        for split in local.values():
            split.info.download_checksums = {f"hf://datasets/{path}@{read}/x.parquet": {}}
        return dict(local)

    monkeypatch.setattr(datasets, "load_dataset", hub)
    DATA[task](**({"dataset_revision": commit} if commit else {}))
    revision = commit or DATA[task].revision
    assert asked == {"path": DATA[task].path, "name": DATA[task].name, "revision": revision}
    pinned = revision != "main"
    assert DATA[task].facts == {
        "dataset": DATA[task].path,
        "configuration": DATA[task].name,
        "revision": revision,
        "pinned": pinned,
        "commit": revision if pinned else "f" * 40,
        "counterfactual": DATA[task].counterfactual,
    }
    warned = f"{task}: no commit of {DATA[task].path} is pinned, so the newest version of 'main'"
    assert (warned in caplog.text) is not pinned


def test_bad_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match="cannot be read as a dataset"):
        build("mib_ioi_circuit", tmp_path)
    rows = make_rows("ioi", 2)
    with pytest.raises(TaskDataError, match=r"has the splits \['train'\]; it needs"):
        build("mib_ioi_circuit", write(tmp_path / "one", {"train": rows}))
    for row in rows:
        row["metadata"]["random_c"] = "Mary John"
    with pytest.raises(TaskDataError, match=f"no train.*{mib.UNEQUAL_NAMES}"):
        build("mib_ioi_circuit", write(tmp_path / "no", {"train": rows, "validation": rows}))
