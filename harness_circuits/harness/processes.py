"""lm-eval's part in a run of several processes: each has its own documents of every task.

lm-eval splits the documents and gathers what the processes found. Ours gather the documents first:
each then knows all pairs, runs its share of the batches, and answers for its own documents.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lm_eval.api.instance import Instance

from harness_circuits.errors import OptionError
from harness_circuits.harness.task import CircuitTask
from harness_circuits.machine.ranks import Ranks
from harness_circuits.pairs.pair import Pair
from harness_circuits.task_data.scorer import Scorer

SPREADING = ("auto", "balanced", "balanced_low_0", "sequential")


def gather_objects(ranks: Ranks, obj: Any, dst: int) -> list[Any] | None:
    """All processes' objects on one of them, None on the others, for lm-eval's evaluator.

    The evaluator looks up every metric of a task in each of them: a process without documents of
    the task has none, and gets empty lists.
    """
    if ranks.size == 1:
        return [obj]
    found = [None] * ranks.size if ranks.rank == dst else None
    torch.distributed.gather_object(obj, found, dst=dst)
    return None if found is None else [_with_empty_lists(part) for part in found]


def _with_empty_lists(part: Any) -> Any:
    if not isinstance(part, Mapping):
        return part
    return {
        task: defaultdict(list, values) if isinstance(values, Mapping) else values
        for task, values in part.items()
    }


def all_documents(
    task: CircuitTask, requests: Sequence[Instance], ranks: Ranks
) -> dict[int, Mapping[str, Any]]:
    """The documents of all processes' requests, by number, in order."""
    own = {} if task.stands_in else {request.doc_id: request.doc for request in requests}
    found = {number: doc for part in ranks.gather(own) for number, doc in part.items()}
    return dict(sorted(found.items()))


def check_prompts(
    task: CircuitTask, requests: Sequence[Instance], pairs: Mapping[int, Pair]
) -> None:
    """Refuse harness options that change a circuit task's prompts.

    Raises:
        OptionError: A request's prompt is not its pair's.
    """
    for request in () if task.stands_in else requests:
        if request.args[0] != pairs[request.doc_id].clean:
            raise OptionError(
                f"{task.config.task}: the harness changed the prompt (few-shot examples, or a "
                "system instruction without a chat template). Clean and corrupted prompts have to "
                "differ by the corruption only; run circuit tasks without these options."
            )


def check_scorer(task: CircuitTask, scorer: Scorer) -> None:
    """Refuse a task whose data were built for another model.

    Raises:
        OptionError: They were, because lm-eval's `evaluate` did not say which model it is.
    """
    if task.scorer != scorer:
        raise OptionError(
            f"{task.config.task}: its pairs were not built for this model, which lm_eval."
            "simple_evaluate and `lm_eval` see to; `evaluate` imported from lm_eval before this model "
            "was made does not. Import it afterwards."
        )


def check_device_map(device_map: Any, n_processes: int) -> None:
    """Refuse to spread the model of each of several processes over the same devices.

    Args:
        device_map: As in `--model_args`.
        n_processes: Processes on this machine.

    Raises:
        OptionError: The map is to several devices, and there are several processes.
    """
    several = len(set(device_map.values())) > 1 if isinstance(device_map, Mapping) else None
    if n_processes > 1 and (several or device_map in SPREADING):
        raise OptionError(
            f"device_map={device_map} spreads a model over devices, and each of the {n_processes} "
            "processes on this machine would do so with a model of its own. Start one process with "
            "device_map, or several without it: each then has the whole model on one device."
        )


def device_of(accelerator: Any) -> dict[str, str]:
    """The device that a launcher gave this process, as an argument of `load_model`."""
    if accelerator is None or accelerator.device.type == "cpu":
        return {}
    return {"device": str(accelerator.device)}


@contextmanager
def without_warnings(*texts: str) -> Iterator[None]:
    """Drop log messages of lm-eval that do not apply to us."""

    def keep(record: logging.LogRecord) -> bool:
        return not any(text in record.getMessage() for text in texts)

    source = logging.getLogger("lm_eval.models.huggingface")
    source.addFilter(keep)
    try:
        yield
    finally:
        source.removeFilter(keep)
