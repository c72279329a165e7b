"""Requests that come at about the same time, answered together by a worker thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from harness_circuits.inspect.loaded import Loaded

Request = TypeVar("Request")
Answer = TypeVar("Answer")

PAUSE = 0.01  # seconds without a new request before a batch begins


@dataclass(eq=False)
class _Waiting(Generic[Request, Answer]):
    request: Request
    key: Hashable
    answer: Answer | None = None
    error: Exception | None = None
    done: bool = False


class Batches(Generic[Request, Answer]):
    """Answers requests in batches, one batch at a time, in the order in which they come.

    Whoever waits longest runs the next batch, with those behind that can go along; the others find
    their answers there.
    """

    def __init__(
        self, loaded: Loaded, run: Callable[[Sequence[Request]], Sequence[Answer]], most: int
    ) -> None:
        """Hold what answers.

        Args:
            loaded: The model that `run` uses.
            run: Answers requests of one key, in a worker thread.
            most: Requests that one batch may hold.
        """
        self._loaded, self._run, self._most = loaded, run, most
        self._queue: list[_Waiting[Request, Answer]] = []

    async def answer(self, request: Request, key: Hashable) -> Answer:
        """The answer to a request.

        Args:
            request: The request.
            key: Only requests of one key go together.
        """
        own: _Waiting[Request, Answer] = _Waiting(request, key)
        self._queue.append(own)
        try:
            while not own.done:
                async with self._loaded.lock:
                    if not own.done:
                        await self._next()
        finally:
            if own in self._queue:  # cancelled meanwhile
                self._queue.remove(own)
        if own.error is not None:
            raise own.error
        assert own.answer is not None
        return own.answer

    async def _next(self) -> None:
        """Run the next batch."""
        before = -1
        while before < len(self._queue) < self._most:
            before = len(self._queue)
            await anyio.sleep(PAUSE)
        same = [item for item in self._queue if item.key == self._queue[0].key]
        batch = same[: self._most]
        try:
            requests = [item.request for item in batch]
            answers = await self._loaded.in_thread(lambda: self._run(requests))
            for item, answer in zip(batch, answers, strict=True):
                item.answer = answer
        except Exception as error:
            for item in batch:
                item.error = error
        for item in batch:
            item.done = True
            if item in self._queue:
                self._queue.remove(item)
