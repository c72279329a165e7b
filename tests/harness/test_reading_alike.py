"""Chats, calibration and `check-task` read prompts as the run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.ordinary_tasks import write_ordinary_tasks
from helpers.reading_models import SMALL, circuit, reading_folder
from helpers.tiny_tasks import TASK, evaluate, values

from harness_circuits.commands.main import main
from harness_circuits.errors import OptionError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reading_folder(tmp_path_factory.mktemp("reading"))


def test_a_chat_template_from_the_command_line_or_its_absence(folder: Path) -> None:
    def named(model: str, **how: Any) -> Any:
        options = {**SMALL, "pretrained": str(folder / model)}
        return evaluate("circuit", [TASK], folder, model_args=options, **how)

    how = {"apply_chat_template": True, "system_instruction": "one two"}
    plain = values(evaluate(circuit(folder, "chat"), [TASK], folder, **how))
    assert values(named("chat", **how)) == plain
    line = r"^--apply_chat_template cannot be used with this model's tokenizer: .*chat template"
    with pytest.raises(OptionError, match=line):
        named("gpt2", apply_chat_template=True)
    with pytest.raises(OptionError, match=line):
        evaluate(circuit(folder, "gpt2"), [TASK], folder, apply_chat_template=True)


def test_what_is_discovered_and_calibrated_on_is_in_the_chat_of_the_run(
    folder: Path, tmp_path: Path
) -> None:
    docs = [{"text": "The cat and dogs was in", "choices": [" Mary", " red"], "label": 0}]
    write_ordinary_tasks(folder, docs)
    how: dict[str, Any] = {"apply_chat_template": True}
    pairs, hashes = {}, {}
    task = f"discover:{folder / f'{TASK}.yaml'}"
    lm = circuit(folder, "chat", circuit=task, ablation="mean", artifacts=str(tmp_path))
    for calibration in (TASK, "choice"):
        for chat in (True, False, True):
            own = lm.with_arguments(
                pretrained=str(folder / "chat"),
                **{**SMALL, "circuit": task, "ablation": "mean"},
                calibration=str(folder / f"{calibration}.yaml"),
            )
            section = evaluate(own, ["choice"], folder, **(how if chat else {}))["config"][
                "circuit"
            ]
            ordinary = section["ordinary_tasks"]
            found = (
                section["given"]["provenance"]["discovery_pairs"],
                ordinary["calibration"]["hash"],
            )
            assert pairs.setdefault(chat, found[0]) == found[0]
            assert hashes.setdefault((calibration, chat), found[1]) == found[1]
    direct = evaluate(circuit(folder, "chat"), [TASK], folder, **how)
    facts = direct["config"]["circuit"]["tasks"][TASK]
    assert pairs[True] == facts["discovery_pairs"] != pairs[False]
    assert len(set(hashes.values())) == 4


def test_check_task_reads_as_the_run_does(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines(model: str, *more: str) -> list[str]:
        line = ["check-task", "animals", "--include_path", str(folder), "--limit", "4"]
        assert main([*line, "--pretrained", str(folder / model), *more]) == 0
        return capsys.readouterr().out.splitlines()

    def full(options: dict[str, Any]) -> str:
        lm = circuit(folder, "gpt2", **options)
        return f"{values(evaluate(lm, ['animals'], folder), 'animals')['full_metric']:.3f}"

    for asked, first, options in (
        ((), "none", {}),
        (("--compat", "mib"), "'<|end|>'", {"compat": "mib"}),
        (("--add_bos_token", "true"), "'<|end|>'", {"add_bos_token": True}),
        (("--kv_heads", "grouped", "--trust_remote_code", "false"), "none", {}),
    ):
        out = lines("gpt2", *asked)
        assert f"first token: {first}" in out
        (metric,) = (line for line in out if line.startswith("  logit_diff: "))
        assert metric.startswith(f"  logit_diff: {full(options)} on clean prompts")
    for wrong, message in (
        (("--trust_remote_code", "no"), "trust_remote_code is true or false, got 'no'"),
        (("--peft", str(tmp_path / "none")), "peft"),
        (("--revision", "v2"), "revision='v2' is a version of a model on the hub"),
    ):
        with pytest.raises(SystemExit, match=message):
            lines("gpt2", *wrong)
