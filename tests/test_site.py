"""The documentation's site: built with warnings as errors, every page of `docs/` in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.environments import ROOT


def build(root: Path, to: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(to)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("site")
    done = build(ROOT, to)
    assert done.returncode == 0, done.stderr
    return to


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = [path.stem for path in (ROOT / "docs").glob("*.md") if path.stem != "index"]
    pages += ["tasks", "tasks/mib", "project/contributing", "project/changelog"]
    for page in pages:
        text = (site / page / "index.html").read_text("utf-8")
        assert "<h1" in text, page


def test_the_reference_has_what_the_package_hands_on(site: Path) -> None:
    text = (site / "reference" / "index.html").read_text("utf-8")
    for name in ("load_model", "discover", "select", "faithfulness", "Scores", "Circuit"):
        assert '<span class="doc doc-object-name' in text and f">{name}</span>" in text, name


def test_a_link_to_nowhere_fails_the_build(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("docs", "tasks"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, copy)
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    config = config.replace("  - mkdocstrings:", "  - mkdocstrings:\n      enabled: false", 1)
    (copy / "mkdocs.yml").write_text(config)
    with (copy / "docs" / "faq.md").open("a") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    done = build(copy, tmp_path / "out")
    assert done.returncode != 0 and "nowhere.md" in done.stderr
