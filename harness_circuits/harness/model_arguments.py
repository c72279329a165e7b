"""Options of `--model_args` that are neither settings nor for the model loader (`MODEL`)."""

from __future__ import annotations

from harness_circuits.circuits.sizes import SMALLEST
from harness_circuits.loading.arguments import DTYPE, MODEL, name_or_number
from harness_circuits.options import Option
from harness_circuits.options.kinds import (
    Checked,
    FilePath,
    Number,
    Switch,
    Whole,
    batch_size,
    mapping,
)

__all__ = ["HARNESS", "MODEL", "ORDINARY", "RUN", "WITHOUT_PAIRS"]

# Arguments of lm-eval's `hf` model.
HARNESS = {
    "batch_size": Option(
        Checked("a whole number from 1 to 1000000, auto or auto:N", batch_size), 1, "pairs per pass"
    ),
    "max_batch_size": Option(Whole(1, 1_000_000), None, "the most that batch_size=auto chooses"),
    "truncation": Option(Switch(), False, "cut prompts that are too long"),
    "logits_cache": Option(Switch(), True, "reuse logits where answers are one token"),
    "softmax_dtype": Option(DTYPE, None, "number format of log-probabilities"),
    "think_end_token": Option(
        Checked("a token or its number", name_or_number), None, "what ends a model's reasoning"
    ),
    "enable_thinking": Option(Switch(), None, "for the chat template"),
    "chat_template_args": Option(Checked("a mapping", mapping), None, "for the chat template"),
}

# Those that change nothing on tasks with pairs, where our own passes run.
WITHOUT_PAIRS = (
    "max_batch_size",
    "truncation",
    "logits_cache",
    "softmax_dtype",
    "think_end_token",
)

# Only tasks without pairs have a use for these.
ORDINARY = {
    "size": Option(Number(SMALLEST, 1), None, "the share of all units to keep"),
    "calibration": Option(
        FilePath("a task, a .txt or a .jsonl file"), None, "what means are taken over"
    ),
    "complement": Option(Switch(), False, "run the model without the circuit"),
}

# Which circuit, and what becomes of it.
RUN = {
    "artifacts": Option(FilePath("a folder"), None, "where scores and circuits are written"),
    "circuit": Option(
        FilePath("a file, the name of a known circuit, or discover:TASK"),
        None,
        "evaluated in place of what would be discovered",
    ),
    **ORDINARY,
}
