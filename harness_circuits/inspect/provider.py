"""`--model circuit/NAME`: a circuit in the model's place, for any evaluation of Inspect's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    GenerateConfig,
    Logprob,
    Logprobs,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    TopLogprob,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from harness_circuits.errors import OptionError, shown
from harness_circuits.inspect.arguments import model_arguments
from harness_circuits.inspect.batches import Batches
from harness_circuits.inspect.chat import chat_text
from harness_circuits.inspect.generation import Generated, How, TokenLogProb, generate
from harness_circuits.inspect.loaded import Loaded
from harness_circuits.inspect.messages import readable_errors

PAIRS_TOGETHER = 32  # requests in a batch, unless batch_size= says so
MOST_TOKENS = 2048  # generated, unless the evaluation says so: as Inspect's `hf` provider
REFUSED = (
    *("best_of", "frequency_penalty", "logit_bias", "num_choices", "presence_penalty"),
    *("prompt_logprobs", "response_schema"),
)


class CircuitAPI(ModelAPI):
    """The provider.

    Attributes:
        loaded: The model, which is loaded when it is first used.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        **model_args: Any,
    ) -> None:
        """Check the arguments.

        Args:
            model_name: What stands behind `circuit/`: `default`, a hub id, a folder or a GGUF file.
            base_url: None; the model runs in this process.
            api_key: Not used.
            config: How text is generated; of it a seed is set here.
            **model_args: `-M`, which are lm-eval's `--model_args`.

        Raises:
            PrerequisiteError: One cannot be used.
        """
        super().__init__(model_name, base_url, api_key, config=config or GenerateConfig())
        with readable_errors():
            if base_url is not None:
                raise OptionError(f"circuit/{model_name} runs in this process: it has no base URL.")
            self.loaded = Loaded(model_arguments(model_name, model_args))
        if config is not None and config.seed is not None:
            torch.manual_seed(config.seed)
        size = self.loaded.options.harness.get("batch_size")
        self._at_once = size if isinstance(size, int) else PAIRS_TOGETHER
        self._batches: Batches[tuple[str, How], Generated]
        self._batches = Batches(self.loaded, self._generate, self._at_once)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer one conversation.

        Raises:
            CircuitError: It asks for what a circuit cannot do.
        """
        _check(tools, config)
        how = _how(config)
        async with self.loaded.lock:
            text = await self.loaded.in_thread(lambda: self._text(input))
        found = await self._batches.answer((text, how), how)
        message = ChatMessageAssistant(content=found.text, model=self.model_name, source="generate")
        logprobs = None
        if how.logprobs is not None:
            logprobs = Logprobs(content=[_logprob(token) for token in found.logprobs])
        return ModelOutput(
            model=self.model_name,
            choices=[
                ChatCompletionChoice(message=message, stop_reason=found.reason, logprobs=logprobs)
            ],
            usage=ModelUsage(
                input_tokens=found.input_tokens,
                output_tokens=found.output_tokens,
                total_tokens=found.input_tokens + found.output_tokens,
            ),
            time=found.seconds,
            metadata={"circuit": self.loaded.ordinary.facts()},
        )

    def _text(self, messages: Sequence[ChatMessage]) -> str:
        return chat_text(self.loaded.model.tokenizer, messages, self.loaded.options.harness)

    def _generate(self, requests: Sequence[tuple[str, How]]) -> list[Generated]:
        ordinary = self.loaded.ordinary
        if ordinary.grid and ordinary.single_size is None and ordinary.circuit.read is None:
            raise OptionError("sizes= is a curve, and one evaluation has one circuit: give size=.")
        return generate(ordinary, [text for text, _ in requests], requests[0][1])

    async def count_text_tokens(self, text: str) -> int:
        """Tokens of a text, by the model's own tokenizer."""
        return len(await self.tokenize(text))

    async def tokenize(self, text: str) -> list[int]:
        """Token ids of a text."""
        async with self.loaded.lock:
            return await self.loaded.in_thread(lambda: self._tokens(text))

    def _tokens(self, text: str) -> list[int]:
        assert self.loaded.model.reader is not None
        return self.loaded.model.reader.encode_inside(text)

    def max_tokens(self) -> int | None:
        """Tokens generated, unless the evaluation says so."""
        return MOST_TOKENS

    def max_connections(self) -> int:
        """How many requests go through the model together."""
        return self._at_once

    def collapse_user_messages(self) -> bool:
        """Whether consecutive messages of the user are made one: templates want turns to alternate."""
        return True

    def collapse_assistant_messages(self) -> bool:
        """The same for the assistant's."""
        return True


def _check(tools: Sequence[ToolInfo], config: GenerateConfig) -> None:
    """Refuse what would be ignored.

    Raises:
        OptionError: The evaluation asks for tools, or for an option of other providers.
    """
    if tools:
        raise OptionError(
            f"This evaluation offers the tool {shown(tools[0].name)}, and a circuit calls none."
        )
    given: Mapping[str, Any] = config.model_dump(exclude_none=True)
    for name in REFUSED:
        if given.get(name) and not (name == "num_choices" and given[name] == 1):
            raise OptionError(f"{name}={shown(given[name])} cannot be used with --model circuit.")


def _how(config: GenerateConfig) -> How:
    temperature = config.temperature
    if temperature is None:  # what a circuit says does not depend on chance unless it is asked to
        temperature = 1.0 if config.top_p is not None or config.top_k is not None else 0.0
    return How(
        max_tokens=config.max_tokens or MOST_TOKENS,
        temperature=temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        stop=tuple(config.stop_seqs or ()),
        logprobs=(config.top_logprobs or 0) if config.logprobs else None,
    )


def _logprob(token: TokenLogProb) -> Logprob:
    top = [
        TopLogprob(token=text, logprob=value, bytes=list(text.encode()))
        for text, value in token.top
    ]
    return Logprob(
        token=token.token,
        logprob=token.logprob,
        bytes=list(token.token.encode()),
        top_logprobs=top,
    )
