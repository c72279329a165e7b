"""A conversation as the text that a model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inspect_ai.model import ChatMessage, ContentReasoning, ContentText
from jinja2 import TemplateError

from harness_circuits.errors import OptionError, shown


def chat_text(tokenizer: Any, messages: Sequence[ChatMessage], options: Mapping[str, Any]) -> str:
    """Put messages into the model's chat template, up to where the answer begins.

    Models without a template get a line per message, `role: text`, as from Inspect's `hf` provider.

    Args:
        tokenizer: The model's.
        messages: The conversation.
        options: `enable_thinking` and `chat_template_args`, which are for the template.

    Raises:
        OptionError: A message is no text, or the template cannot take the conversation.
    """
    turns = [{"role": message.role, "content": _text(message)} for message in messages]
    if getattr(tokenizer, "chat_template", None) is None:
        return "".join(f"{turn['role']}: {turn['content']}\n" for turn in turns)
    how = {"enable_thinking": options.get("enable_thinking")}
    how |= options.get("chat_template_args") or {}
    try:
        return str(
            tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=False, tools=None, **how
            )
        )
    except (ValueError, TypeError, TemplateError) as error:
        raise OptionError(
            f"The model's chat template cannot take this conversation: {shown(str(error))}."
        ) from error


def _text(message: ChatMessage) -> str:
    """A message's text; what a model has thought before it does not go back into it."""
    for part in [] if isinstance(message.content, str) else message.content:
        if not isinstance(part, (ContentText, ContentReasoning)):
            raise OptionError(
                f"A message of the {message.role} has {part.type}, and circuits read text only."
            )
    return message.text
