"""The start-up hook alone, against a stand-in for lm-eval: neither Python nor lm-eval may stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.environments import ROOT, Environment, make_environment
from helpers.startup_hook import HOOK, hook_line

MODULES = "import sys, lm_eval.models; print(lm_eval.models.NAME, len(sys.meta_path))"
WORKING = "def register_model():\n    import sys; sys.modules['lm_eval.models'].NAME = 'changed'\n"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An environment with our hook and a small `lm_eval`, but without our package."""
    made = make_environment(tmp_path / "venv", with_dependencies=False)
    (made.packages / HOOK).write_text((ROOT / HOOK).read_text())
    models = made.packages / "lm_eval" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").touch()
    (models / "__init__.py").write_text("NAME = 'built in'\n")
    return made


def write_package(environment: Environment, patches: str) -> None:
    """Our package with other patches."""
    folder = environment.packages / "harness_circuits" / "harness"
    folder.mkdir(parents=True)
    for name in ("__init__.py", "harness/__init__.py", "harness/import_hook.py"):
        (folder.parent / name).write_text((ROOT / "harness_circuits" / name).read_text())
    (folder / "patches.py").write_text(patches)


def test_the_plugin_runs_once_the_module_is_loaded(environment: Environment) -> None:
    write_package(environment, WORKING)
    result = environment.run("python", "-c", MODULES)
    assert result.stdout.startswith("changed ")
    assert result.stderr == ""


@pytest.mark.parametrize("value", ["1", "true"])
def test_switched_off(environment: Environment, value: str) -> None:
    write_package(environment, WORKING)
    off = {"HARNESS_CIRCUITS_DISABLE_PLUGIN": value}
    assert environment.python_code(MODULES, switches=off).startswith("built in ")


@pytest.mark.parametrize("value", ["", "0"])
def test_not_switched_off(environment: Environment, value: str) -> None:
    write_package(environment, WORKING)
    not_off = {"HARNESS_CIRCUITS_DISABLE_PLUGIN": value}
    assert environment.python_code(MODULES, switches=not_off).startswith("changed ")


def test_a_pth_file_left_behind_alone_is_harmless(environment: Environment) -> None:
    result = environment.run("python", "-c", MODULES)
    assert result.stdout.startswith("built in ")
    assert result.stderr == ""


@pytest.mark.parametrize("left", [".", "harness"])
def test_a_hook_left_behind_without_its_package_is_harmless(
    environment: Environment, left: str
) -> None:
    (environment.packages / "harness_circuits" / left / "__pycache__").mkdir(parents=True)
    result = environment.run("python", "-W", "error", "-c", MODULES)
    assert result.stdout.startswith("built in ")
    assert result.stderr == ""


def test_a_failing_plugin_is_a_warning_that_names_the_switch(environment: Environment) -> None:
    write_package(environment, "def register_model():\n    raise KeyError('gone')\n")
    result = environment.run("python", "-c", MODULES)
    assert result.stdout.startswith("built in ")
    assert "harness_circuits could not connect to lm-eval (KeyError: 'gone')" in result.stderr
    assert "HARNESS_CIRCUITS_DISABLE_PLUGIN=1" in result.stderr


def test_a_finder_without_find_spec_is_passed_over(environment: Environment) -> None:
    write_package(environment, WORKING)
    old = "import sys; old = type('Old', (), {'find_module': lambda self, name, path=None: None})()"
    code = f"{old}; sys.meta_path.insert(1, old)\n{MODULES}"
    assert environment.python_code(code).startswith("changed ")


def test_installing_twice_adds_one_finder(environment: Environment) -> None:
    path = str(environment.packages / HOOK)
    again = f"exec(open({path!r}).read())"
    code = f"import sys; n = len(sys.meta_path); {again}; print(len(sys.meta_path) - n)"
    assert environment.python_code(code) == "0\n"


def test_every_process_gets_a_finder_and_no_module_more(environment: Environment) -> None:
    """To find and read a module costs more than to compile the line, with bytecode or without."""
    code = "import sys; print(*sys.modules, len(sys.meta_path))"
    *modules, finders = environment.python_code(code).split()
    (environment.packages / HOOK).unlink()
    *without, fewer = environment.python_code(code).split()
    assert (modules, int(finders)) == (without, int(fewer) + 1)


def test_the_hook_is_its_source() -> None:
    assert (ROOT / HOOK).read_text() == hook_line()


def test_modules_of_other_names_are_left_alone(environment: Environment) -> None:
    code = (
        "import sys, json, lm_eval\n"
        "print('harness_circuits' in sys.modules, type(lm_eval.__spec__.loader).__name__)"
    )
    assert environment.python_code(code) == "False SourceFileLoader\n"


@pytest.mark.parametrize("flags", [(), ("-W", "error")])
@pytest.mark.parametrize("cut", ["harness_circuits/harness/import_hook.py", "plugin"])
def test_whatever_is_damaged_is_one_line_and_lm_eval_loads(
    environment: Environment, cut: str, flags: tuple[str, ...]
) -> None:
    """A file that was cut off when it was written, also where warnings are errors."""
    write_package(environment, "def register_model(:\n" if cut == "plugin" else WORKING)
    if cut != "plugin":
        (environment.packages / cut).write_text("def cut(off\n")
    result = environment.run("python", *flags, "-c", MODULES)
    assert result.stdout.startswith("built in ")
    (line,) = result.stderr.splitlines()
    assert line.startswith("harness_circuits could not connect to lm-eval")
    assert "SyntaxError" in line


def test_a_hook_that_is_cut_off_stops_nothing(environment: Environment) -> None:
    (environment.packages / HOOK).write_text((ROOT / HOOK).read_text()[:200])
    result = environment.run("python", "-W", "error", "-c", MODULES)
    assert result.stdout.startswith("built in ")
    assert HOOK in result.stderr  # Python says which file it passes over
