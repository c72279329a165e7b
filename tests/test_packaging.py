"""What the wheel carries, what importing costs, and the order of the layers."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest
from helpers.environments import ROOT, build_wheel

PACKAGE = ROOT / "harness_circuits"

# From the bottom up: a folder imports only from the lines above its own, or from its own line.
LAYERS = """
errors registry
machine
circuits
statistics
options
formats
ground_truth
models
pairs tokenise
metrics
passes
loading
ablation
attribution selection
evaluation
evidence
settings
discovery
studies
experiment
records
task_data
harness inspect
sweep
report
commands
api
"""
RANK = {name: rank for rank, line in enumerate(LAYERS.split("\n")) for name in line.split()}

MAX_LINES, MAX_FUNCTION_LINES = 300, 50


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel"))) as archive:
        yield archive


def metadata_file(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = (path for path in wheel.namelist() if path.endswith(f".dist-info/{name}"))
    return wheel.read(path).decode()


def test_the_wheel_carries_package_tasks_and_hook(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert "harness_circuits_startup.pth" in names
    for folder, prefix in (
        (PACKAGE, "harness_circuits"),
        (ROOT / "tasks", "harness_circuits/_tasks"),
    ):
        files = {p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        assert files, f"nothing in {folder.name}"
        assert {f"{prefix}/{p.relative_to(folder).as_posix()}" for p in files} <= names


def test_the_wheel_carries_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    (info,) = (top for top in tops if top.endswith(".dist-info"))
    ours = {"harness_circuits", "harness_circuits_startup.pth"}
    assert tops == ours | {info}
    assert not [name for name in wheel.namelist() if "__pycache__" in name]


def test_the_wheel_declares_commands_entry_points_and_licence(wheel: zipfile.ZipFile) -> None:
    points = ConfigParser()
    points.read_string(metadata_file(wheel, "entry_points.txt"))
    assert points["console_scripts"]["harness-circuits"] == "harness_circuits.commands.main:main"
    assert points["lm_eval.models"]["circuit"] == "harness_circuits.harness.lm:CircuitLM"
    # Inspect looks for `harness_circuits/ioi` in the entry point of the part before the slash only.
    assert points["inspect_ai"]["harness_circuits"] == "harness_circuits.inspect.registry"
    assert "License-Expression: Apache-2.0" in metadata_file(wheel, "METADATA")
    assert metadata_file(wheel, "licenses/LICENSE").strip().startswith("Apache License")


def test_every_dependency_has_an_upper_bound(wheel: zipfile.ZipFile) -> None:
    lines = metadata_file(wheel, "METADATA").splitlines()
    required = [line for line in lines if line.startswith("Requires-Dist: ")]
    assert required
    own = [line for line in required if "<" not in line and "harness_circuits[" not in line]
    assert own == []
    assert [line for line in required if "inspect" in line and "extra ==" not in line] == []


def test_entry_point_and_plugin_name_the_same_class(wheel: zipfile.ZipFile) -> None:
    from harness_circuits.harness import patches

    points = ConfigParser()
    points.read_string(metadata_file(wheel, "entry_points.txt"))
    assert dict(points["lm_eval.models"]) == {patches.MODEL_NAME: patches.MODEL_TARGET}


def test_the_hook_watches_what_the_patches_change() -> None:
    import harness_circuits_startup
    from harness_circuits.harness import import_hook, patches

    assert set(harness_circuits_startup.WATCHED) == set(import_hook.PATCHES)
    for function in import_hook.PATCHES.values():
        assert callable(getattr(patches, function))


@pytest.mark.parametrize(
    "module",
    ["harness_circuits", "harness_circuits.commands.main", "harness_circuits.harness.patches"],
)
def test_import_is_light(module: str) -> None:
    heavy = "{'torch', 'transformers', 'transformer_lens', 'datasets', 'numpy', 'lm_eval'}"
    code = f"import sys, {module}; sys.exit(str(sorted({heavy} & set(sys.modules))[:9] or ''))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stderr.strip() == ""


def test_public_names_resolve_and_a_miss_is_an_attribute_error() -> None:
    import harness_circuits

    for name in harness_circuits.__all__:
        assert getattr(harness_circuits, name) is not None
        assert name in dir(harness_circuits)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        harness_circuits.nothing  # noqa: B018


def modules() -> dict[str, Path]:
    """Every module of the package but the package itself, without the prefix."""
    paths = {path.relative_to(PACKAGE).with_suffix(""): path for path in PACKAGE.rglob("*.py")}
    names = {".".join(p.parts).removesuffix(".__init__"): path for p, path in paths.items()}
    return {name: path for name, path in sorted(names.items()) if name != "__init__"}


def rank(module: str) -> int:
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if (name := ".".join(parts[:end])) in RANK:
            return RANK[name]
    raise AssertionError(f"harness_circuits.{module} has no place in LAYERS: give it one")


def imports(path: Path, known: set[str], *, types: bool = True) -> Iterator[str]:
    """Modules of ours that a file imports anywhere, also inside functions, or for types only."""
    tree = ast.parse(path.read_text())
    if not types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name} has a relative import"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [x if x.partition(".")[2] in known else str(node.module) for x in found]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        else:
            continue
        yield from (x.partition(".")[2] for x in found if x.startswith("harness_circuits."))


def test_imports_point_one_way() -> None:
    known = modules()
    upward = {
        (name, imported)
        for name, path in known.items()
        for imported in imports(path, set(known))
        if rank(imported) > rank(name)
    }
    assert not upward, f"imports from a higher layer: {sorted(upward)}"


def test_no_files_import_each_other_in_a_circle() -> None:
    """Also not through imports inside functions; names of types alone may lead back."""
    known = modules()
    left = {
        name: set(imports(path, set(known), types=False)) - {name} for name, path in known.items()
    }
    while free := [name for name, wanted in left.items() if not wanted & set(left)]:
        for name in free:
            del left[name]
    circle = sorted(name for name in left if any(name in wanted for wanted in left.values()))
    assert circle == [], {name: sorted(left[name] & set(left)) for name in circle}


@pytest.mark.parametrize("folder", ["harness_circuits", "tasks", "tests", "benchmarks"])
def test_files_and_functions_are_short(folder: str) -> None:
    too_long = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text()
        if len(text.splitlines()) > MAX_LINES:
            too_long.append(f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long.append(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert too_long == []
