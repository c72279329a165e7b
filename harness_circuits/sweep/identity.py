"""What makes a cell the same cell: configuration, package version, model and pairs.

Weights are not loaded for it. A model from the hub is its commit; one in a folder is its files.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from harness_circuits import __version__
from harness_circuits.errors import OptionError
from harness_circuits.loading.fingerprint import adapter_fingerprint, folder_fingerprint
from harness_circuits.loading.load import resolve
from harness_circuits.sweep.cell import Cell

NOT_IDENTITY = ("pretrained", "device", "batch_size")


def cell_identity(cell: Cell, model: str, pairs: str, limit: int | None) -> str:
    """A hash that is the same where the same result has to come out.

    Args:
        cell: The cell.
        model: Fingerprint of its model.
        pairs: Fingerprint of its task's documents.
        limit: Evaluation documents per task.
    """
    arguments = {key: value for key, value in cell.model.items() if key not in NOT_IDENTITY}
    parts = [cell.settings.to_dict(), arguments, cell.task, model, pairs, limit, __version__]
    return digest(json.dumps(parts, sort_keys=True).encode())


def unplanned_identity(cell: Cell) -> str:
    """A name for a cell whose options, model or task cannot be read."""
    return digest(cell.key.encode())


def model_fingerprint(arguments: dict[str, Any]) -> str:
    """Which weights a model's arguments stand for.

    Raises:
        OptionError: There is no such model.
    """
    source, name = resolve(arguments.get("pretrained"))
    peft = arguments.get("peft")
    name = name if peft is None else f"{name}+{adapter_fingerprint(peft)}"
    folder = Path(source)
    if folder.is_dir():
        return f"{name}-{folder_fingerprint(folder)}"
    from transformers import AutoConfig

    revision = str(arguments.get("revision", "main"))
    trusted = bool(arguments.get("trust_remote_code", False))
    try:
        config = AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=trusted)
    except (OSError, ValueError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise OptionError(
            f"pretrained={source} (revision {revision}) cannot be read: {lines[0]} Give a folder with "
            "config.json and weights, a .gguf file, or the id of a model on the hub."
        ) from error
    return f"{name}-{getattr(config, '_commit_hash', None) or revision}"


def digest(data: bytes) -> str:
    """A short hash."""
    return hashlib.sha256(data).hexdigest()[:16]
