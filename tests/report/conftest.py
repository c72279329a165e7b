"""Pages of results, and a browser that opens them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import ARGUMENTS, CHROMIUM, HOSTILE
from helpers.example_evidence import example_evidence
from helpers.result_files import examples, with_task, write_run
from helpers.transfer_files import write_transfer

from harness_circuits.commands.main import main

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leaderboard of three methods with artifacts, and a run with hostile names."""
    folder = tmp_path_factory.mktemp("page")
    for seed, (method, shift) in enumerate([("EAP-IG-inputs", 0), ("EAP", -0.4), ("random", -1.5)]):
        evidence = example_evidence() if method == "EAP" else None
        records = examples(seed, 30, shift=shift)
        write_run(folder / "in" / method, records, method=method, evidence=evidence)
    hostile = with_task(examples(5, 30, task="x"), HOSTILE)
    how = {"method": "exact", "model": HOSTILE, "evidence": example_evidence(HOSTILE)}
    write_run(folder / "in" / "hostile", hostile, with_examples=False, **how)
    (folder / "in" / f"{HOSTILE[:3].replace('/', '')}.json").write_text("{")
    tasks = ["ioi_circuit", "sva_circuit", HOSTILE]
    write_transfer(folder / "in" / "transfer" / "EAP.json", tasks, model=HOSTILE)
    main(["leaderboard", str(folder / "in"), "--output", str(folder)])
    artifacts = folder / "in" / "EAP" / "artifacts" / "ioi_circuit"
    main(["draw", str(artifacts), "--output", str(folder / "circuit.html")])
    scores = str(artifacts / "scores.safetensors")
    main(["draw", scores, "--output", str(folder / "scores.html")])
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page(browser: Any, folder: Path) -> Iterator[Open]:
    """Opens a page; in the end there must have been no error, no dialog and no request."""
    complaints: list[str] = []

    def start(name: str = "leaderboard.html", width: int = 1200, scheme: str = "light") -> Any:
        tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        url = (folder / name).as_uri()
        tab.on("request", lambda request: request.url != url and complaints.append(request.url))
        tab.goto(url)
        return tab

    yield start
    assert [text for text in complaints if not text.startswith(("data:", "blob:"))] == []
