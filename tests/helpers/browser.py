"""Chromium for tests of pages, and what their compressed data say."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium)"
)
HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\"><b>bold</b>"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def page_views(page: str) -> list[dict[str, Any]]:
    """The data that a page holds for `circuit.js`."""
    (packed,) = re.findall(r'id="views">([^<]*)<', page)
    found: list[dict[str, Any]] = json.loads(gzip.decompress(base64.b64decode(packed)))["views"]
    return found
