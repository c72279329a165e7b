"""One file out of an archive of Inspect's (`.eval`): a zip of JSON files, packed by Zstandard.

Archives come from anywhere. Only members that are asked for are read, into memory and never onto the
disk, and none that says, or turns out, to be larger than `MOST_BYTES`.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness_circuits.errors import shown
from harness_circuits.records.fields import ResultFileError, parse_json

MOST_BYTES = 2**28  # of one member, unpacked
MOST_MEMBERS = 1_000_000
ZSTANDARD = 93  # as zip files call it; Python's own reader knows it from 3.14 on
# A member's own header: mark, lengths of its name and of what follows.
_LOCAL = struct.Struct("<4s22xHH")
_ENCRYPTED = 1


class Archive:
    """An open archive."""

    def __init__(self, path: Path) -> None:
        """Read its table of contents.

        Raises:
            ResultFileError: It is no zip file, or has too many members.
        """
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = archive.NameToInfo
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise ResultFileError(f"not readable as an archive of Inspect's: {error}") from error
        if len(self._members) > MOST_MEMBERS:
            raise ResultFileError(
                f"an archive of {len(self._members)} files, more than any log has"
            )

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def names(self, folder: str) -> Iterator[str]:
        """Names of the JSON files in a folder of the archive, in order."""
        for name in sorted(self._members):
            if name.startswith(f"{folder}/") and name.endswith(".json"):
                yield name

    def json(self, name: str) -> Any:
        """What a JSON file of the archive holds.

        Raises:
            ResultFileError: It is not there, too large, damaged, or no JSON.
        """
        return parse_json(self._read(name))

    def _read(self, name: str) -> bytes:
        member = self._members.get(name)
        if member is None:
            raise ResultFileError(f"the archive has no {name}")
        where = f"{shown(name)} in the archive"
        if member.file_size > MOST_BYTES:
            raise ResultFileError(f"{where} has {member.file_size} bytes, more than {MOST_BYTES}")
        if member.flag_bits & _ENCRYPTED:
            raise ResultFileError(f"{where} is encrypted")
        try:
            found = self._unpacked(member)
        except (
            OSError,
            ValueError,
            EOFError,
            struct.error,
            zlib.error,
            zipfile.BadZipFile,
        ) as error:
            raise ResultFileError(f"{where} is damaged: {error}") from error
        except NotImplementedError as error:
            raise ResultFileError(f"{where} is packed in an unknown way") from error
        if len(found) != member.file_size or zlib.crc32(found) != member.CRC:
            raise ResultFileError(f"{where} is damaged: it does not match its checksum")
        return found

    def _unpacked(self, member: zipfile.ZipInfo) -> bytes:
        """A member's bytes, at most as many as it says to have."""
        if member.compress_type != ZSTANDARD:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
                return file.read(member.file_size + 1)
        import pyarrow

        packed = _packed(self.path, member)
        return pyarrow.decompress(packed, member.file_size, codec="zstd", asbytes=True)


def _packed(path: Path, member: zipfile.ZipInfo) -> bytes:
    with path.open("rb") as file:
        file.seek(member.header_offset)
        mark, name, more = _LOCAL.unpack(file.read(_LOCAL.size))
        if mark != b"PK\x03\x04":
            raise ValueError("it does not begin where the archive says")
        file.seek(name + more, 1)
        if not 0 <= member.compress_size <= path.stat().st_size:
            raise ValueError("it is longer than the archive")
        return file.read(member.compress_size)
