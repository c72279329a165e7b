"""Files are whole or absent, on full devices and after kills too, and checked where checksums are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.environments import ROOT

from harness_circuits.errors import CircuitError
from harness_circuits.machine.cache import CacheError, make_once
from harness_circuits.machine.files import (
    CHECKSUMS,
    ChecksumError,
    WriteError,
    check_checksum,
    check_writable,
    sweep_up,
    write_atomically,
    write_checksums,
    write_together,
)

HANGING = """
import os, sys, time
from pathlib import Path
from harness_circuits.machine import files
os.fsync = lambda handle: (print("writing", flush=True), time.sleep(600))
files.write_atomically(Path(sys.argv[1]), b"new")
"""
FULL = """
import resource, sys
from pathlib import Path
from harness_circuits.machine.files import WriteError, write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write_atomically(Path(sys.argv[1]), b"x" * 200)
except WriteError as error:
    print(error)
"""

FULL_TOGETHER = FULL.replace("write_atomically", "write_together").replace(
    'Path(sys.argv[1]), b"x" * 200',
    '{Path(sys.argv[1], "first"): b"x" * 50, Path(sys.argv[1], "second"): b"x" * 200}',
)


def start(code: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_device_that_takes_no_more_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    output, _ = start(FULL, path).communicate()
    assert f"{path} cannot be written: File too large. Free some space" in output
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_pipes_and_devices_are_written_to_and_stay_what_they_are(tmp_path: Path) -> None:
    """A rename would put a file in their place, as root even in that of `/dev/null`."""
    pipe, beside = tmp_path / "pipe", tmp_path / "beside"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_together({beside: b"file", pipe: b"stream"})
        assert os.read(reader, 100) == b"stream"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert beside.read_bytes() == b"file"
    assert sorted(os.listdir(tmp_path)) == ["beside", "pipe"]


def test_files_that_belong_together_are_all_new_or_all_old(tmp_path: Path) -> None:
    """The first fits, the second does not, or cannot have its name: neither is new."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"old")
    output, _ = start(FULL_TOGETHER, tmp_path).communicate()
    assert f"{second} cannot be written: File too large. Free some space" in output
    assert (first.read_bytes(), os.listdir(tmp_path)) == (b"old", ["first"])
    second.mkdir()
    with pytest.raises(WriteError, match=rf"^{second} cannot be written: Is a directory\."):
        write_together({first: b"new", second: b"new"})
    assert (first.read_bytes(), sorted(os.listdir(tmp_path))) == (b"old", ["first", "second"])
    second.rmdir()
    write_together({first: b"new", second: b"other"})
    assert (first.read_bytes(), second.read_bytes()) == (b"new", b"other")
    assert sorted(os.listdir(tmp_path)) == ["first", "second"]


def test_a_file_where_a_folder_belongs_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (lambda path: write_atomically(path / "x", b""), check_writable):
        with pytest.raises(WriteError) as error:
            write(tmp_path / "file")
        assert isinstance(error.value, CircuitError)
        assert "cannot be written" in str(error.value)


def test_leftovers_of_a_killed_write_are_removed_and_files_in_work_are_not(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    process = start(HANGING, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    (temporary,) = path.parent.iterdir()
    assert sweep_up(tmp_path) == 0
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert temporary.exists()
    assert sweep_up(tmp_path) == 1
    assert list(path.parent.iterdir()) == []


def test_the_next_write_of_a_file_removes_its_leftovers(tmp_path: Path) -> None:
    (tmp_path / ".file.0123.partial").touch()
    (tmp_path / ".other.0123.partial").touch()
    write_atomically(tmp_path / "file", b"")
    assert sorted(os.listdir(tmp_path)) == [".other.0123.partial", "file"]


def test_checksums_are_checked_where_there_are_any(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "file", b"content")
    other = write_atomically(tmp_path / "other", b"content")
    check_checksum(path)
    write_checksums(tmp_path, ["file"])
    check_checksum(path)
    subprocess.run(["sha256sum", "-c", "--quiet", CHECKSUMS], cwd=tmp_path, check=True)
    path.write_bytes(b"Content")
    other.write_bytes(b"Content")
    check_checksum(other)
    with pytest.raises(ChecksumError, match="is damaged or was changed"):
        check_checksum(path)


def test_weights_that_do_not_fit_into_the_cache_are_one_line(tmp_path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    def fill(work: Path) -> None:
        (work / "weights").mkdir()
        save_file({}, str(work / "weights"))  # a folder where the file belongs

    with pytest.raises((SafetensorError, OSError)):
        fill_in = tmp_path / "direct"
        fill_in.mkdir()
        fill(fill_in)
    with pytest.raises(CacheError, match="Cannot write the model cache"):
        make_once(tmp_path / "cache" / "model", fill)
    assert not list((tmp_path / "cache").glob(".*.partial"))
