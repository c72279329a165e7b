"""Which model a result is of, and what models are called."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.result_files import examples, write_run

from harness_circuits.commands.main import main
from harness_circuits.loading.default_model import DISPLAY_NAME, FORMER_NAME
from harness_circuits.records.results_file import read_results
from harness_circuits.records.run import Run, tell_apart
from harness_circuits.records.weights import Weights, shortest_names
from harness_circuits.report.comparison.matching import match

HASH_A, HASH_B = "a" * 16, "b" * 16


def named(*weights: tuple[str, str, str]) -> list[str]:
    """Names of weights, all called `m`, by source, revision and hash."""
    all_of_them = [Weights("m", *one) for one in weights]
    found = shortest_names(all_of_them)
    return [found[one] for one in all_of_them]


def test_one_model_keeps_its_name() -> None:
    assert named(("x/m", "main", HASH_A), ("elsewhere/m", "main", HASH_A)) == ["m", "m"]
    assert named(("x/m", "main", ""), ("x/m", "main", HASH_A)) == ["m", "m"]


def test_paths_revisions_and_hashes_tell_models_apart() -> None:
    assert named(("r/a/m", "main", HASH_A), ("r/b/m", "main", HASH_B)) == ["a/m", "b/m"]
    assert named(("a/m", "main", ""), ("b/m", "main", "")) == ["a/m", "b/m"]
    assert named(("m", "main", HASH_A), ("/models/m", "main", HASH_B)) == ["m", "models/m"]
    assert named(("m", "v1", HASH_A), ("m", "v2", HASH_B)) == ["m@v1", "m@v2"]
    assert named(("m", "main", HASH_A), ("m", "main", HASH_B)) == ["m (aaaaaaaa)", "m (bbbbbbbb)"]


def test_without_a_hash_a_path_of_several_weights_is_none_of_them() -> None:
    found = named(("m", "main", HASH_A), ("m", "main", HASH_B), ("m", "main", ""))
    assert len(set(found)) == 3


def changed(file: Path, change: Any) -> None:
    data = json.loads(file.read_text())
    change(data["config"])
    file.write_text(json.dumps(data))


def test_what_results_say(tmp_path: Path) -> None:
    def read(change: Any) -> Weights:
        file = write_run(tmp_path, examples(0), with_examples=False)
        changed(file, change)
        return read_results([file]).runs[0].weights

    name = read(lambda config: None).name
    assert read(lambda config: None) == Weights(name, name, "main", "")
    sha = "c" * 40
    assert read(lambda c: c.update(model_args={"pretrained": "x/y"}, model_sha=sha)) == Weights(
        name, "x/y", "main", sha
    )
    sweep = {"model_fingerprint": f"{name}-{HASH_A}"}
    given = {"pretrained": f"x/{name}"}
    assert read(lambda c: c.update(sweep=sweep, model_args=given)).fingerprint == HASH_A
    assert read(lambda c: c.update(sweep=sweep)).fingerprint == ""
    own = {"source": "p/q", "fingerprint": HASH_B}
    assert read(lambda c: c["circuit"].update(weights=own)) == Weights(name, "p/q", "main", HASH_B)


FORMERLY: dict[str, Any] = {
    "sweep": lambda c: c.update(sweep={"model_fingerprint": f"{FORMER_NAME}-{HASH_A}"}),
    "command line": lambda c: c.update(model_args={"pretrained": FORMER_NAME}),
    "weights": lambda c: c["circuit"].update(
        weights={"source": FORMER_NAME, "fingerprint": HASH_A}
    ),
}


def run_of(folder: Path, model: str, change: Any) -> Run:
    file = write_run(folder, examples(0), model=model, with_examples=False)
    changed(file, change)
    (run,) = read_results([file]).runs
    return run


@pytest.mark.parametrize("way", FORMERLY)
def test_the_default_model_under_its_former_name_is_the_same(tmp_path: Path, way: str) -> None:
    """Its 4-bit file was not in its name; old baselines are compared with new runs all the same."""
    old = run_of(tmp_path / "old", FORMER_NAME, FORMERLY[way])
    own = {"source": DISPLAY_NAME, "fingerprint": HASH_A}
    new = run_of(tmp_path / "new", DISPLAY_NAME, lambda c: c["circuit"].update(weights=own))
    assert old.model == new.model == DISPLAY_NAME == "SmolLM2-135M-Instruct-Q4_1"
    pair = match(*(tell_apart([old, new])[n : n + 1] for n in (0, 1)))
    assert [(a.file, b.file) for a, b in pair.same] == [(old.file, new.file)]
    assert main(["compare", str(old.file), str(new.file)]) == 0
    board = tmp_path / "board"
    assert main(["leaderboard", str(old.file), "--output", str(board)]) == 0
    (row,) = csv.DictReader((board / "leaderboard.csv").open())
    assert row["model"] == DISPLAY_NAME


def test_a_folder_that_is_called_so_keeps_its_name(tmp_path: Path) -> None:
    given = {"pretrained": f"models/{FORMER_NAME}"}
    run = run_of(tmp_path, FORMER_NAME, lambda c: c.update(model_args=given))
    assert run.model == FORMER_NAME and run.weights.source == given["pretrained"]
