"""A sweep of tiny models and a tiny task, as files; and the command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from helpers.environments import ROOT
from helpers.tiny_tasks import TASK, write_task
from helpers.tiny_tokenizer import save_tiny_model

COMMAND = "import sys; from harness_circuits.commands.main import main; sys.exit(main())"


def sweep_data(folder: Path, **changes: Any) -> dict[str, Any]:
    """A sweep of one tiny model, its folder and task made if they are not there."""
    if not (folder / "tiny").is_dir():
        save_tiny_model(folder / "tiny", "llama")
        write_task(folder)
    data = {
        "models": [str(folder / "tiny")],
        "tasks": [TASK],
        "methods": ["EAP", "random"],
        "sizes": [0.1, 0.5, 1],
        "options": {"bootstrap_iters": 20},
        "include_path": [str(folder)],
        "results": str(folder / "results"),
    }
    return data | changes


def write_sweep(folder: Path, **changes: Any) -> Path:
    """The same as a file."""
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep_data(folder, **changes)))
    return path


def start_sweep(path: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "sweep", str(path), *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def result_files(folder: Path) -> list[Path]:
    """Results of a sweep in `folder`, without artifacts."""
    return sorted((folder / "results").glob("*/*/*.json"))
