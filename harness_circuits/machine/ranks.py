"""Several processes that share one run: who does what, and how the parts come together.

The processes of `torchrun` or `accelerate launch` each hold the whole model. Every rank knows all
training and evaluation batches and runs its own share of them (`Ranks.share`); sums are added up and
lists joined over the ranks afterwards, with the same result on each, to the bit. What is cheap, or
cannot be split, every rank does for itself: selection, random circuits, the method `random`.

A rank that fails says so in place of its part in the next exchange, so that the others fail with its
message and nobody waits (`Ranks.together`). A rank that is killed closes its connections, which fails
the others as well.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from harness_circuits.errors import CircuitError

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=1)

logger = logging.getLogger("lm_eval.circuit")


class RankError(CircuitError):
    """Another process of the same run failed."""


@dataclass(frozen=True)
class Ranks:
    """This process and how many there are; by default the only one.

    Attributes:
        rank: Number of this process.
        size: Number of processes; more than one need an initialised `torch.distributed`.
        sharing: Processes that use the same memory.
        on_machine: Processes on this machine.
    """

    rank: int = 0
    size: int = 1
    sharing: int = 1
    on_machine: int = 1

    @property
    def parts(self) -> int:
        """Number of batches to make at least, so that ranks can divide them evenly."""
        return 1 if self.size == 1 else 2 * self.size

    def share(self, costs: Sequence[float]) -> list[int]:
        """Numbers of the items that are this rank's, ascending.

        Every item belongs to one rank: dearest first, each to the rank with the least so far.
        """
        loads = [0.0] * self.size
        own = []
        for item in sorted(range(len(costs)), key=lambda item: -costs[item]):
            rank = loads.index(min(loads))
            loads[rank] += costs[item]
            if rank == self.rank:
                own.append(item)
        return sorted(own)

    def sum_(self, x: Tensor) -> Tensor:
        """Replace a tensor by its sum over the ranks, in place, and return it.

        Raises:
            RankError: Another rank failed before it came here.
        """
        if self.size > 1:
            self._say(None)
            device = "cuda" if dist.get_backend() == "nccl" else "cpu"
            total = x.to(device).contiguous()
            # Not all-reduce: what every rank goes on with has to be the same to the bit.
            dist.reduce(total, dst=0)
            dist.broadcast(total, src=0)
            if total is not x:
                x.copy_(total)
        return x

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in order.

        Raises:
            RankError: Another rank failed before it came here.
        """
        if self.size == 1:
            return [value]
        self._say(None)
        return _gather(value, self.size)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all ranks fail if one fails in here; all of them have to enter, and none twice.

        Raises:
            RankError: Another rank failed.
        """
        try:
            yield
        except RankError:
            raise
        except Exception as error:
            if self.size > 1:
                self._say(f"{type(error).__name__}: {error}")
            raise
        if self.size > 1:
            self._say(None)

    def _say(self, failure: str | None) -> None:
        """Tell the others whether this rank failed, and hear whether they did."""
        heard = _gather(failure, self.size)
        others = [f"process {rank}: {text}" for rank, text in enumerate(heard) if text is not None]
        if others and failure is None:
            raise RankError(f"Stopped because of {others[0]}")


def _gather(value: T, size: int) -> list[T]:
    values: list[Any] = [None] * size
    dist.all_gather_object(values, value)
    return values


ALONE = Ranks()


def join_processes() -> tuple[Ranks, Any]:
    """Find the other processes of a launcher, and connect to them.

    Returns:
        This process's place, and accelerate's `Accelerator`; None for the only process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        _warn_of_one()
        return ALONE, None
    from accelerate import Accelerator, InitProcessGroupKwargs

    on_cpu = not torch.cuda.is_available()
    how = InitProcessGroupKwargs(timeout=LONGEST_WAIT)
    accelerator = Accelerator(cpu=on_cpu, kwargs_handlers=[how])
    rank, size = int(accelerator.process_index), int(accelerator.num_processes)
    if rank > 0:  # the first process speaks for all
        logging.getLogger("lm_eval").setLevel(logging.WARNING)
    on_machine = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    return Ranks(rank, size, on_machine if on_cpu else 1, on_machine), accelerator


def _warn_of_one() -> None:
    """Say so where `accelerate launch --cpu --num_processes N` started a single process."""
    environment = os.environ
    if environment.get("ACCELERATE_USE_CPU") == "True" and "MASTER_ADDR" in environment:
        logger.warning(
            "accelerate launch --cpu starts one process, whatever --num_processes says (without "
            "MPI). For two, use: torchrun --nproc_per_node 2 -m lm_eval ..., or accelerate launch "
            "--multi_gpu --num_processes 2 -m lm_eval ..., which on a machine without GPUs runs on "
            "its CPU."
        )
