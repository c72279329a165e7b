"""The benchmark runs and measures every stage. No test asserts a time: machines are noisy."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.browser import page_views
from helpers.environments import ROOT
from helpers.result_files import examples, with_task, write_run

from harness_circuits.commands.main import main
from harness_circuits.loading.default_model import DISPLAY_NAME
from harness_circuits.records.checksum import sign
from harness_circuits.records.examples import read_examples
from harness_circuits.records.results_file import read_results, read_results_file
from harness_circuits.settings import Settings
from harness_circuits.sweep.config import read_config
from harness_circuits.sweep.grid import make_grid

sys.path.insert(0, str(ROOT))
from benchmarks import against, cases, child, field, on_paper, results, run
from benchmarks.kept import copy_results, put_back
from benchmarks.table import FLOORS, LIMITS, check, ratios


def times(slowdown: float) -> dict[str, object]:
    """What the quick mode usually finds, with every stage of ours slowed down."""
    usual = {stage: limit / 1.7 for stage, limit in LIMITS.items()}
    stages = {name: {"counts": 1.0} for name in ("forward", "forward-backward", "contraction")}
    for stage, (forwards, both, contractions) in FLOORS.items():
        floor = forwards + both + contractions
        stages[stage] = {"counts": usual[stage] * floor * slowdown}
    return {
        "times": {"quick": {"stages": stages}},
        "memory": [],
        "llama": {"outside": {"JSON": 1.0}},
    }


def test_the_check_lets_noise_pass_and_stops_a_slowdown() -> None:
    assert check(times(1.0)) == check(times(1.5)) == []
    assert len(check(times(2.0))) == len(LIMITS) == len(FLOORS)


def test_the_check_stops_memory_over_its_bound_and_slow_selection() -> None:
    found = times(1.0)
    row = {"case": "quick", "stage": "EAP", "peak_bytes": 3 * 2**20, "max_memory": 2**21}
    found |= {"memory": [row], "llama": {"outside": {"JSON": 11.0}}}
    memory, llama = check(found)
    assert memory == "quick: EAP needs 3 MiB; max_memory is 2 MiB."
    assert llama == "Llama-3.1-8B's graph: 11.0 s outside the passes; the limit is 10."


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks" / "sweeps").glob("*.yaml")), ids=str)
def test_sweeps_have_cells_that_can_be_run(file: Path) -> None:
    assert [cell.problem for cell in make_grid(read_config(file)) if cell.problem] == []


@pytest.mark.parametrize(
    ("tasks", "methods", "cells", "slow"),
    [
        (["ioi_circuit", "sva_circuit"], None, 2 * 2 * 12 + 2 * 3, 3),
        (["sva_circuit"], None, 2 * 12, 0),
        (["ioi_circuit"], ["EAP-IG-inputs"], 2 * 2, 0),
        (["ioi_circuit"], ["EAP-IG-inputs", "exact"], 2 * 2, 2),
    ],
)
def test_the_field_is_on_both_models_and_slow_methods_on_one(
    tasks: list[str],
    methods: list[str] | None,
    cells: int,
    slow: int,
    tmp_path: Path,
) -> None:
    how = {"gemma": str(tmp_path), "models": ["default", "gemma"], "pairs": 9, "slow_pairs": 2}
    options = argparse.Namespace(**how, tasks=tasks, methods=methods)
    first, *others = field.make_sweeps(options, tmp_path)
    grid = make_grid(read_config(first))
    assert len(grid) == cells and {cell.task for cell in grid} == set(tasks)
    assert {cell.settings.n_discovery for cell in grid} == {9}
    more = [cell for file in others for cell in make_grid(read_config(file))]
    assert len(more) == slow and {c.settings.n_discovery for c in more} <= {2}
    assert {c.task for c in more} <= {"ioi_circuit"} and all("gemma" in str(c.model) for c in more)


def test_the_quick_mode_measures_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a smaller model, and all but one measurement in this process."""
    file = tmp_path / "benchmark.json"
    monkeypatch.setitem(cases.CASES, "quick", cases.CASES["peers-small"])
    machine = run.measure(1, kind="machine")
    monkeypatch.setattr(
        run, "measure", lambda threads, **request: json.loads(json.dumps(child.main(request)))
    )
    monkeypatch.setattr("sys.argv", ["run", "--quick", "--repeats", "1", "--json", str(file)])
    assert run.main() == 0
    found = json.loads(file.read_text())
    assert set(ratios(found["times"]["quick"])) == set(FLOORS)
    assert found["memory"][0]["peak_bytes"] >= 0 and found["machine"].keys() == machine.keys()
    assert "| EAP-IG-inputs |" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["run", "--quick", "--memory", "--check"])
    assert run.main() == 0
    assert "| EAP-IG-inputs |" not in capsys.readouterr().out.partition("| peak memory |")[0]


@pytest.mark.slow
def test_pages_say_what_the_committed_results_are(tmp_path: Path) -> None:
    page = tmp_path / "methods.md"
    page.write_text(results.PAGE.read_text())
    cells, kept = results.all_cells(), results.kept_runs()
    runs = results.done(cells, kept)
    results.write_page(runs, len(cells), page)  # of cells of 200 pairs, if there are any
    assert page.read_text() == results.PAGE.read_text()
    said = results.so_far(len(runs), len(cells), results.older(kept, runs))
    assert f"{results.BEGIN}{said}\n{results.END}" in results.README.read_text()
    assert said.replace("`", "") in (results.KEPT / "leaderboard.md").read_text()


def made_cell(folder: Path, name: str) -> Path:
    """A cell as a sweep leaves it: the result, and artifacts in a folder of its name."""
    file = write_run(folder, examples(0))
    artifacts = file.with_name("artifacts").rename(folder / name)
    text = file.read_text().replace(str(folder / "artifacts"), str(artifacts))
    data = json.loads(text)
    sign(data)
    cell = folder / f"{name}.json"
    cell.write_text(json.dumps(data))
    file.unlink()
    return cell


def test_kept_results_have_drawings_and_pairs_but_no_scores_and_no_paths_of_the_machine(
    tmp_path: Path,
) -> None:
    made, kept = tmp_path / "build" / "results", tmp_path / "results"
    cell = made_cell(made / "tiny" / "ioi_circuit", "EAP")
    (kept / "tiny" / "ioi_circuit").mkdir(parents=True)
    (kept / "tiny" / "ioi_circuit" / "old.json").write_text("{}")
    copy_results([cell], made, kept)
    left = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    folder = "tiny/ioi_circuit"
    artifacts = f"{folder}/EAP/ioi_circuit"
    names = ("examples.jsonl.gz", "view.json.gz", "SHA256SUMS")
    assert left == {f"{folder}/EAP.json", *(f"{artifacts}/{name}" for name in names)}
    (run,) = read_results_file(kept / folder / "EAP.json")
    assert run.artifacts is not None and str(tmp_path) not in run.artifacts
    text = (kept / folder / "EAP.json").read_text()
    assert str(tmp_path) not in text and f"results/{folder}/EAP" in text
    (run,) = read_results([kept]).runs
    assert len(read_examples(run).curves) == 2
    page = tmp_path / "page"
    main(
        [
            "leaderboard",
            str(kept),
            "--output",
            str(page),
            "--note",
            "1 of 2.",
            "--without",
            "seconds",
        ]
    )
    text = (page / "leaderboard.html").read_text()
    assert "1 of 2." in text and "panel-cpr" in text and "panel-seconds" not in text
    (view,) = page_views(text)
    assert view["edges"] and view["pairs"]["rows"] and "seconds" not in view["facts"]
    main(["draw", str(kept / artifacts), "--output", str(page / "circuit.html")])
    (view,) = page_views((page / "circuit.html").read_text())
    assert view["edges"] and view["pairs"]["rows"] and view["curves"]


def test_a_sweep_goes_on_from_what_the_repository_keeps(tmp_path: Path) -> None:
    first, second, kept = (tmp_path / name for name in ("first", "second", "kept"))
    cells = [made_cell(first / "tiny" / "ioi_circuit", name) for name in ("EAP", "random")]
    copy_results(cells, first, kept)
    files = sorted(kept.rglob("*.json"))
    put_back(files[:1], kept, second)
    texts = {"EAP.json", "EAP/ioi_circuit/examples.jsonl", "EAP/ioi_circuit/view.json"}
    folder = second / "tiny" / "ioi_circuit"
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == texts
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    copy_results([folder / "EAP.json"], second, kept, stay=files[1:])
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before
    copy_results([folder / "EAP.json"], second, kept)
    assert sorted(kept.rglob("*.json")) == files[:1] and not list(kept.rglob("random*"))
    (folder / "EAP.json").write_text("newer")
    put_back(files[:1], kept, second)
    assert (folder / "EAP.json").read_text() == "newer"


def test_older_results_stay_until_a_cell_takes_their_place(tmp_path: Path) -> None:
    folder = tmp_path / "kept" / "tiny" / "sva_circuit"
    for method in ("EAP", "random"):
        write_run(folder / method, with_task(examples(0, 12), "sva_circuit"), method=method)
        (file,) = (folder / method).glob("*.json")
        file.rename(folder / f"{method}.json")
    kept = read_results([tmp_path / "kept"]).runs
    eap = folder / "EAP.json"
    renamed = tmp_path / "made" / "tiny-by-another-name" / "sva_circuit" / eap.name
    renamed.parent.mkdir(parents=True)
    renamed.write_bytes(eap.read_bytes())
    new = read_results([tmp_path / "made"]).runs
    assert [run.settings["method"] for run in results.older(kept, new)] == ["random"]
    said = results.so_far(1, 2, results.older(kept, new))
    assert (
        said.startswith("1 of the 2 cells") and "older results stay (1, of 12 test pairs)" in said
    )


def test_an_interrupted_sweep_has_whole_methods_first() -> None:
    """All tasks by one method before the next: what is there at any time can be compared."""
    cells = results.all_cells()
    first = [cell.settings.method for cell in cells if cell.settings.level == "edge"][:45]
    assert [first[at] for at in (0, 15, 30)] == ["EAP-IG-inputs", "EAP", "random"]
    assert all(len(set(first[at : at + 15])) == 1 for at in (0, 15, 30))
    learned = field.all_cells()
    assert cells[-len(learned) :] == learned
    assert {cell.settings.n_discovery for cell in cells[: -len(learned)]} == {results.PAIRS}


def test_a_cell_has_the_run_of_its_model_task_and_settings(tmp_path: Path) -> None:
    """Wherever the second model's file is now, and whatever settings came since."""
    cells = results.all_cells()
    for model in (DISPLAY_NAME, "gemma-3-270m-q4_k_m.gguf"):
        folder = tmp_path / model / "sva_circuit"
        records = with_task(examples(0, 12), "sva_circuit")
        file = write_run(folder, records, method="EAP")
        data = json.loads(file.read_text())
        wanted = Settings(method="EAP", n_discovery=results.PAIRS).to_dict()
        del wanted["crossing"]  # as of a version without it
        data["config"]["circuit"]["settings"] = wanted
        file.write_text(json.dumps(data))
    runs = read_results([tmp_path]).runs
    found = results.done(cells, runs)
    assert len(found) == 2 and {run.file for run in found} == {run.file for run in runs}


def test_no_benchmark_hides_a_module_of_python() -> None:
    """`python benchmarks/X.py` looks into this folder first, for the standard library too."""
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert not names & set(sys.stdlib_module_names)
    script = [sys.executable, str(ROOT / "benchmarks" / "task_accuracy.py"), "--help"]
    result = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_an_earlier_commit_is_connected_by_its_own_startup_file(tmp_path: Path) -> None:
    (tmp_path / "harness_circuits_startup.py").write_text("def install(): print('connected')\n")
    (tmp_path / "lm_eval").mkdir()
    (tmp_path / "lm_eval" / "__init__.py").touch()
    (tmp_path / "lm_eval" / "__main__.py").write_text(
        "import sys\nprint(sys.argv[1:], any('LmEval' in repr(f) for f in sys.meta_path))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", against.START, "--model", "circuit"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines() == ["connected", "['--model', 'circuit'] False"]


def test_two_trees_are_compared_by_the_smallest_of_their_rounds() -> None:
    stages = {"load": 1.0, "discovery": 4.0, "evaluation": 8.0, "cpr": 1.5, "cmd": 0.25}
    before, now = ([{"CPU": cpu} | stages for cpu in rounds] for rounds in ((20, 24), (12, 11)))
    lines = against.table("abc", before, now).splitlines()
    assert lines[2] == "| CPU s, start to finish | 20.0 | 11.0 | 0.55 |"
    assert lines[-2:] == ["", "Ratios of CPU time, round by round: 0.600, 0.458"]


def test_llama_on_paper_has_its_shapes_without_its_weights() -> None:
    small = on_paper.llama(num_hidden_layers=2)
    parameter = next(small.hf.parameters())
    assert parameter.is_meta and parameter.dtype.itemsize == 2
    # Per layer, in bfloat16: 32 query heads, 8 keys and 8 values of width 128, each reading 4096.
    assert on_paper.folded_bytes(small) == 2 * 2 * (32 + 8 + 8) * 128 * 4096
    (batch,) = on_paper.batches_of(small, 10, 17, 12, 2**40)
    # A pass has room for 240 prompts of 17 tokens, or of 5 and one for the prefix: 68 times 10.
    assert batch.shared == 12 and on_paper.side_by_side(batch) == 240 * 17 // (10 * 6)
    assert on_paper.passes([batch], 68) == 1 and on_paper.passes([batch], 69) == 2
    found = on_paper.figures(small, 200, 17, 12)
    assert found["edges"] == f"{small.graph.n_edges:,}"
    sums = small.graph.n_src * small.graph.n_dst * 8 / 2**20
    assert found["score sums, float64"] == f"{sums:.0f} MiB"
