"""How files are written: whole or not at all, on the disk before they have their name, and checkable.

A file is written under a temporary name beside its own, synced, renamed, and the folder synced. While it
is being written the temporary file is locked, which the operating system undoes however the process
ends: so `sweep_up` can tell what a killed process has left from what another is writing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness_circuits.errors import CircuitError, CircuitFileError

PARTIAL = ".partial"  # how temporary names end
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of devices that take no more
CHECKSUMS = "SHA256SUMS"  # as `sha256sum` writes and checks it
_BLOCK = 1 << 20
_PROBE = 1 << 16  # bytes


class WriteError(CircuitError, OSError):
    """A file cannot be written: a full device, a read-only folder, a file where a folder belongs."""


class ChecksumError(CircuitFileError):
    """A file does not hold what was written to it."""


def write_atomically(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all.

    Args:
        path: The file; folders above it are made.
        data: What it holds.

    Raises:
        WriteError: It cannot be written. What was there before is as it was.
    """
    write_together({path: data})
    return path


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files all or none: the first gets its name when the last is on the disk, under another.

    Only a process that is killed between the renames, which follow one another at once, leaves some of
    them new and some old. What is no file but a device or a pipe (`/dev/stdout`) is written to, never
    replaced.

    Args:
        files: What each holds; folders above them are made.

    Raises:
        WriteError: One cannot be written. What was there before is as it was.
    """
    streams = [path for path in files if _is_stream(path)]
    with ExitStack() as ready:
        temporaries = {
            path: _ready(path, data, ready) for path, data in files.items() if path not in streams
        }
        for path in files:
            with writing(path):
                if path.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        for path in streams:
            with writing(path), path.open("wb") as stream:
                stream.write(files[path])
        for path, temporary in temporaries.items():
            with writing(path):
                os.replace(temporary, path)
    for folder in {path.parent for path in temporaries}:
        sync_folder(folder)


def _is_stream(path: Path) -> bool:
    """Whether there is something of this name that is neither a file nor a folder."""
    with writing(path):
        return path.exists() and not (path.is_file() or path.is_dir())


def _ready(path: Path, data: bytes, stack: ExitStack) -> str:
    """A temporary file with what `path` is to hold, locked and removed as `stack` says."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_up(path.parent, path.name)
        handle, temporary = _temporary(path)
        stack.callback(os.close, handle)
        stack.callback(Path(temporary).unlink, missing_ok=True)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fchmod(handle, 0o666 & ~_umask())
        os.fsync(handle)
    return temporary


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Have what fails while a file or folder is being written be one line that names it.

    Raises:
        WriteError: It cannot be written.
    """
    try:
        yield
    except CircuitError:
        raise
    except OSError as error:
        full = error.errno in FULL
        way_out = "Free some space" if full else "Make the folder writable"
        raise WriteError(
            f"{path} cannot be written: {error.strerror or error}. {way_out}, or name another folder."
        ) from error


def _temporary(path: Path) -> tuple[int, str]:
    """A locked new file beside `path`."""
    while True:
        handle, name = tempfile.mkstemp(PARTIAL, f".{path.name}.", path.parent)
        _lock(handle)
        if os.fstat(handle).st_nlink:  # nobody took it for a leftover before it was locked
            return handle, name
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file; False if another process has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        return error.errno not in (errno.ENOLCK, errno.ENOTSUP)
    return True


def sweep_up(folder: Path, name: str | None = None) -> int:
    """Remove temporary files that killed processes have left.

    Args:
        folder: Where to look.
        name: Only those of a file of this name in the folder; by default all, in folders below too.

    Returns:
        How many were removed.
    """
    count = 0
    try:
        if name is None:
            found = [path for path in folder.rglob(f".*{PARTIAL}") if path.is_file()]
        else:
            names = os.listdir(folder)
            found = [folder / x for x in names if x.startswith(f".{name}.") and x.endswith(PARTIAL)]
    except OSError:
        return 0
    for path in found:
        count += _remove_leftover(path)
    return count


def _remove_leftover(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if not _lock(file.fileno()):
                return False
            path.unlink()
    except OSError:  # gone meanwhile, or not ours to remove
        return False
    return True


def remove(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        WriteError: It cannot be removed.
    """
    with writing(path):
        try:
            path.unlink()
        except OSError:
            if os.path.lexists(path):
                raise


def check_writable(folder: Path) -> None:
    """Make sure that a folder takes a file of some size.

    Raises:
        WriteError: It does not.
    """
    probe = folder / f".writable{PARTIAL}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(probe, bytes(_PROBE))
        probe.unlink(missing_ok=True)


def rename_folder(source: Path, target: Path) -> None:
    """Give a filled folder its final name, with everything in it on the disk before.

    Raises:
        OSError: It cannot be written or renamed.
    """
    for folder, _, files in os.walk(source):
        for name in files:
            _sync(Path(folder) / name)
        sync_folder(Path(folder))
    os.rename(source, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot
            raise
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Checksum of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Write the checksums of files of a folder beside them.

    Raises:
        WriteError: They cannot be written.
    """
    lines = [f"{sha256(folder / name)}  {name}\n" for name in sorted(names)]
    write_atomically(folder / CHECKSUMS, "".join(lines).encode())


def check_checksum(path: Path) -> None:
    """Make sure that a file is what its folder's checksums say, if they say anything.

    Raises:
        ChecksumError: It is not.
    """
    try:
        text = (path.parent / CHECKSUMS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeError) as error:
        raise ChecksumError(f"{path.parent / CHECKSUMS} cannot be read: {error}.") from error
    lines = (line.partition("  ") for line in text.splitlines())
    listed = {name: checksum for checksum, _, name in lines}
    if path.name in listed and path.is_file() and sha256(path) != listed[path.name]:
        raise ChecksumError(
            f"{path} is damaged or was changed: its checksum is not the one in {CHECKSUMS}. Make it "
            f"again, or delete {CHECKSUMS} if the change was meant."
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
