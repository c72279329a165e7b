"""Clean and corrupted prompts in the format of a chat, for `--apply_chat_template`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chat:
    """Puts both prompts of a document into a model's chat template, one user's turn each.

    Attributes:
        template: Makes one text of messages with `role` and `content`, up to where the answer
            begins: lm-eval's `apply_chat_template` of a model.
        system: The system's message, if any.
    """

    template: Callable[[list[dict[str, str]]], str]
    system: str | None = None

    def __call__(self, doc: dict[str, Any]) -> dict[str, Any]:
        """A document in the format of a chat.

        Answers begin a turn and lose the space before them, as lm-eval leaves its
        `target_delimiter` out under a template.
        """
        choices = [str(choice).removeprefix(" ") for choice in doc["choices"]]
        prompts = {name: self._prompt(str(doc[name])) for name in ("clean", "corrupted")}
        return {**doc, **prompts, "choices": choices}

    def _prompt(self, text: str) -> str:
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return self.template([*system, {"role": "user", "content": text}])
