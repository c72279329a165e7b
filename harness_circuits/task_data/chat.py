"""Clean and corrupted prompts in the format of a chat, for `--apply_chat_template`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from harness_circuits.errors import OptionError, shown


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

        Raises:
            OptionError: The tokenizer has no template, or the template cannot take this.
        """
        choices = [str(choice).removeprefix(" ") for choice in doc["choices"]]
        prompts = {name: self.prompt(str(doc[name])) for name in ("clean", "corrupted")}
        spans = {
            name: _moved(doc[name], str(doc[of]), prompts[of])
            for name, of in (("spans", "clean"), ("corrupted_spans", "corrupted"))
            if doc.get(name)
        }
        return {**doc, **prompts, **spans, "choices": choices}

    def prompt(self, text: str) -> str:
        """One user's turn, up to where the answer begins.

        Raises:
            OptionError: The tokenizer has no template, or the template cannot take this.
        """
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        try:
            return self.template([*system, {"role": "user", "content": text}])
        except (ValueError, TypeError, TemplateError) as error:
            raise OptionError(
                f"--apply_chat_template cannot be used with this model's tokenizer: {shown(str(error))}"
                ". Use a model with a chat template, or write the format into the pairs' own prompts."
            ) from error


def _moved(
    spans: Mapping[str, Sequence[int] | None], text: str, prompt: str
) -> dict[str, list[int]]:
    """Spans of a text as those of the prompt around it; none where a template changes the text."""
    text_begins = prompt.rfind(text.strip()) - (len(text) - len(text.lstrip()))
    if prompt.rfind(text.strip()) < 0:
        return {}
    return {
        name: [end + text_begins for end in ends]
        for name, ends in spans.items()
        if ends is not None
    }
