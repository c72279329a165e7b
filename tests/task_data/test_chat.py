"""Prompts in a chat's format: both of a pair, up to where the answer begins."""

from __future__ import annotations

from typing import Any

import pytest

from harness_circuits.errors import OptionError
from harness_circuits.task_data.chat import Chat

DOC = {"clean": "a", "corrupted": "b", "choices": [" Paris", "Rome"], "key": "k"}


def template(messages: list[dict[str, str]]) -> str:
    return "".join(f"<{m['role']}>{m['content']}" for m in messages) + "<assistant>"


def test_both_prompts_are_a_turn_and_answers_lose_one_space() -> None:
    found = Chat(template)(DOC)
    assert (found["clean"], found["corrupted"]) == ("<user>a<assistant>", "<user>b<assistant>")
    assert found["choices"] == ["Paris", "Rome"] and found["key"] == "k"
    assert DOC["clean"] == "a", "the document itself stays as it is"
    assert Chat(template, "Be brief.").prompt("a") == "<system>Be brief.<user>a<assistant>"


def test_a_tokenizer_without_a_template_is_one_line() -> None:
    def none(messages: Any) -> str:
        raise ValueError("no chat_template\nset one")

    with pytest.raises(OptionError) as caught:
        Chat(none).prompt("a")
    assert str(caught.value).startswith(
        "--apply_chat_template cannot be used with this model's token"
    )
    assert "no chat_template" in str(caught.value) and "\n" not in str(caught.value)
