"""What the site adds to `docs/`: pages that lie elsewhere in the repository, with their links mended."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
# Place in the site: place in the repository.
ELSEWHERE = {
    "tasks/index.md": "tasks/README.md",
    "tasks/mib.md": "tasks/mib/README.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/changelog.md": "CHANGELOG.md",
}
LINK = re.compile(r"(!?\[[^\]\n]*\])\((?!https?://|#|mailto:)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere."""
    for place, source in ELSEWHERE.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Let links lead to pages of the site; what is no page of it becomes a name."""
    place = page.file.src_uri
    source = ELSEWHERE.get(place, f"docs/{place}")
    pages = {f"docs/{file.src_uri}": file.src_uri for file in files}
    pages |= {in_repository: in_site for in_site, in_repository in ELSEWHERE.items()}

    def mended(match: re.Match[str]) -> str:
        text, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if there in pages:
            return f"{text}({posixpath.relpath(pages[there], posixpath.dirname(place) or '.')}{anchor})"
        if (ROOT / there).exists():
            return f"{text[1:-1]} (`{there}`)"
        return match.group(0)  # which the strict build reports

    return LINK.sub(mended, markdown)
