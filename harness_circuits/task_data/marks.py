"""Named spans of the prompts that tasks write: marked while a prompt is put together, read off after.

    text = f"{marked('IO', 'Mary')} and {marked('S1', 'John')} met. {marked('S2', 'John')} waved to"
    yield with_spans({"clean": text, "corrupted": other, ...})

Marks are characters that no prompt has, so that templates and `format` leave them where they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

BEGIN, NAMED, CLOSE = "\x02", "\x03", "\x04"
_MARK = re.compile(f"{BEGIN}([^{BEGIN}{NAMED}{CLOSE}]*){NAMED}|{CLOSE}")


def marked(name: str, text: str) -> str:
    """A part of a prompt that is a span."""
    return f"{BEGIN}{name}{NAMED}{text}{CLOSE}"


def with_spans(doc: Mapping[str, Any]) -> dict[str, Any]:
    """A document whose prompts are without marks, and which has their spans.

    >>> doc = with_spans({"clean": "So " + marked("S", "Ann"), "corrupted": "So " + marked("S", "Bo")})
    >>> doc["clean"], doc["spans"], doc["corrupted_spans"]
    ('So Ann', {'S': [3, 6]}, {'S': [3, 5]})
    """
    clean, spans = read_off(doc["clean"])
    corrupted, others = read_off(doc["corrupted"])
    prompts = {"clean": clean, "corrupted": corrupted}
    return {**doc, **prompts, "spans": spans, "corrupted_spans": others}


def read_off(text: str) -> tuple[str, dict[str, list[int]]]:
    """A text without its marks, and the characters of each marked part."""
    parts: list[str] = []
    spans: dict[str, list[int]] = {}
    length, after, name = 0, 0, ""
    for match in _MARK.finditer(text):
        parts.append(text[after : match.start()])
        length, after = length + match.start() - after, match.end()
        if match[1] is not None:
            name = match[1]
            spans[name] = [length]
        else:
            spans[name].append(length)
    parts.append(text[after:])
    return "".join(parts), spans
