"""What `circuit=` names: a file, a circuit of the literature, or one to discover first."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness_circuits.circuits.circuit import Circuit
from harness_circuits.circuits.known import NAMES, known_circuit
from harness_circuits.circuits.ranking import Ranking
from harness_circuits.discovery import Discovery, Setup, reader_in_force
from harness_circuits.errors import OptionError, one_line, shown
from harness_circuits.formats import SCORES_FILE, load_file, write_scores
from harness_circuits.formats.mib_folder import read_cell
from harness_circuits.formats.parts import FIRST_TOKEN, Read
from harness_circuits.harness.options import Options, task_to_discover
from harness_circuits.harness.run_in_use import RunInUse, run_in_use
from harness_circuits.harness.task import CircuitTask
from harness_circuits.harness.task_lookup import find_task
from harness_circuits.machine.outgoing import path_part
from harness_circuits.models.circuit_model import CircuitModel
from harness_circuits.pairs.pair import fingerprint, pairs_from_docs
from harness_circuits.records.artifacts import check_folder
from harness_circuits.records.weights import RENAMED
from harness_circuits.selection.given import Given
from harness_circuits.settings import Settings
from harness_circuits.studies.trials import Trials
from harness_circuits.task_data.scorer import Scorer

logger = logging.getLogger("lm_eval.circuit")


class NamedCircuit:
    """What `circuit=` names, for a model: the part of `CircuitLM` that its other parts ask.

    Attributes:
        name: As given; None without `circuit=`.
        read: What is known when the model is loaded; None without `circuit=`, and where it says to
            discover, which waits for the run's tasks.
    """

    def __init__(self, model: CircuitModel, options: Options) -> None:
        """Read it, if it is to be read.

        Raises:
            CircuitError: It cannot be used.
        """
        name = options.run.get("circuit")
        self.name: str | None = None if name is None else str(name)
        self._model, self._options = model, options
        self._task = task_to_discover(name)
        self.read = None if self._task is not None else resolve_circuit(model, options)
        self._discovered: tuple[RunInUse, Given] | None = None

    @property
    def given(self) -> Given | None:
        """Where its circuits come from, discovered as soon as it is needed, for the run in use.

        Raises:
            CircuitError: It cannot be discovered.
        """
        if self._task is None:
            return self.read
        run = run_in_use()
        if self._discovered is None or self._discovered[0] != run:
            self._discovered = run, discovered(self._model, self._task, self._options)
        return self._discovered[1]


def resolve_circuit(model: CircuitModel, options: Options) -> Given | None:
    """The scores or circuit that `circuit=` names, other than `discover:TASK`.

    Raises:
        CircuitError: It cannot be read, or is another model's.
    """
    name = options.run.get("circuit")
    if name is None:
        return None
    if name in NAMES:
        return Given.of(known_circuit(name, model.graph))
    found = _file_or_circuits(str(name), model)
    if isinstance(found, dict):
        logger.info("circuit=%s: nine circuits, and the whole model as the tenth", name)
        given, foreign = Given.of_curves(found), found.foreign
    else:
        loaded = load_file(found, model.graph)
        given, foreign = Given.of(loaded.item), loaded.foreign
    first = reader_in_force(model, options.settings).first_token()
    note = _note(given.provenance, foreign, model.name, first)
    if note:
        given = replace(given, note=note)
        logger.warning("circuit=%s: %s", name, note)
    return given


def _file_or_circuits(name: str, model: CircuitModel) -> str | Read[Ranking, dict[float, Circuit]]:
    """What is read of a file or folder: a file's name, or nine circuits of MIB's form."""
    path = Path(name).expanduser()
    if not path.is_dir():
        return name
    scores = path / SCORES_FILE  # of a task's artifacts
    found = scores if scores.is_file() else read_cell(path, model.graph)
    return str(found) if isinstance(found, Path) else found


def _note(made: Mapping[str, Any], foreign: bool, model: str, first: Any) -> str | None:
    """What has to be said of scores or circuits that are evaluated on other terms than theirs.

    Args:
        made: What our own scores say of how they were made; empty of others.
        foreign: Whether EAP-IG or MIB wrote them.
        model: Name of the model they are evaluated on.
        first: The first token of its prompts; None where there is none.
    """
    if foreign:
        return f"{FIRST_TOKEN}, here they have none" if first is None else None
    found = []
    theirs = made.get("model")
    if isinstance(theirs, str) and RENAMED.get(theirs, theirs) != model:
        found.append(f"found on {one_line(theirs)}, evaluated on {model}")
    if "first_token" in made and made["first_token"] != first:
        was, now = ("none" if x is None else shown(x) for x in (made["first_token"], first))
        found.append(f"found on prompts whose first token was {was}, evaluated with {now}")
    return "; ".join(found) or None


def discovered(model: CircuitModel, name: str, options: Options) -> Given:
    """Scores of a circuit task's training pairs, by patching; written to `artifacts=` if given.

    The task is that of the run in use: its include path, metadata, splits and chat template.

    Raises:
        CircuitError: There is no such task, or nothing can be discovered on it.
    """
    task = find_task(name, task_metadata(options))
    if not isinstance(task, CircuitTask):
        raise OptionError(
            f"circuit=discover:{name}: this task has no clean/corrupted pairs to discover a circuit "
            "on. Circuit tasks are listed in tasks/README.md."
        )
    started = time.perf_counter()
    chat = run_in_use().chat
    task.score_by(scorer_in_force(model, options.discovery), chat)
    where = task.config.task
    pairs = pairs_from_docs(task.training_docs(), f"{where} (training split)")
    discovery = Discovery.on(Setup(model, options.discovery, task.metric, where), pairs)
    scores = discovery.scores().describe(
        metadata=json.loads(json.dumps(dict(run_in_use().metadata), default=str)),
        left_out=task.left_out,
        discovery_pairs=fingerprint(pairs[: options.discovery.n_discovery]),
        **({} if chat is None else {"chat_template": True, "system_instruction": chat.system}),
    )
    seconds = time.perf_counter() - started
    logger.info(
        "circuit=discover:%s: %s at %s level on %d pairs, %.1f s",
        name,
        options.discovery.method,
        options.discovery.level,
        scores.provenance["n_examples"],
        seconds,
    )
    folder = artifacts_folder(options)
    if folder is not None:
        write_scores(folder / path_part(where) / SCORES_FILE, scores)
    return Given.of(scores, Trials(discovery))


def task_metadata(options: Options) -> dict[str, Any]:
    """What tasks that we build ourselves learn beside the run's metadata: the model's arguments."""
    return options.model | options.harness


def artifacts_folder(options: Options) -> Path | None:
    """The folder of `artifacts=`, made."""
    folder = options.run.get("artifacts")
    return None if folder is None else check_folder(str(folder))


def scorer_in_force(model: CircuitModel, settings: Settings) -> Scorer:
    """A model under some settings as a task's data see it.

    Raises:
        OptionError: The settings ask for a first token that the model cannot have.
    """
    reader = reader_in_force(model, settings)
    return Scorer(reader, settings.metric_names, positions=settings.prompt_positions)
