"""Files of custom pairs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

TASK = "custom_circuit"


WORDS = ("cat", "cats", "dog", "dogs", "one", "two", "three")


def row(word: str, other: str, **more: Any) -> dict[str, Any]:
    return {
        "clean": f"The {word}",
        "corrupted": f"The {other}",
        "correct": " A",
        "incorrect": [" B", " C"],
        **more,
    }


ROWS = [row(a, b) for a in WORDS for b in WORDS if a != b]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        from datasets import Dataset

        rows = [{**r, "correct": [r["correct"]]} for r in rows]
        Dataset.from_list(rows).to_parquet(path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            for r in rows:
                lists = {k: json.dumps(v) for k, v in r.items() if isinstance(v, list)}
                writer.writerow({**r, **lists})
    else:
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path
