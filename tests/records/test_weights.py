"""Which model a result is of, and what models are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from helpers.result_files import examples, write_run

from harness_circuits.records.results_file import read_results
from harness_circuits.records.weights import Weights, shortest_names

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
