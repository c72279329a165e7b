"""`inspect view` in a real browser: the curve, the metrics with intervals, and every pair."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.result_files import examples, write_run

pytest.importorskip("inspect_ai", reason="the extra harness_circuits[inspect]")

from harness_circuits.commands.main import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium)"
)
N = 12
START_SECONDS = 120


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the viewer serves one exported log."""
    folder = tmp_path_factory.mktemp("viewer")
    file = write_run(folder / "run", examples(n=N))
    rows = []
    for number in range(N):
        doc = {"clean": f"Mary and John, pair {number},", "choices": [" Mary", " John"]}
        rows.append({"doc_id": number, "doc": {**doc, "correct": [0], "incorrect": [1]}, "acc": 1})
    samples = file.parent / f"samples_ioi_circuit_{file.stem.removeprefix('results_')}.jsonl"
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    main(["export-inspect", str(file), "--output", str(folder / "logs")])
    port = free_port()
    run = "from inspect_ai._cli.main import main; main()"
    where = ["--log-dir", str(folder / "logs"), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-c", run, "view", *where],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/", server)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(2 * START_SECONDS):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "inspect view ended"
            time.sleep(0.5)
    raise AssertionError(f"inspect view does not answer at {url}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_log_is_shown(address: str, scheme: Any) -> None:
    from playwright.sync_api import expect, sync_playwright

    complaints: list[str] = []
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: r.url.startswith(address) or complaints.append(r.url))
        page.goto(address)
        page.get_by_text("ioi").first.click()
        expect(page.get_by_text("CMD_CI95_LOW", exact=False).first).to_be_visible()
        expect(page.get_by_text("12 Samples", exact=True)).to_be_visible()
        expect(page.get_by_text("CIRCUIT@0.1", exact=False).first).to_be_visible()
        if scheme == "light":
            look_closer(page)
        browser.close()
    own = [text for text in complaints if not text.startswith(("data:", "blob:"))]
    assert own == []


def look_closer(page: Any) -> None:
    """Look at the curve among the metadata, and at one pair."""
    from playwright.sync_api import expect

    page.get_by_role("tab", name="INFO").click()
    expect(page.get_by_text("95% interval").first).to_be_visible()
    expect(page.get_by_text("by |score|").first).to_be_visible()
    page.get_by_role("tab", name="SAMPLES").click()
    page.get_by_text("Mary and John, pair 3,").first.click()
    page.get_by_role("tab", name="SCORING").click()
    expect(page.get_by_role("cell", name="0.01", exact=True).first).to_be_visible()
    expect(page.get_by_text("for the empty circuit").first).to_be_visible()
