"""`harness-circuits check-task`: what a circuit task's pairs are for a model, before any circuit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness_circuits.circuits.spans import Spans
from harness_circuits.commands.parser import CommandParser, of_kind, text_argument
from harness_circuits.discovery import reader_in_force, tokenise
from harness_circuits.errors import OptionError, TaskDataError, shown
from harness_circuits.evaluation.chance import Accuracy, accuracy_and_chance, near_chance_warning
from harness_circuits.harness.before_loading import check_metadata, circuit_tasks
from harness_circuits.harness.options import read_options
from harness_circuits.harness.plugin import tasks_folder
from harness_circuits.harness.task import CircuitTask
from harness_circuits.loading.arguments import MODEL
from harness_circuits.loading.load import load_model
from harness_circuits.machine.outgoing import clean
from harness_circuits.metrics.accuracy import accuracy
from harness_circuits.metrics.metrics import METRICS, Metric
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.options.kinds import Name, Whole
from harness_circuits.pairs.batch import make_batches
from harness_circuits.pairs.pair import Pair, pairs_from_docs
from harness_circuits.pairs.spans import Positions
from harness_circuits.pairs.tokenise import TokenPair, tokenise_pair
from harness_circuits.registry import unknown_name
from harness_circuits.task_data.pair_file import KINDS
from harness_circuits.task_data.scorer import Scorer

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

BATCH = 20
OF_SETTINGS = ("compat", "metric", "attribution_metric", "positions", "span_words")
COUNT = of_kind(Whole(1, 10**9, texts=True))
JSON_TEXT = of_kind(Name("JSON", most=1_000_000))
_EPILOG = """\
examples:
  harness-circuits check-task ioi_circuit
  harness-circuits check-task greater_than_circuit --pretrained gpt2 --metadata '{"variant": "price"}'
  harness-circuits check-task my.jsonl
"""


def check_task_command(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        CircuitError: There is no such circuit task, or it has no pairs for this model.
    """
    options = _parser().parse_args(arguments)
    metadata = _metadata(options.metadata)
    run = read_options(_as_in_model_args(options))
    metadata = {**run.model, **metadata}
    name = options.task
    if Path(name).suffix.lower() in KINDS:  # a file of pairs
        name, metadata["pairs"] = "custom_circuit", options.task
    manager = find_task(name, options.include_path, metadata)
    model = load_model(**run.model)
    model.reader = reader_in_force(model, run.settings)
    task = build_task(name, manager)
    positions = run.settings.prompt_positions
    task.score_by(Scorer(model.reader, run.settings.metric_names, positions=positions))
    metric = options.metric or task.metric
    for line in report(model, task, metric, show=options.show, limit=options.limit):
        print(clean(line))


def _as_in_model_args(options: Any) -> dict[str, Any]:
    """What a run would be told by `--model_args`, its words read as lm-eval reads them."""
    from lm_eval.utils import handle_arg_string

    given = {name: getattr(options, name) for name in (*MODEL, *OF_SETTINGS)}
    return {name: handle_arg_string(text) for name, text in given.items() if text is not None}


def find_task(name: str, include_path: Sequence[str], metadata: Mapping[str, Any]) -> TaskManager:
    """Find a task, and check what its data are made of, as far as that needs no model.

    Returns:
        What builds it.

    Raises:
        CircuitError: There is no circuit task of this name, or its options or its file cannot be used.
    """
    from lm_eval.tasks import TaskManager

    folders = [str(tasks_folder()), *include_path]
    manager = TaskManager(include_defaults=False, include_path=folders, metadata=dict(metadata))
    if name not in manager.all_subtasks:
        what = f"circuit task in {' or '.join(folders)} (of a group, name one of its tasks)"
        raise TaskDataError(unknown_name(what, name, manager.all_subtasks))
    for found, config in circuit_tasks([name], manager):
        check_metadata(found, config, metadata)
    return manager


def build_task(name: str, manager: TaskManager) -> CircuitTask:
    """Build a task.

    Raises:
        TaskDataError: It is no circuit task.
    """
    task = manager.load([name])["tasks"][name]
    if not isinstance(task, CircuitTask):
        raise TaskDataError(f"{name} is an ordinary task: it has no clean and corrupted pairs.")
    return task


@dataclass(frozen=True)
class Measured:
    """What the full model does on a task.

    Attributes:
        clean: Mean metric on clean prompts.
        corrupted: The same on corrupted prompts, with the clean answers.
        accuracy: On clean prompts.
    """

    clean: float
    corrupted: float
    accuracy: Accuracy


@torch.no_grad()
def measure(model: CircuitModel, task: str, metric: Metric, pairs: Sequence[Pair]) -> Measured:
    """Run the full model on pairs of a task."""
    clean, corrupted, hits = 0.0, 0.0, [0.0] * len(pairs)
    assert model.reader is not None
    encoded = tokenise(model.reader, pairs, [metric], task)
    for batch in make_batches(encoded, BATCH, share_prefix=False):
        logits = model.forward(batch.clean)
        clean += float(metric(logits, batch, logits).sum())
        corrupted += float(metric(model.forward(batch.corrupted), batch, logits).sum())
        for index, hit in zip(batch.indices, accuracy(logits, batch).tolist(), strict=True):
            hits[index] = hit
    return Measured(clean / len(pairs), corrupted / len(pairs), accuracy_and_chance(hits, pairs))


def report(
    model: CircuitModel, task: CircuitTask, metric: str, *, show: int, limit: int
) -> Iterator[str]:
    """Lines about a task's pairs.

    Args:
        model: The model.
        task: The task, built for its tokenizer.
        metric: Name of the metric in force.
        show: Pairs whose tokens are shown.
        limit: Pairs to measure the full model on.
    """
    name, reader = task.config.task, model.reader
    assert reader is not None
    counts = ", ".join(f"{n} {split}" for split, n in task.n_pairs.items())
    yield f"{name} for {model.name}: {counts} pairs"
    reasons = task.left_out
    yield f"left out: {sum(reasons.values())}"
    yield from (f"  {count} {reason}" for reason, count in reasons.items())
    first = reader.first_token()
    yield f"first token: {'none' if first is None else repr(first['text'])}"
    docs = task.eval_docs
    pairs = pairs_from_docs(list(docs)[:limit], name)
    tokenizer: Any = model.tokenizer
    assert task.scorer is not None
    positions = task.scorer.positions
    if positions.mode != "none":
        yield from _span_lines(
            tokenise(reader, pairs, [METRICS.get(metric)], name, positions), positions
        )
    for index, pair in enumerate(pairs[:show]):
        yield ""
        tokens = tokenise_pair(reader, pair, index, name, positions)
        yield from _alignment(tokenizer, pair, tokens)
    found = measure(model, name, METRICS.get(metric), pairs)
    yield ""
    yield f"full model on {len(pairs)} pairs to evaluate on:"
    yield f"  {metric}: {found.clean:.3f} on clean prompts, {found.corrupted:.3f} on corrupted"
    chance = found.accuracy
    yield (
        f"  accuracy: {chance.value:.3f} (95% interval {chance.low:.3f} to {chance.high:.3f}), by "
        f"guessing {chance.chance:.3f}"
    )
    if chance.near_chance:
        yield near_chance_warning(chance, name, model.name)


def _span_lines(pairs: Sequence[TokenPair], positions: Positions) -> Iterator[str]:
    """Every span, with the pairs that have it and its tokens in them."""
    yield f"spans (positions={positions.mode}), of the pairs to evaluate on:"
    for name in Spans.of(pair.spans for pair in pairs).names:
        counts = [pair.spans.count(name) for pair in pairs if name in pair.spans]
        tokens = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
        yield f"  {name}: in {len(counts)} of {len(pairs)} pairs, {tokens} tokens"


def _alignment(tokenizer: Any, pair: Pair, tokens: TokenPair) -> Iterator[str]:
    """Tokens of both prompts side by side, with their spans, and the answers."""
    columns = [
        [repr(tokenizer.decode([t])) for t in ids] for ids in (tokens.clean, tokens.corrupted)
    ]
    width = max(5, *map(len, columns[0]))
    spans = tokens.spans or [""] * len(tokens.clean)
    left = max(map(len, spans))
    gap = f"{'span':<{max(4, left)}}  " if left else ""
    yield f"     {gap}{'clean':<{width}}  corrupted"
    for at, (one, other) in enumerate(zip(*columns, strict=True)):
        mark = "" if one == other else "  <"
        span = f"{spans[at]:<{len(gap)}}"
        yield f"{at:4} {span}{one:<{width}}  {other}{mark}"
    for kind, places in (("right", pair.correct), ("wrong", pair.incorrect)):
        shown = ", ".join(
            f"{pair.choices[at]!r} ({len(tokens.answers[at])} token"
            f"{'s' if len(tokens.answers[at]) > 1 else ''})"
            for at in places[:5]
        )
        yield f"     {kind}: {shown}{', ...' if len(places) > 5 else ''}"


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="harness-circuits check-task",
        description="Show a circuit task's pairs for a model: how many, which are left out and why, "
        "how they align token by token, and what the full model does on them.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "task", type=text_argument, help="a circuit task's name, or a file of pairs of your own"
    )
    for name, option in MODEL.items():
        kind = of_kind(option.kind) if name == "dtype" else text_argument
        default = {"pretrained": "SmolLM2-135M-Instruct (Q4_1)"}.get(name, option.default)
        told = "" if default is None else f" ({default})"
        parser.add_argument(f"--{name}", type=kind, help=f"as in --model_args: {option.help}{told}")
    parser.add_argument(
        "--metadata", type=JSON_TEXT, help="the task's options, as JSON", default="{}"
    )
    parser.add_argument(
        "--include_path", "--include-path", type=text_argument, action="append", default=[]
    )
    parser.add_argument(
        "--compat", type=text_argument, help="as in --model_args: `mib` puts a first token"
    )
    parser.add_argument(
        "--metric", type=text_argument, help="as in --model_args; by default the task's own"
    )
    parser.add_argument(
        "--attribution_metric", type=text_argument, help="as in --model_args; by default the same"
    )
    parser.add_argument(
        "--positions", type=text_argument, help="as in --model_args: `spans` shows spans of tokens"
    )
    parser.add_argument("--span_words", type=text_argument, help="as in --model_args: went:gave:to")
    parser.add_argument("--limit", type=COUNT, default=100, help="pairs to measure on (100)")
    parser.add_argument(
        "--show",
        type=of_kind(Whole(0, 1000, texts=True)),
        default=2,
        help="pairs to show token by token (2)",
    )
    return parser


def _metadata(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(
            f"--metadata is JSON such as '{{\"n_train\": 50}}', got {shown(text)}."
        ) from error
    if not isinstance(found, dict):
        raise OptionError(f"--metadata is a JSON object, got {shown(text)}.")
    return found
