"""Every folder says what lives there, and hands on names that lead where their modules do."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import pytest
from helpers.environments import ROOT

from harness_circuits.registry import on_first_use

PACKAGE = ROOT / "harness_circuits"
FOLDERS = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for path in PACKAGE.rglob("__init__.py")
    if path.parent != PACKAGE
)
# Their public faces are the command line, and what Inspect finds by an entry point.
WITHOUT_NAMES = ("harness_circuits.commands", "harness_circuits.inspect")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_lives_there_and_hands_on_its_names(folder: str) -> None:
    package = import_module(folder)
    first = (package.__doc__ or "").splitlines()[0]
    assert 20 < len(first) <= 106 and first.endswith((".", ":", "torch."))
    if folder in WITHOUT_NAMES:
        return
    assert package.__all__ == sorted(package.__all__, key=lambda name: (not name.isupper(), name))
    modules = {info.name for info in iter_modules(package.__path__)}
    for name in package.__all__:
        value = getattr(package, name)
        assert value is getattr(package, name)
        assert not isinstance(value, ModuleType)
        home = getattr(value, "__module__", folder)
        assert name not in modules or home.endswith(f".{name}"), f"{name} hides a module"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_a_name_is_imported_when_it_is_first_used() -> None:
    get = on_first_use("harness_circuits", {"parse_sizes": "circuits.sizes"})
    assert get("parse_sizes") is import_module("harness_circuits.circuits.sizes").parse_sizes
    with pytest.raises(AttributeError, match="module 'harness_circuits' has no attribute 'x'"):
        get("x")


def test_few_modules_are_loose() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8
