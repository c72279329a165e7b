"""Files of circuits of each task on all tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness_circuits.records.transfer import Transfer, TransferMatrix

SIZES = (0.05, 0.2)


def made_transfer(tasks: Sequence[str], model: str = "tiny") -> Transfer:
    """Made-up matrices: faithful on the diagonal, and less beside it."""
    n = len(tasks)
    shape = np.full((n, n), 0.25) + 0.5 * np.eye(n)
    random = np.full((n, n), 0.05)
    matrices = [
        TransferMatrix(
            *("absolute", size, [10 * (at + 1)] * n, (shape + at * 0.125).tolist()),
            *((shape + at * 0.125 + end).tolist() for end in (-0.0625, 0.0625)),
            *(random.tolist(), ((shape - random) / (1 - random)).tolist()),
            *(np.eye(n).tolist(), (np.eye(n) * 0.9 + 0.1).tolist()),
        )
        for at, size in enumerate(SIZES)
    ]
    settings = {"method": "EAP", "ablation": "patching", "null_circuits": 5}
    pairs = (4,) * n
    return Transfer(model, tuple(tasks), pairs, pairs, settings, tuple(matrices), ("few pairs",))


def write_transfer(path: Path, tasks: Sequence[str], model: str = "tiny") -> Path:
    """The same as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made_transfer(tasks, model).to_dict()))
    return path
