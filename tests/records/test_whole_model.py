"""Two numbers of the whole model that look alike, under names of their own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.browser import page_views
from helpers.result_files import examples, write_run

from harness_circuits.commands.main import main
from harness_circuits.records.results_file import read_results
from harness_circuits.records.whole_model import behaviour_of


@pytest.mark.parametrize("published", ["logit_diff", "loglikelihood_diff"])
def test_old_and_new_files_are_read_under_the_new_name(tmp_path: Path, published: str) -> None:
    file = write_run(tmp_path, examples(0), with_examples=False)
    data = json.loads(file.read_text())
    task = data["results"]["ioi_circuit"]
    task |= {f"{published},none": 4.415, "full_metric,none": 2.104}
    file.write_text(json.dumps(data))
    (run,) = read_results([file]).runs
    assert run.whole_model["loglikelihood_diff"] == 4.415
    assert run.whole_model["full_metric"] == 2.104
    assert "logit_diff" not in run.whole_model
    assert main(["leaderboard", str(file), "--output", str(tmp_path / "board")]) == 0
    (row,) = csv.DictReader((tmp_path / "board" / "leaderboard.csv").open())
    assert (row["loglikelihood_diff"], row["full_metric"]) == ("4.415", "2.104")
    page = (tmp_path / "board" / "leaderboard.html").read_text()
    facts = page_views(page)[0]["facts"]
    assert facts["loglikelihood_diff (whole answers)"] == "4.415"
    assert facts[f"full_metric ({run.metric})"] == "2.104"


def test_no_behaviour_has_the_name_of_a_first_token_metric() -> None:
    assert behaviour_of("logit_diff") == behaviour_of("kl") == "loglikelihood_diff"
    assert behaviour_of("prob_diff") == "prob_diff"
