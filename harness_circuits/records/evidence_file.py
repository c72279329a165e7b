"""Evidence as results files and artifacts hold it: by kind, each with the lines that were printed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness_circuits.errors import CircuitFileError, shown
from harness_circuits.machine.files import ChecksumError
from harness_circuits.machine.packed import is_stored, read_stored
from harness_circuits.records.fields import Fields, ResultFileError

EVIDENCE_FILE = "evidence.json"
MOST_BYTES = 2**26


def evidence_bytes(evidence: Mapping[str, Any]) -> bytes:
    """What stands in a file of artifacts."""
    return json.dumps(evidence, indent=1).encode()


def read_evidence(kinds: Fields) -> dict[str, dict[str, Any]]:
    """Evidence by kind, as it was written; of each the lines of text are checked.

    Raises:
        ResultFileError: A kind has no `summary`.
    """
    found = {name: kinds.child(name) for name in kinds.data}
    return {
        name: {**own.data, "summary": list(own.texts("summary"))} for name, own in found.items()
    }


def evidence_beside(folder: Path) -> dict[str, dict[str, Any]]:
    """Evidence among a task's artifacts; none where there is no such file.

    Raises:
        CircuitFileError: It cannot be read.
    """
    path = folder / EVIDENCE_FILE
    if not is_stored(path):
        return {}
    try:
        data = json.loads(read_stored(path, MOST_BYTES))
        return read_evidence(Fields({"evidence": data}, "the file").child("evidence"))
    except (ChecksumError, ResultFileError) as error:
        raise CircuitFileError(f"{path}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise CircuitFileError(f"{path} is no file of evidence: {shown(error)}.") from error
