"""The documentation names what exists, and links to what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from helpers.environments import ROOT

from harness_circuits.ablation import ABLATIONS
from harness_circuits.attribution import METHODS
from harness_circuits.circuits.scores import LEVELS
from harness_circuits.commands.compare import compare_parser
from harness_circuits.commands.main import COMMANDS
from harness_circuits.metrics.metrics import METRICS
from harness_circuits.selection import SELECTORS
from harness_circuits.settings import Settings

METHODS_PAGE = (ROOT / "docs" / "methods.md").read_text()
LEARNED_PAGE = (ROOT / "docs" / "learned.md").read_text()
OPTIONS = (ROOT / "docs" / "options.md").read_text()
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text()
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "tasks").rglob("*.md"),
]


def rows(page: str) -> dict[str, str]:
    """Table rows by the code names in their first cell."""
    found = {}
    for line in page.splitlines():
        for name in re.findall(r"`([^`]+)`", line.split("|")[1]) if line.startswith("|") else ():
            found.setdefault(name, line)
    return found


@pytest.mark.parametrize("registry", [METHODS, SELECTORS, METRICS], ids=lambda r: r.kind)
def test_the_methods_page_has_a_row_with_all_options_for_every_name(registry) -> None:
    table = rows(METHODS_PAGE)
    for name in registry:
        assert name in table
        assert f"`{name}`" in OPTIONS
        item = registry.get(name)
        for option in getattr(item, "options", {}):
            said = table[name] + (LEARNED_PAGE if getattr(item, "learned", False) else "")
            assert f"`{option}`" in said, f"{name} has an option {option}"
        if registry is METHODS:
            levels = table[name].split("|")[2].strip()
            known = "all" if item.levels == LEVELS else ", ".join(item.levels)
            assert levels in (known, "those of its members")


def test_the_pages_have_every_setting_and_command() -> None:
    options = {option for r in (METHODS, SELECTORS) for n in r for option in r.get(n).options}
    for name in set(Settings.known_keys()) - options - {"pairs_per_pass"}:
        assert f"`{name}`" in OPTIONS or f"`{name}=" in OPTIONS, name
    for ablation in ABLATIONS:
        assert f"`{ablation}`" in OPTIONS
    for command in COMMANDS:
        assert re.search(f"`harness-circuits {command}[ `]", COMMANDS_PAGE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_workflow_of_the_gate_is_yaml_and_its_commands_parse() -> None:
    text = (ROOT / "docs" / "regression.md").read_text()
    (workflow,) = (b for b in re.findall(r"```yaml\n(.*?)```", text, re.S) if "jobs:" in b)
    steps = yaml.safe_load(workflow)["jobs"]["compare"]["steps"]
    commands = [shlex.split(step["run"]) for step in steps if "run" in step]
    compared = [c[2:] for c in commands if c[:2] == ["harness-circuits", "compare"]]
    parsed = [compare_parser().parse_args(arguments) for arguments in compared]
    assert [options.format for options in parsed] == ["markdown", "junit"]
    assert all(options.thresholds and options.output for options in parsed)


def test_the_map_says_what_every_folder_is_for() -> None:
    table = (ROOT / "docs" / "where.md").read_text()
    for path in (ROOT / "harness_circuits").glob("*/__init__.py"):
        assert f"`{path.parent.name}/`" in table, path.parent.name


def test_the_design_page_has_the_order_of_the_folders() -> None:
    """As the test of imports has it, name by name."""
    page = (ROOT / "docs" / "design.md").read_text()
    layers = re.search(
        r'LAYERS = """\n(.*?)"""', (ROOT / "tests/test_packaging.py").read_text(), re.S
    )
    assert layers is not None
    said = re.findall(r"^    ([a-z_]+(?: [a-z_]+)?)(?:  .*)?$", page, re.M)
    assert [line for line in said if line in layers[1].splitlines()] == layers[1].split("\n")[:-1]


@pytest.mark.parametrize("folder", ["harness_circuits", "docs", "benchmarks"])
def test_python_files_that_are_named_are_there(folder: str) -> None:
    """In docstrings and pages, relative to the repository, the package, or the folder of the text."""
    texts = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")]
    missing = []
    for path in (*texts, ROOT / "README.md"):
        for name in re.findall(r"`([\w/]+\.py)`", path.read_text()):
            tops = (ROOT, ROOT / "harness_circuits", path.parent)
            if name != "pairs.py" and not any((top / name).exists() for top in tops):
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert missing == []
