"""What works on files needs no model: it loads no torch, and heavy packages only where they are used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.environments import ROOT
from helpers.result_files import examples, write_run

OFFLINE = ("circuits", "statistics", "records", "report", "formats")
MODELS = {"torch", "transformers", "transformer_lens", "datasets", "lm_eval", "accelerate"}
FRAMES = {"pandas", "scipy"}
PICTURES = {"plotly", "matplotlib", "jinja2"}

# What all modules load together is what any of them loads; each new name stands beside who asked for it.
TOGETHER = """
import importlib, sys
heavy, modules = set(sys.argv[1].split(",")), sys.argv[2:]
for name in modules:
    importlib.import_module(name)
    if found := sorted(heavy & set(sys.modules)):
        print(name, *found)
    heavy -= set(found)
"""
COMMAND = """
import sys
heavy, arguments = set(sys.argv[1].split(",")), sys.argv[2:]
from harness_circuits.commands.main import main
try:
    code = main(arguments)
except SystemExit as stop:
    code = stop.code
assert not code, code
print("LOADED", *sorted(heavy & set(sys.modules)))
"""


def python(code: str, heavy: set[str], *arguments: str) -> str:
    command = [sys.executable, "-c", code, ",".join(sorted(heavy)), *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_no_module_of_the_offline_half_loads_torch() -> None:
    paths = [path for name in OFFLINE for path in (ROOT / "harness_circuits" / name).rglob("*.py")]
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in sorted(paths)]
    modules = [".".join(names).removesuffix(".__init__") for names in parts]
    assert len(modules) > 30
    assert python(TOGETHER, MODELS | FRAMES, *modules) == ""


def test_heavy_modules_of_the_offline_half_are_those_that_draw() -> None:
    names = ("harness_circuits.report.table", "harness_circuits.report.draw")
    assert python(TOGETHER, PICTURES, *names) == ""


@pytest.mark.parametrize("command", ["leaderboard", "compare", "draw"])
def test_help_loads_nothing_heavy(command: str) -> None:
    output = python(COMMAND, MODELS | FRAMES | PICTURES, command, "--help")
    assert output.splitlines()[-1] == "LOADED"


def test_the_overview_loads_lm_evals_parser_alone() -> None:
    output = python(COMMAND, MODELS | FRAMES | PICTURES, "--help")
    assert output.splitlines()[-1] == "LOADED jinja2 lm_eval"


def test_commands_load_what_they_use(tmp_path: Path) -> None:
    for seed, name in enumerate(("old", "new")):
        write_run(tmp_path / name, examples(seed), method="EAP")
    heavy = MODELS | FRAMES | PICTURES
    old, new = str(tmp_path / "old"), str(tmp_path / "new")
    (circuits,) = (tmp_path / "old").rglob("circuits.safetensors")
    for arguments, loaded in (
        (["compare", old, new], "LOADED scipy"),  # quantiles of differences
        (["leaderboard", old, "--output", str(tmp_path / "board")], "LOADED jinja2 scipy"),
        (["draw", f"{circuits}#absolute@0.1", "--output", str(tmp_path / "c.dot")], "LOADED"),
        (
            ["draw", f"{circuits}#absolute@0.1", "--output", str(tmp_path / "c.svg")],
            "LOADED matplotlib",
        ),
    ):
        assert python(COMMAND, heavy, *arguments).splitlines()[-1] == loaded, arguments
