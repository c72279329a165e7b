"""Which weights a model has: a hash of a folder's files, or a commit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness_circuits.loading.default_model import MANIFEST

READ_AT_ENDS = 1 << 20


def weights_fingerprint(folder: Path) -> str:
    """A hash of a model's files; of a converted GGUF file, its own, whichever version converted it."""
    try:
        digest = json.loads((folder / MANIFEST).read_text())["source_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return folder_fingerprint(folder)
    return str(digest)[:16]


def folder_fingerprint(folder: Path) -> str:
    """A hash of a folder's files: names, sizes, and contents, of large files both ends."""
    hashed = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith("."):
            continue
        size = path.stat().st_size
        hashed.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            hashed.update(file.read(READ_AT_ENDS))
            if size > READ_AT_ENDS:
                file.seek(max(READ_AT_ENDS, size - READ_AT_ENDS))
                hashed.update(file.read())
    return hashed.hexdigest()[:16]


def adapter_fingerprint(peft: str) -> str:
    """The same for an adapter; one on the hub is told by its id."""
    folder = Path(peft).expanduser()
    return folder_fingerprint(folder) if folder.is_dir() else peft
