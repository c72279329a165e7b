"""Text files that lie as they are or gzipped: `view.json`, or `view.json.gz` in its place.

Runs write them as they are; published results, of which there are many, keep them gzipped.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from harness_circuits.machine.files import check_checksum

SUFFIX = ".gz"
MOST_BYTES = 1_000_000_000


def stored(path: Path) -> Path:
    """The file that holds the text: the path itself, or gzipped where only that is there."""
    packed = path.with_name(path.name + SUFFIX)
    return packed if packed.is_file() and not path.is_file() else path


def is_stored(path: Path) -> bool:
    """Whether the text is there, as it is or gzipped."""
    return stored(path).is_file()


def read_stored(path: Path, most: int = MOST_BYTES) -> str:
    """The text of a file, which is what the checksums beside it say, if they say anything.

    Args:
        path: Its name without `.gz`.
        most: Bytes that it may have, unpacked.

    Raises:
        ChecksumError: It was changed.
        OSError: It is not readable.
        ValueError: It is larger, is no gzip file in spite of its name, or not UTF-8.
    """
    file = stored(path)
    check_checksum(file)
    try:
        with gzip.open(file) if file != path else path.open("rb") as opened:
            data = opened.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"it is no whole gzip file: {error}") from error
    if len(data) > most:
        raise ValueError(f"it is larger than {most} bytes")
    return data.decode("utf-8")


def pack(text: str) -> bytes:
    """Text gzipped, the same bytes each time."""
    return gzip.compress(text.encode(), 9, mtime=0)
