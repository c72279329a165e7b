"""How far a stage is, where nobody watches: log lines by a clock that the tests set."""

from __future__ import annotations

import logging

import pytest
from helpers.tiny_models import tiny_model, token_batches

from harness_circuits.machine.progress import ProgressLines, progress, told_by, within


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def started() -> tuple[Clock, list[str], ProgressLines]:
    clock, said = Clock(), list[str]()
    return clock, said, ProgressLines(200, "discovery", "pairs", clock=clock, say=said.append)


def test_a_line_every_ten_seconds_with_what_is_done_and_the_time_left() -> None:
    clock, said, lines = started()
    for _ in range(10):  # 4 seconds for every 10 pairs
        clock.now += 4
        lines.advance(10)
    assert said == [
        "discovery: 30 of 200 pairs, 00:12 so far, about 01:08 left",
        "discovery: 60 of 200 pairs, 00:24 so far, about 00:56 left",
        "discovery: 90 of 200 pairs, 00:36 so far, about 00:44 left",
    ]


def test_a_long_batch_shows_its_passes() -> None:
    clock, said, lines = started()
    for _ in range(3):
        clock.now += 6
        lines.alive()
    clock.now += 10
    lines.advance(100)
    assert said == [
        "discovery: 0 of 200 pairs (2 passes), 00:12 so far, time left not known yet",
        "discovery: 100 of 200 pairs (3 passes), 00:28 so far, about 00:28 left",
    ]


def test_the_end_is_told_of_a_stage_that_told_of_itself() -> None:
    clock, said, lines = started()
    clock.now += 9
    lines.advance(200)
    lines.end()
    assert said == []  # it took nine seconds
    clock, said, lines = started()
    clock.now += 3000
    lines.advance(100)
    clock.now += 3000
    lines.advance(100)
    lines.end()
    assert said[1:] == ["discovery: 200 of 200 pairs in 1:40:00"]


def test_passes_are_logged_where_stderr_is_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="lm_eval")
    clock, model = Clock(), tiny_model("gpt2")
    (batch,) = token_batches(4)
    with progress(8, "evaluation", "pairs", clock) as bar, model.tells(bar.alive):
        for _ in range(2):
            clock.now += 11
            model.forward(batch.clean)
            bar.advance(len(batch))
    model.forward(batch.clean)  # not told any more
    said = [r.getMessage() for r in caplog.records if r.name == "lm_eval.circuit"]
    assert said == [
        "evaluation: 0 of 8 pairs (1 pass), 00:11 so far, time left not known yet",
        "evaluation: 4 of 8 pairs (2 passes), 00:22 so far, about 00:22 left",
        "evaluation: 8 of 8 pairs in 00:22",
    ]


def test_nothing_is_told_where_messages_are_hidden(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING, logger="lm_eval")
    clock = Clock()
    with progress(2, "discovery", "pairs", clock) as bar:
        for _ in range(2):
            clock.now += 60
            bar.alive()
            bar.advance(1)
    assert capfd.readouterr().err == "" and not caplog.records


def test_a_note_stands_behind_the_numbers() -> None:
    clock, said = Clock(), []
    lines = ProgressLines(4, "learning masks", "steps", clock=clock, say=said.append, every=10)
    clock.now += 11
    lines.note("loss 0.5")
    lines.advance(1)
    clock.now += 1
    lines.note("loss 0.25")
    lines.advance(3)
    lines.end()
    assert said == [
        "learning masks: 1 of 4 steps, 00:11 so far, about 00:33 left, loss 0.5",
        "learning masks: 4 of 4 steps in 00:12, loss 0.25",
    ]


def test_a_stage_of_a_part_says_of_which() -> None:
    clock, said = Clock(), list[tuple[str, str]]()
    with told_by(lambda *what: said.append(what)), within("evidence=sufficiency"):
        with within("29 circuits"), progress(200, "evaluation", "pairs", clock) as bar:
            clock.now += 5
            bar.advance(10)
        with progress(4, "discovery", "pairs", clock) as bar:
            clock.now += 5
            bar.advance(1)
    with told_by(lambda *what: said.append(what)), progress(2, "loading", "files", clock) as bar:
        clock.now += 5
        bar.advance(1)
    names = [name for name, _ in said]
    assert names == [
        "evidence=sufficiency, 29 circuits, evaluation",
        "evidence=sufficiency, discovery",
        "loading",
    ]
