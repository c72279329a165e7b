"""A transfer matrix that was stopped goes on where it was, with the numbers of one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_tasks import documents
from helpers.tiny_tokenizer import save_tiny_model

import harness_circuits as hc
from harness_circuits.errors import OptionError
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import pairs_from_docs
from harness_circuits.records.transfer import Transfer
from harness_circuits.sweep import transfer as steps

OPTIONS: dict[str, Any] = {
    **{"method": "EAP", "sizes": (0.3, 0.7), "ranking": "absolute"},
    **{"bootstrap_iters": 40, "null_circuits": 1},
}


class Stopped(BaseException):
    """As if the process had been killed."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> CircuitModel:
    folder = save_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    return hc.load_model(str(folder), device="cpu")


@pytest.fixture(autouse=True)
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "AT_ONCE", 8)


def run(model: CircuitModel, folder: Path | None, names: str = "abc", **more: Any) -> Transfer:
    tasks = {
        name: tuple(
            pairs_from_docs(documents(2 * at + half, 3 + half + at), "tiny") for half in range(2)
        )
        for at, name in enumerate(names)
    }
    return hc.transfer(model, tasks, folder, **{**OPTIONS, **more})  # type: ignore[arg-type]


def stop_before(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Stop before the step of this number.

    Three tasks are three discoveries, and on each of them circuits of two tasks, then of one.
    """
    left = [step]

    def counted(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            return original(*args, **kwargs)

        return call

    monkeypatch.setattr(steps, "_values", counted(steps._values))
    monkeypatch.setattr(steps.Experiment, "circuits", counted(steps.Experiment.circuits))


def test_it_goes_on_wherever_it_was_stopped(
    model: CircuitModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(model, None)
    for steps_more in (1, 2, 1, 3, 1):  # then it is stopped
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            stop_before(patch, steps_more)
            run(model, tmp_path)
    before = sum(model.counts.values())
    with monkeypatch.context() as patch:
        stop_before(patch, 1)  # of nine steps one is left
        assert run(model, tmp_path).to_dict() == whole.to_dict()
    spent = sum(model.counts.values()) - before
    assert run(model, tmp_path).to_dict() == whole.to_dict()
    assert sum(model.counts.values()) - before == spent  # everything was there


def test_nothing_of_other_settings_or_pairs_is_taken(
    model: CircuitModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(model, tmp_path)
    with monkeypatch.context() as patch:
        stop_before(patch, 0)
        narrow = run(model, tmp_path, bootstrap_iters=0)  # intervals are made of what was kept
        assert narrow.matrices[0].ci95_low[0][0] is None
        for more in ({"seed": 1}, {"sizes": (0.4,)}, {"null_circuits": 2}, {"ablation": "mean"}):
            with pytest.raises(Stopped):
                run(model, tmp_path, **more)
    with monkeypatch.context() as patch:
        stop_before(patch, 1 + 3 + 2)  # of a fourth task: on three others, and all circuits on it
        four = run(model, tmp_path, "abcd")
        with pytest.raises(Stopped):
            run(model, tmp_path, "abcde")
    assert four.matrices[0].faithfulness[0][:3] == run(model, None).matrices[0].faithfulness[0]


def test_what_is_damaged_is_made_again(model: CircuitModel, tmp_path: Path) -> None:
    whole = run(model, tmp_path, "ab")
    for path in sorted(tmp_path.rglob("*.safetensors")):
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)
    (tmp_path / "a" / "SHA256SUMS").write_bytes(b"\xff")
    assert run(model, tmp_path, "ab").to_dict() == whole.to_dict()
    assert run(model, tmp_path, "ab").to_dict() == whole.to_dict()


def test_a_method_that_learns_goes_on_within_a_discovery(
    model: CircuitModel, tmp_path: Path
) -> None:
    own = {"method": "subnetwork-probing", "steps": 4, "sizes": (0.4,), "null_circuits": 0}
    run(model, tmp_path, "ab", **own)
    assert len(list((tmp_path / "learning").glob("*.pt"))) == 2
    found = run(model, tmp_path, "ab", **own)
    assert "checkpoint" not in found.settings["method_options"]


def test_what_a_matrix_has_none_of_is_refused(model: CircuitModel) -> None:
    with pytest.raises(OptionError, match=r"^positions=tokens: a circuit over spans of one task's"):
        run(model, None, "ab", positions="tokens")
    for option in ({"evidence": "necessity"}, {"stability_resamples": 5}):
        with pytest.raises(
            OptionError, match=f"^{next(iter(option))} is about the circuits of one"
        ):
            run(model, None, "ab", **option)
