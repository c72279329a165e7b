"""Folders that are made once and kept in the user's cache."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness_circuits.errors import CircuitError, one_line
from harness_circuits.machine.files import rename_folder

CACHE_VARIABLE = "HARNESS_CIRCUITS_CACHE"

logger = logging.getLogger(__name__)


class CacheError(CircuitError):
    """The cache folder cannot be written."""


def cache_folder() -> Path:
    """Return the folder for converted models: `$HARNESS_CIRCUITS_CACHE`, or the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("harness_circuits", appauthor=False)


def make_once(
    target: Path, fill: Callable[[Path], None], is_intact: Callable[[Path], bool] = Path.is_dir
) -> Path:
    """Return a folder, filling it first unless it is there.

    Safe to call from several processes at once: one fills the folder, the others wait for it. It gets
    its name only when it is complete.

    Args:
        target: The folder.
        fill: Writes the contents into a working folder beside it.
        is_intact: Whether the folder is there and can be used.

    Raises:
        CacheError: It cannot be written.
    """
    if is_intact(target):
        return target
    from filelock import FileLock
    from safetensors import SafetensorError

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not is_intact(target):
                _fill(target, fill)
    except (OSError, SafetensorError) as error:  # the latter where weights cannot be written
        raise CacheError(
            f"Cannot write the model cache {target.parent}: {_reason(error)}. Free some "
            f"space, or set {CACHE_VARIABLE} to another folder."
        ) from error
    return target


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or one_line(error).rstrip(".")


def _fill(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a working folder, then rename it. The caller holds the lock."""
    work = target.with_name(f".{target.name}.partial")
    shutil.rmtree(work, ignore_errors=True)  # left by a process that was killed
    work.mkdir()
    try:
        fill(work)
        if target.exists():
            logger.warning("%s is damaged; replacing it", target)
            shutil.rmtree(target)
        rename_folder(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
