"""`--model circuit/NAME`: what it says is what the circuit says, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
import torch
from helpers.inspect_runs import FLOAT64, circuit_model, inspect_ai
from helpers.tiny_tasks import TASK, write_task
from helpers.tiny_tokenizer import save_tiny_model, word_tokenizer
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, Model, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
from inspect_ai.tool import ToolInfo

from harness_circuits.errors import CircuitError
from harness_circuits.inspect import provider as module
from harness_circuits.inspect.chat import chat_text

TEXTS = (
    "When Mary and John went to the store, John gave a drink to",
    "The war lasted from year",
    "red blue green",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_task(tmp_path_factory.mktemp("task")) / f"{TASK}.yaml")


def model_of(folder: Path, task: str, size: float, **more: Any) -> Model:
    own = {"circuit": f"discover:{task}", "size": size, "ablation": "mean", **FLOAT64, **more}
    return get_model(circuit_model(folder), memoize=False, **own)


@pytest.fixture(scope="module")
def circuit(folder: Path, task: str) -> Model:
    return model_of(folder, task, 0.7)


def ask(model: Model, texts: Sequence[str] = TEXTS, **config: Any) -> list[Any]:
    """Answers to several conversations at once."""
    found: dict[int, Any] = {}

    async def one(at: int) -> None:
        found[at] = await model.generate(texts[at], config=GenerateConfig(**config))

    async def all_of_them() -> None:
        async with anyio.create_task_group() as group:
            for at in range(len(texts)):
                group.start_soon(one, at)

    anyio.run(all_of_them)
    return [found[at] for at in range(len(texts))]


def step_by_step(model: Model, text: str, n: int) -> tuple[str, list[float]]:
    """Greedy text of the circuit without cache and padding, and its tokens' log-probabilities."""
    loaded = model.api.loaded  # type: ignore[attr-defined]
    ids = loaded.model.reader.encode(text)
    new, logprobs = [], []
    for _ in range(n):
        rows = torch.tensor([[*ids, *new]])
        logits = loaded.ordinary.logits(rows, lambda x: loaded.model.hf(x).logits)[0, -1]
        new.append(int(logits.argmax()))
        logprobs.append(float(torch.log_softmax(logits.double(), -1)[new[-1]]))
        if new[-1] == 0:
            break
    return loaded.model.tokenizer.decode(new, skip_special_tokens=True), logprobs


def prompt(text: str) -> str:
    return f"user: {text}\n"


def test_text_and_log_probabilities_are_the_circuits_own(circuit: Model) -> None:
    answers = ask(circuit, max_tokens=6, logprobs=True, top_logprobs=2)
    for text, answer in zip(TEXTS, answers, strict=True):
        expected, logprobs = step_by_step(circuit, prompt(text), 6)
        assert answer.completion == expected
        found = answer.choices[0].logprobs.content  # of logits in float32, as `generate` has them
        assert [token.logprob for token in found] == pytest.approx(logprobs, abs=1e-6)
        assert all(len(token.top_logprobs) == 2 for token in found)
        assert found[0].top_logprobs[0].logprob == found[0].logprob


def test_usage_counts_a_prompts_own_tokens(circuit: Model) -> None:
    loaded = circuit.api.loaded  # type: ignore[attr-defined]
    for text, answer in zip(TEXTS, ask(circuit, max_tokens=3), strict=True):
        assert answer.usage.input_tokens == len(loaded.model.reader.encode(prompt(text)))
        assert answer.usage.output_tokens == 3
        assert answer.choices[0].stop_reason == "max_tokens"


def test_the_answer_says_which_circuit_gave_it(circuit: Model, task: str) -> None:
    (answer,) = ask(circuit, TEXTS[:1], max_tokens=1)
    facts = answer.metadata["circuit"]
    assert (facts["file"], facts["size"], facts["all_units"]) == (f"discover:{task}", 0.7, 110)


def test_generation_ends_at_a_stop_text(circuit: Model) -> None:
    (whole,) = ask(circuit, TEXTS[:1], max_tokens=6, logprobs=True)
    tokens = [token.token for token in whole.choices[0].logprobs.content]
    assert whole.completion == "".join(tokens)
    stop = tokens[2]
    (answer,) = ask(circuit, TEXTS[:1], max_tokens=6, stop_seqs=[stop])
    first = tokens.index(stop) + 1
    assert answer.completion == "".join(tokens[:first])
    assert answer.usage.output_tokens == first
    assert answer.choices[0].stop_reason == "stop"


def test_a_prompt_that_is_too_long_is_said_to_be(circuit: Model) -> None:
    short, long = ask(circuit, ["red", "red " * 80], max_tokens=2)
    assert long.choices[0].stop_reason == "model_length"
    assert (long.completion, long.usage.output_tokens) == ("", 0)
    assert short.usage.output_tokens == 2


def test_sampled_text_is_the_seeds(folder: Path, task: str) -> None:
    def text(seed: int) -> str:
        model = model_of(folder, task, 0.7, config=GenerateConfig(seed=seed))
        return str(ask(model, TEXTS[:1], max_tokens=8, temperature=1.0)[0].completion)

    assert text(1) == text(1)
    assert len({text(seed) for seed in range(1, 4)}) > 1


def test_requests_of_one_kind_go_together(
    folder: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    plain = module.generate

    def noted(ordinary: Any, prompts: Sequence[str], how: Any) -> Any:
        batches.append(len(prompts))
        return plain(ordinary, prompts, how)

    monkeypatch.setattr(module, "generate", noted)
    model = model_of(folder, task, 0.7, batch_size=2)
    assert model.api.max_connections() == 2
    ask(model, [*TEXTS, "cat"], max_tokens=2)
    assert sum(batches) == 4
    assert max(batches) == 2


@pytest.mark.parametrize(("given", "most"), [({}, 32), ({"batch_size": 1}, 1)])
def test_one_conversation_at_a_time_is_one(
    folder: Path, task: str, given: dict[str, int], most: int
) -> None:
    assert model_of(folder, task, 0.7, **given).api.max_connections() == most


def test_an_error_reaches_everybody_who_waits(folder: Path) -> None:
    model = get_model(circuit_model(folder), memoize=False)
    for text in TEXTS[:2]:
        with pytest.raises(CircuitError, match="give circuit=FILE"):
            anyio.run(model.generate, text)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"frequency_penalty": 0.3}, "frequency_penalty=0.3 cannot be used"),
        ({"num_choices": 2}, "num_choices=2 cannot be used"),
    ],
)
def test_what_a_circuit_cannot_do_is_refused(
    circuit: Model, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(CircuitError, match=message):
        anyio.run(lambda: circuit.generate("red", config=GenerateConfig(**config)))


def test_tools_are_refused(circuit: Model) -> None:
    tool = ToolInfo(name="search", description="Finds.")
    with pytest.raises(CircuitError, match="offers the tool 'search'"):
        anyio.run(lambda: circuit.generate("red", tools=[tool]))


def test_a_curve_of_sizes_is_refused(folder: Path, task: str) -> None:
    own = {"circuit": f"discover:{task}", "sizes": "0.1:0.5", "ablation": "zero"}
    model = get_model(circuit_model(folder), memoize=False, **own)
    with pytest.raises(CircuitError, match="one evaluation has one circuit: give size="):
        anyio.run(model.generate, "red")


def test_messages_go_through_the_chat_template() -> None:
    tokenizer = word_tokenizer()
    messages = [ChatMessageSystem(content="red"), ChatMessageUser(content="blue")]
    assert chat_text(tokenizer, messages, {}) == "system: red\nuser: blue\n"
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if enable_thinking is not none %}[{{ enable_thinking }}]{% endif %}"
        "{% if add_generation_prompt %}<answer>{% endif %}"
    )
    assert chat_text(tokenizer, messages, {}) == "<system>red<user>blue<answer>"
    thinking = chat_text(tokenizer, messages, {"enable_thinking": False})
    assert thinking == "<system>red<user>blue[False]<answer>"


@pytest.mark.slow
def test_the_full_circuit_says_what_inspects_own_provider_says(
    folder: Path, task: str, tmp_path: Path
) -> None:
    own = get_model("hf/local", model_path=str(folder), do_sample=False, dtype="float64")
    texts = []
    for model in (own, model_of(folder, task, 1)):
        samples = [Sample(input=text, target="") for text in TEXTS]
        (log,) = inspect_ai.eval(
            inspect_ai.Task(dataset=samples, solver=generate(), scorer=includes()),
            model=model,
            max_tokens=8,
            log_dir=str(tmp_path),
            display="none",
        )
        assert log.status == "success"
        texts.append([sample.output.completion for sample in log.samples])
    assert texts[0] == texts[1]
