"""What the repository keeps of results: put there from a sweep's folder, and put back into one.

Beside each result are values per pair and what drawings need, gzipped; no scores, no circuits, no path of
the machine. Put back, kept results count as done, so that a sweep goes on from a clone.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness_circuits.machine.files import write_atomically, write_checksums
from harness_circuits.machine.packed import SUFFIX, pack, read_stored
from harness_circuits.records.checksum import sign
from harness_circuits.records.circuit_view import VIEW_FILE
from harness_circuits.records.results_file import EXAMPLES_FILE

KEPT_FILES = (EXAMPLES_FILE, VIEW_FILE)


def put_back(files: Iterable[Path], kept: Path, made: Path) -> None:
    """Put kept results into a sweep's folder, those that it has not.

    Args:
        files: The kept results.
        kept: Where they are.
        made: The sweep's folder.
    """
    for file in files:
        copy = made / file.relative_to(kept)
        if copy.exists():
            continue
        for packed in file.with_suffix("").rglob(f"*{SUFFIX}"):
            text = packed.with_suffix("")
            write_atomically(made / text.relative_to(kept), read_stored(text).encode())
        write_atomically(copy, file.read_bytes())  # last, as what has a result is done


def copy_results(files: Iterable[Path], made: Path, kept: Path, stay: Iterable[Path] = ()) -> None:
    """Put results in the place of kept ones, without scores and circuits.

    Args:
        files: The results, in a sweep's folder.
        made: That folder.
        kept: Where they are put.
        stay: Kept results that are not removed.

    Raises:
        SystemExit: A result names a path of the machine that it was made on.
    """
    remaining = set(stay)
    for file in kept.glob("*/*_circuit/*.json"):
        if file not in remaining:
            shutil.rmtree(file.with_suffix(""), ignore_errors=True)
            file.unlink()
    for file in files:
        copy = kept / file.relative_to(made)
        write_atomically(copy, without_paths(file, made).encode())
        for folder in sorted(path for path in file.with_suffix("").glob("*") if path.is_dir()):
            texts = {
                name: (folder / name).read_text()
                for name in KEPT_FILES
                if (folder / name).is_file()
            }
            if EXAMPLES_FILE in texts:
                texts[EXAMPLES_FILE] = shorter(texts[EXAMPLES_FILE])
            target = kept / folder.relative_to(made)
            for name, text in texts.items():
                write_atomically(target / f"{name}{SUFFIX}", pack(text))
            if texts:
                write_checksums(target, [f"{name}{SUFFIX}" for name in texts])


def without_paths(file: Path, made: Path) -> str:
    """A result as the repository has it: its artifacts and its task's file are named from there."""
    text = file.read_text()
    data = json.loads(text)
    cell = file.with_suffix("").relative_to(made).as_posix()
    roots = {str(data["config"]["circuit"].get("artifacts") or "").removesuffix(cell): "results/"}
    for task in data.get("configs", {}).values():
        source = str(task.get("metadata", {}).get("config_source", ""))
        roots[source.rpartition("tasks/")[0]] = ""
    for absolute, relative in roots.items():
        text = text.replace(json.dumps(absolute)[1:-1], relative) if absolute else text
    if found := sorted({path for path in re.findall(r'"(/[^"\s]+/[^"\s]*)"', text)}):
        raise SystemExit(f"{file} would tell paths of this machine: {', '.join(found)}.")
    data = json.loads(text)
    if "checksum" not in data["config"]["circuit"]:
        return text
    sign(data)
    return json.dumps(data, indent=2, ensure_ascii=False)


def shorter(text: str) -> str:
    """Values per example to nine digits, which tell every number of single precision."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: short(item) for name, item in value.items()}
        if isinstance(value, list):
            return [short(item) for item in value]
        return float(f"{value:.9g}") if isinstance(value, float) else value

    rows = (short(json.loads(line)) for line in text.splitlines())
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
