"""Texts as they are and gzipped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_circuits.machine.files import ChecksumError, write_checksums
from harness_circuits.machine.packed import is_stored, pack, read_stored, stored


@given(text=st.text(max_size=50))
def test_both_ways_hold_the_same_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    plain, packed = (tmp_path_factory.mktemp(name) / "view.json" for name in ("plain", "packed"))
    assert not is_stored(plain)
    plain.write_bytes(text.encode())
    packed.with_name("view.json.gz").write_bytes(pack(text))
    assert is_stored(plain) and is_stored(packed) and stored(plain) == plain
    assert read_stored(plain) == read_stored(packed) == text


def test_what_was_changed_is_cut_or_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path, file = tmp_path / "view.json", tmp_path / "view.json.gz"
    data = pack("0" * 10**6)
    for broken in (b"no gzip", data[:100], data[:20] + b"?" * 20 + data[40:]):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match="gzip"):
            read_stored(path)
    file.write_bytes(data)
    with pytest.raises(ValueError, match="larger than 1000 bytes"):
        read_stored(path, 1000)
    write_checksums(tmp_path, [file.name])
    file.write_bytes(pack("1"))
    with pytest.raises(ChecksumError):
        read_stored(path)
