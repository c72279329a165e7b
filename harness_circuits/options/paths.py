"""Paths as they are given: what no file can be called is refused before anything is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness_circuits.errors import OptionError, shown

MOST_BYTES = 4096  # of a path
MOST_PART_BYTES = 255  # of a file's or folder's name


def read_path(value: Any, name: str, what: str = "a path") -> Path:
    """A path with its `~` expanded.

    Args:
        value: Text or a `Path`.
        name: What messages call the option.
        what: What messages say it has to be.

    Raises:
        OptionError: It is neither, is empty, or no file can be called so: too long, with NUL or half
            characters, or of a user who is not there.
    """
    if not isinstance(value, (str, os.PathLike)) or not isinstance(os.fspath(value), str):
        hint = ""
        if isinstance(value, (bool, int, float)):
            hint = f" (put a name that looks like a number in quotes: {name}='\"...\"')"
        raise OptionError(f"{name} is {what}, got {shown(value)}{hint}.")
    text = os.fspath(value)
    wrong = _wrong(text)
    if wrong is None:
        try:
            return Path(text).expanduser()
        except RuntimeError:
            wrong = "there is no such user"
    raise OptionError(f"{name} is {what}, got {shown(text)}: {wrong}.")


def _wrong(text: str) -> str | None:
    if not text.strip():
        return "it is empty"
    if "\0" in text or len(text.splitlines()) > 1:
        return "it holds a NUL or a line break"
    try:
        parts = text.encode().split(b"/")
    except UnicodeEncodeError:
        return "it holds half a character (a lone surrogate)"
    if len(text.encode()) > MOST_BYTES or max(map(len, parts)) > MOST_PART_BYTES:
        return f"a name has at most {MOST_PART_BYTES} bytes, a path {MOST_BYTES}"
    return None
