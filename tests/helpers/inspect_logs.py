"""Logs as Inspect writes them, made without Inspect."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from helpers.result_files import result_json

from harness_circuits.evaluation.summary import ExampleRecord
from harness_circuits.records.eval_archive import ZSTANDARD
from harness_circuits.records.pair_scores import metrics_of, pair_score


def log_json(records: Sequence[ExampleRecord], **how: Any) -> dict[str, Any]:
    """A log with its samples.

    Args:
        records: Values of the pairs.
        **how: As for `result_json`.
    """
    data = result_json(list(records), **how)
    scores = [pair_score(record, {"acc": 1.0}) for record in records]
    metrics = metrics_of([(score.values, score.details) for score in scores])
    samples = [
        {
            "id": at + 1,
            "epoch": 1,
            "scores": {"circuit_values": {"value": score.values, "metadata": score.details}},
        }
        for at, score in enumerate(scores)
    ]
    score = {
        "name": "circuit_values",
        "scored_samples": len(records),
        "metrics": {name: {"name": name, "value": value} for name, value in metrics.items()},
    }
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "created": "2026-01-02T03:04:05+00:00",
            "task": "harness_circuits/ioi",
            "metadata": {"harness_circuits": {"config": data["config"]}},
        },
        "results": {"scores": [score]},
        "samples": samples,
    }


def write_archive(path: Path, log: Mapping[str, Any], *, packed: bool = True) -> Path:
    """A `.eval` file: packed by Zstandard as Inspect does, or by zip's own method."""
    members = {"header.json": {key: log[key] for key in log if key != "samples"}}
    for sample in log.get("samples", ()):
        members[f"samples/{sample['id']}_epoch_1.json"] = sample
    contents = {name: json.dumps(content).encode() for name, content in members.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path.write_bytes(zip_of(contents))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
    return path


def zip_of(contents: Mapping[str, bytes], **lies: int) -> bytes:
    """A zip file of members packed by Zstandard, which Python's own writer cannot write.

    Args:
        contents: By name.
        **lies: `size` and `crc` of every member, in place of the true ones.
    """
    out, table = b"", b""
    for name, content in contents.items():
        packed = pyarrow.compress(content, codec="zstd", asbytes=True)
        size, crc = lies.get("size", len(content)), lies.get("crc", zlib.crc32(content))
        facts = struct.pack(
            "<HHHHHIIIHH", 20, 0, ZSTANDARD, 0, 0, crc, len(packed), size, len(name), 0
        )
        table += b"PK\x01\x02" + struct.pack("<H", 20) + facts
        table += struct.pack("<HHHII", 0, 0, 0, 0, len(out)) + name.encode()
        out += b"PK\x03\x04" + facts + name.encode() + packed
    n = len(contents)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, n, n, len(table), len(out), 0)
    return out + table + end
