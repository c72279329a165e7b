"""A document of a circuit task as a sample of Inspect's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHOWN_ELSEWHERE = ("clean", "choices")


def sample_fields(number: int, document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a sample.

    Args:
        number: Of the document, from 0; Inspect counts from 1.
        document: Its prompts, choices and roles, and what else the task says of it.
    """
    choices = [str(choice) for choice in document["choices"]]
    return {
        "input": str(document["clean"]),
        "choices": choices,
        "target": [choices[at] for at in document["correct"]],
        "id": number + 1,
        "metadata": {k: value for k, value in document.items() if k not in SHOWN_ELSEWHERE},
    }
