"""CONTRIBUTING.md followed to the letter, in a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.environments import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
FILES = re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", PAGE, re.M | re.S)
RUN = """
import json, sys
from pathlib import Path
from helpers.task_builds import build, rows
from helpers.tiny_tasks import evaluate, values
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer
from harness_circuits.errors import UnknownNameError
from harness_circuits.harness.lm import CircuitLM
from harness_circuits.ablation import ABLATIONS
from harness_circuits.attribution import METHODS
from harness_circuits.metrics import METRICS
from harness_circuits.selection import SELECTORS

listed = {}
for registry in (METHODS, SELECTORS, METRICS, ABLATIONS):
    try:
        registry.get("?")
    except UnknownNameError as error:
        listed[registry.kind] = str(error)
small = {"n_train": 4, "n_validation": 0, "n_test": 3}
text = " ".join(doc["clean"] for docs in rows(build("left_of_circuit", **small)).values() for doc in docs)
folder = save_tiny_model(sys.argv[1], "gpt2", word_tokenizer(text.replace(".", " ").split()))
model = CircuitLM(
    pretrained=str(folder), method="midpoint", selection="late-first", metric="margin",
    ablation="halved", sizes="0.2:1", batch_size=2,
)
results = evaluate(model, ["left_of_circuit"], metadata={**small, "pretrained": str(folder)})
print(json.dumps({"listed": listed, "values": values(results, "left_of_circuit")}))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, its tasks and its tests, with the files of the page and nothing else changed."""
    top = tmp_path_factory.mktemp("copy")
    for folder in ("harness_circuits", "tasks", "tests"):
        shutil.copytree(ROOT / folder, top / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", top)
    for name, text in FILES:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert not path.exists()
        path.write_text(text)
    return top


def python(top: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(top), str(top / "tests")])}
    command = [sys.executable, *arguments]
    run = subprocess.run(
        command, cwd=top, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


def test_every_recipe_but_the_architecture_is_one_file_or_one_folder() -> None:
    recipes = re.findall(r"^## Add an? (\w+)$", PAGE, re.M)
    assert recipes == ["method", "selector", "metric", "ablation", "task", "architecture"]
    assert len(FILES) == 6  # a task is two


@pytest.mark.slow
def test_what_is_added_is_listed_and_runs_through_lm_eval(copy: Path, tmp_path: Path) -> None:
    found = json.loads(python(copy, "-c", RUN, str(tmp_path)).splitlines()[-1])
    names = {"attribution method": "midpoint", "selector": "late-first", "metric": "margin"}
    for kind, name in (names | {"ablation": "halved"}).items():
        assert f" {name}" in found["listed"][kind]
    assert found["values"]["faithfulness@1"] == pytest.approx(1, abs=1e-4)
    assert found["values"]["edges@1"] > found["values"]["edges@0.2"] >= 0


@pytest.mark.slow
def test_what_is_added_is_in_the_help(copy: Path) -> None:
    code = "from harness_circuits.commands.main import main; main(['options'])"
    said = dict(re.findall(r"^  (\S+) +(\S.*)$", python(copy, "-c", code), re.M))
    for name, (_, text) in zip(("midpoint", "late-first"), FILES, strict=False):
        assert text.startswith(f'"""{name}: {said[name]}"""')
    assert (
        said["margin"]
        == "least logit of the correct answers' first tokens minus the greatest wrong one"
    )
    assert said["halved"] == "half the output on the corrupted prompt"


@pytest.mark.slow
def test_what_is_added_is_in_the_tests_of_all(copy: Path) -> None:
    """Tests whose names have a new name in them, and all tests of metrics, which loop."""
    files = ("passes/test_pass_counts.py", "attribution/test_methods.py")
    files = (*files, "selection/test_selectors.py", "metrics/test_metrics.py")
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-k")
    chosen = "midpoint-edge or EAP-node-halved or late-first or test_metrics"
    output = python(
        copy, "-m", "pytest", *options, chosen, "-rA", *(f"tests/{name}" for name in files)
    )
    for name in ("[midpoint-edge-patching]", "[EAP-node-halved]", "[late-first]"):
        assert f"{name}\n" in output
