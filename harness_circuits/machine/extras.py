"""How to install what an optional part of this package needs: it is on no package index."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

PACKAGE = "harness_circuits"


def how_to_install(extra: str) -> str:
    """The command that installs an extra: from the checkout that runs, or package by package."""
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():
        return f'pip install -e "{root}[{extra}]"'
    return f"pip install {' '.join(repr(package) for package in packages_of(extra))}"


def packages_of(extra: str) -> list[str]:
    """What an extra requires, as the installed package's metadata have it."""
    pattern = re.compile(r"^(?P<package>[^;]+?)\s*;.*extra\s*==\s*['\"]" + re.escape(extra))
    found = (pattern.match(line) for line in metadata.requires(PACKAGE) or ())
    return [match["package"].strip() for match in found if match]
