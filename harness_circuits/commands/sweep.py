"""`harness-circuits sweep sweep.yaml`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from harness_circuits.commands.parser import CommandParser, of_kind, text_argument
from harness_circuits.errors import OptionError
from harness_circuits.machine.interrupts import GO_ON, Interrupted, ended_by_signals, in_order
from harness_circuits.machine.outgoing import clean
from harness_circuits.options.kinds import Number, Whole
from harness_circuits.sweep.config import read_config
from harness_circuits.sweep.cost import (
    START,
    estimated_seconds,
    measured_speed,
    operations_per_second,
)
from harness_circuits.sweep.found import found_table
from harness_circuits.sweep.identity import unplanned_identity
from harness_circuits.sweep.job import PlannedCell
from harness_circuits.sweep.local import LocalWorkers
from harness_circuits.sweep.plan import Plan, make_plan
from harness_circuits.sweep.ray_workers import RayWorkers
from harness_circuits.sweep.schedule import Schedule
from harness_circuits.sweep.state import State
from harness_circuits.sweep.view import View, duration, try_to_record
from harness_circuits.sweep.workers import OwnProcess, Workers

EXAMPLE = """
a sweep.yaml:
  models: [default]
  tasks: [ioi_circuit, greater_than_circuit]
  methods: [EAP, {method: EAP-IG-inputs, ig_steps: 10}, random]
  options: {n_discovery: 50, null_circuits: 20, stability_resamples: 50}
  limit: 50
  exclude: [{method: random, task: greater_than_circuit}]

Start the same command again to go on after an interruption; cells with a result are skipped.
Exit codes: 0, all cells have a result (or another sweep is at them); 1, some failed; 130, Ctrl-C;
143, SIGTERM.
"""
SHARE = of_kind(Number(0, 1_000_000, texts=True))
SECONDS_ARGUMENT = of_kind(Number(1, 10**9, texts=True))


def sweep_command(arguments: Sequence[str]) -> int:
    """Run a sweep, or with `--dry-run` say what it would do.

    Raises:
        CircuitError: The file or an option cannot be used.
    """
    options = _parse(arguments)
    config = read_config(options.config)
    longest = config.cell_timeout if options.cell_timeout is None else options.cell_timeout
    if longest is not None and options.processes == 0:
        raise OptionError(
            f"cell_timeout={longest:g}: --processes 0 runs cells in the sweep's own process, which "
            "cannot end one that hangs; use --processes 1."
        )
    logging.getLogger("lm_eval").setLevel(logging.INFO if options.verbose else logging.WARNING)
    plan = make_plan(config, options.results)
    state = State(Path(plan.setup.results))
    if options.dry_run:
        _write(_dry_run(plan, state))
        return 0
    jobs, skipped = list(plan.jobs), []
    if options.skip_failed:
        failed = state.failures()
        skipped = [job for job in jobs if job.identity in failed]
        jobs = [job for job in jobs if job.identity not in failed]
    state.prepare()
    _record(plan, state)
    _write(_overview(plan, skipped))
    try:
        counts = _run(jobs, plan, state, options, longest)
    except Interrupted as signal:
        _write([GO_ON])
        return signal.code
    counts["failed"] += len(plan.refused) + len(skipped)
    _write(_closing(counts, plan, state))
    return 1 if counts["failed"] else 0


def _record(plan: Plan, state: State) -> None:
    """Record what is refused, and forget what no longer is, or has a result."""

    def say(text: str) -> None:
        print(clean(text), file=sys.stderr)

    for _, failure in plan.refused:
        try_to_record(partial(state.write_failure, failure), say)
    for job in (*plan.jobs, *plan.present):
        try_to_record(partial(state.clear_failure, unplanned_identity(job.cell)), say)
    for job in plan.present:
        try_to_record(partial(state.clear_failure, job.identity), say)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        prog="harness-circuits sweep",
        description="Evaluate a grid of models, tasks, methods and settings.",
        epilog=EXAMPLE,
    )
    parser.add_argument("config", type=text_argument, help="YAML file of the grid")
    parser.add_argument(
        "--results",
        type=text_argument,
        help="folder of the results (default: the file's, or results)",
    )
    parser.add_argument("--dry-run", action="store_true", help="list the cells and their cost only")
    parser.add_argument("--skip-failed", action="store_true", help="leave out what failed before")
    parser.add_argument("--executor", choices=("local", "ray"), default="local")
    parser.add_argument(
        "--processes",
        type=of_kind(Whole(0, 100_000, texts=True)),
        help="cells at a time (default: 1; ray: what fits); local: 0 runs them in this process",
    )
    parser.add_argument(
        "--ray-address", type=text_argument, help="an existing cluster; without it, a local one"
    )
    parser.add_argument("--cpus-per-cell", type=SHARE, default=1, help="ray: CPUs of a worker")
    parser.add_argument("--gpus-per-cell", type=SHARE, default=0, help="ray: GPUs of a worker")
    parser.add_argument(
        "--cell-timeout", type=SECONDS_ARGUMENT, help="seconds after which a cell is ended (none)"
    )
    parser.add_argument("--verbose", action="store_true", help="show lm-eval's messages")
    options = parser.parse_args(arguments)
    if options.processes is not None and options.processes < (options.executor == "ray"):
        raise OptionError(f"--processes cannot be {options.processes}.")
    if options.executor == "local" and options.ray_address:
        raise OptionError("--ray-address needs --executor ray.")
    return options


def _run(
    jobs: list[PlannedCell],
    plan: Plan,
    state: State,
    options: argparse.Namespace,
    longest: float | None,
) -> Counter[str]:
    """Run jobs; returns how they ended.

    Raises:
        Interrupted: A signal came while other processes were running them.
    """
    if not jobs:
        return Counter()
    workers = _workers(plan, options)
    view = View(len(jobs), sum(job.cost for job in jobs), workers.n)
    # In this process, libraries run the cells, which may swallow an exception.
    own = isinstance(workers, OwnProcess)
    try:
        with ended_by_signals(GO_ON) if own else in_order():
            return Schedule(state, workers, view, jobs, longest).run()
    finally:
        workers.close()
        view.close()


def _workers(plan: Plan, options: argparse.Namespace) -> Workers:
    if options.executor == "ray":
        return RayWorkers(
            plan.setup,
            options.processes,
            address=options.ray_address,
            cpus=options.cpus_per_cell,
            gpus=options.gpus_per_cell,
        )
    processes = 1 if options.processes is None else options.processes
    return LocalWorkers(plan.setup, processes) if processes else OwnProcess(plan.setup)


def _dry_run(plan: Plan, state: State) -> list[str]:
    """One line per cell: whether it is done, its estimated time, what it is."""
    failed = state.failures()
    measured = measured_speed(state.root, plan.present)
    speed = operations_per_second() if plan.jobs else 1.0
    lines, total = [], START * len({job.cell.value("model") for job in plan.jobs})
    lines += [f"{'present':>10}  {job.cell.label}" for job in plan.present]
    for job in plan.jobs:
        seconds = estimated_seconds(job, measured, speed)
        total += seconds or 0.0
        shown = "unknown" if seconds is None else f"~ {duration(seconds)}"
        before = failed.get(job.identity)
        note = f"  (failed before: {before.error})" if before else ""
        lines.append(f"{shown:>10}  {job.cell.label}{note}")
    lines += [f"{'refused':>10}  {cell.label}: {why.error}" for cell, why in plan.refused]
    basis = "from results of the same model" if measured else "from the speed of this machine"
    lines.append(
        f"{len(plan.jobs)} cells to run, {len(plan.present)} present, {len(plan.refused)} refused; "
        f"about {duration(total)} of work, starting and loading included, estimated {basis}"
    )
    return lines


def _overview(plan: Plan, skipped: Sequence[PlannedCell]) -> Iterable[str]:
    for cell, failure in plan.refused:
        yield f"failed: {cell.label}: {failure.error}"
    for job in skipped:
        yield f"skipped, failed before: {job.cell.label}"
    yield (
        f"{len(plan.jobs) - len(skipped)} cells to run, {len(plan.present)} present, "
        f"{len(plan.refused)} refused, results in {plan.setup.results}"
    )


def _closing(counts: Counter[str], plan: Plan, state: State) -> Iterable[str]:
    present = len(plan.present) + counts["present"]
    text = f"{counts['done']} cells done, {present} present, {counts['failed']} failed"
    text += f", {counts['busy']} being run by another sweep" if counts["busy"] else ""
    found = found_table(state.root, (*plan.present, *plan.jobs))
    yield from (found, "") if found else ()
    yield text
    if counts["failed"]:
        yield f"errors are in {state.root / '.sweep' / 'failures'}"


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
