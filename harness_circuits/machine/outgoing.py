"""Text and names on their way out of the program: to a terminal, a file, a spreadsheet, a path.

What comes from files and task definitions may hold anything: escape codes that repaint a terminal, marks
that turn the direction of writing round, cells that a spreadsheet computes, names that lead out of a
folder. It is cleaned here, once, where it leaves.
"""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata

from harness_circuits.errors import escaped

MOST_BYTES = 200  # of a file's name; most systems take 255
MOST_CHARACTERS = 40  # of a name that had to be changed
SHOWN_PARTS = 3  # of an absolute path, at its end
_ABSOLUTE = re.compile(r"(?<![\w.~…/-])(?:/[^\s/,;:'\"<>]+){2,}")
_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r]")


def clean(text: object) -> str:
    r"""A line whose characters all show: others are written as escapes, ASCII spaces stay.

    >>> clean("a\x1b[31m\u202eb  c")
    'a\\x1b[31m\\u202eb  c'
    """
    return "".join(c if _shows(c) else escaped(c) for c in str(text))


def clean_lines(text: str) -> str:
    """A text of several lines, each of them clean."""
    return "\n".join(map(clean, text.split("\n")))


def without_folders(text: str) -> str:
    """A text for other people's eyes: of absolute paths, where on this machine they are is left out.

    >>> without_folders("skipped /home/ann/work/results/ioi/EAP.json: no run; see results/ioi")
    'skipped …/results/ioi/EAP.json: no run; see results/ioi'
    >>> without_folders("/home/ann and 1/2")
    '…/ann and 1/2'
    """
    return _ABSOLUTE.sub(
        lambda found: "/".join(["…", *found[0].split("/")[2:][-SHOWN_PARTS:]]), text
    )


def spreadsheet_cell(value: object) -> object:
    r"""A cell that a spreadsheet shows and does not compute; numbers stay numbers.

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell(-1.5)
    ("'=1+1", -1.5)
    """
    if not isinstance(value, str):
        return value
    return f"'{clean(value)}" if _FORMULA.match(value) else clean(value)


class CleanMessages(logging.Filter):
    """Cleans what a logger says, which may quote names from files."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the message; nothing is left out."""
        record.msg, record.args = clean_lines(record.getMessage()), ()
        return True


def path_part(name: str) -> str:
    """A name as one part of a path: unchanged if it is one anywhere, else made one with a hash of it.

    >>> path_part("ioi_circuit")
    'ioi_circuit'
    >>> path_part("../../ESCAPED")
    '__..__ESCAPED-667db170'
    """
    one_part = name == clean(name) and not set(name) & {"/", "\\"} and name.strip(" .") != ""
    if one_part and len(name.encode()) <= MOST_BYTES:
        return name
    plain = re.sub(r"[^\w.+-]+", "__", name)[:MOST_CHARACTERS].strip(".")
    return f"{plain or '_'}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def _shows(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"
