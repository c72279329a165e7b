"""Small ordinary lm-eval tasks in files: multiple choice, rolling perplexity, generation."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from helpers.tiny_tasks import evaluate
from lm_eval.models.huggingface import HFLM

SHAPES = {
    "choice": "output_type: multiple_choice\ndoc_to_choice: choices\ndoc_to_target: label\n",
    "rolling": "output_type: loglikelihood_rolling\ndoc_to_target: text\n"
    "metric_list: [{metric: word_perplexity}]\n",
    "generation": "output_type: generate_until\ndoc_to_target: text\n"
    "generation_kwargs: {until: ['.'], max_gen_toks: 6}\n"
    "metric_list: [{metric: exact_match}]\n",
}


def write_ordinary_tasks(folder: Path, docs: Iterable[Mapping[str, Any]]) -> Path:
    """Write the three tasks over documents with `text`, `choices` and `label`."""
    lines = "".join(json.dumps(doc) + "\n" for doc in docs)
    (folder / "docs.jsonl").write_text(lines)
    for name, shape in SHAPES.items():
        query = '""' if name == "rolling" else "text"
        (folder / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\n"
            f"dataset_kwargs: {{data_files: {{test: {folder / 'docs.jsonl'}}}}}\n"
            f"test_split: test\ndoc_to_text: {query}\n{shape}"
        )
    return folder


def responses(model: HFLM, folder: Path) -> dict[str, list[Any]]:
    """Answers to all requests of the three tasks."""
    found = evaluate(model, list(SHAPES), folder, log_samples=True)
    return {name: [s["filtered_resps"] for s in found["samples"][name]] for name in SHAPES}


def furthest(left: Mapping[str, list[Any]], right: Mapping[str, list[Any]]) -> float:
    """The largest difference of log-likelihoods; infinite where generated texts differ."""
    if left["generation"] != right["generation"]:
        return float("inf")

    def flat(found: Mapping[str, list[Any]]) -> list[float]:
        choices = [float(pair[0]) for row in found["choice"] for pair in row]
        return choices + [float(row[0]) for row in found["rolling"]]

    return max(abs(a - b) for a, b in zip(flat(left), flat(right), strict=True))
