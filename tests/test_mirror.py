"""Tests mirror the package: what tests a module is in the file of its name, in the folder of its name.

Methods, selectors, metrics, ablations and kinds of evidence are found in their registries by the tests
of all (CONTRIBUTING.md). What has no contract of its own is tested where it is used, together with what
uses it: `TOGETHER` says where.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.environments import ROOT

PACKAGE, TESTS = ROOT / "harness_circuits", ROOT / "tests"
REGISTERS = re.compile(r"^\s*@?[A-Z]+\.register\(", re.M)

# A module or a folder, and the file that tests it with what it is a part of.
TOGETHER = {
    "ablation/constants": "ablation/test_retrained.py",
    "ablation/stored": "ablation/test_retrained.py",
    "attribution/circuit_losses": "attribution/test_acdc.py",
    "attribution/learning": "attribution/test_learning.py",
    "circuits/overlap": "sweep/test_transfer.py",
    "circuits/unit_names": "circuits/test_display.py",
    "circuits/span_paths": "attribution/test_positions.py",
    "commands/export_inspect": "inspect/test_export.py",
    "commands/transfer": "sweep/test_transfer.py",
    "options/ignored": "test_api.py",
    "evaluation/accuracy_area": "report/test_scoring.py",
    "evaluation/circuit_logits": "evaluation/test_evaluate.py",
    "evaluation/exceeding": "evaluation/test_summary.py",
    "evaluation/grid": "evidence/test_robustness.py",
    "evaluation/null_spans": "attribution/test_positions.py",
    "evidence/subject": "evidence/test_shi_tests.py",
    "evidence/table": "evidence/test_kinds.py",
    "evidence/text": "evidence/test_shi_tests.py",
    "formats/kept": "sweep/test_kept.py",
    "formats/hidden_json": "passes/test_hidden_run.py",
    "studies/gathering": "evidence/test_kinds.py",
    "studies/going_on": "evidence/test_going_on.py",
    "studies/halves": "evidence/test_kinds.py",
    "harness/run_facts": "harness/test_paired.py",
    "inspect": "inspect/test_provider.py",
    "machine/notebook": "report/test_findings.py",
    "models/hidden": "passes/test_hidden_run.py",
    "models/hidden_check": "passes/test_hidden_run.py",
    "models/read_graph": "models/test_circuit_model.py",
    "options/words": "pairs/test_spans.py",
    "pairs/prompt_spans": "pairs/test_spans.py",
    "passes/attention_weights": "attribution/test_crossing.py",
    "passes/block_arguments": "attribution/test_crossing.py",
    "passes/crossing_run": "attribution/test_crossing.py",
    "passes/crossing_scores": "attribution/test_crossing.py",
    "passes/mask_path": "attribution/test_eap_ig_circuits.py",
    "passes/masked_edges": "attribution/test_gates.py",
    "passes/masked_nodes": "attribution/test_gates.py",
    "passes/node_sums": "passes/test_circuit_run.py",
    "passes/run_identity": "attribution/test_learning.py",
    "passes/tempered": "attribution/test_gim.py",
    "records/eval_archive": "records/test_inspect_log.py",
    "records/evidence_file": "report/test_page.py",
    "records/pair_scores": "records/test_inspect_log.py",
    "report/circuit_page": "report/test_page.py",
    "report/evidence_view": "report/test_page.py",
    "report/circuit_sources": "report/test_page.py",
    "report/drawing/any_level": "report/test_layout_hidden.py",
    "report/drawing/colours": "report/test_draw.py",
    "report/drawing/curves": "test_api.py",
    "report/drawing/curves_static": "test_api.py",
    "report/drawing/layout_hidden": "report/test_layout_hidden.py",
    "report/page_views": "report/test_page.py",
    "report/transfer": "sweep/test_transfer.py",
    "statistics/binomial": "evidence/test_shi_tests.py",
    "statistics/hsic": "evidence/test_shi_tests.py",
    "statistics/sign_flips": "evidence/test_significance.py",
    "sweep/found": "sweep/test_runner.py",
    "task_data/marks": "pairs/test_spans.py",
    "studies/retraining": "ablation/test_retrained.py",
    "studies/trials": "selection/test_repair.py",
    "tokenise": "pairs/test_tokenise.py",  # its former place, which hands its names on
}


def without_their_own() -> list[str]:
    """Modules that no file of tests is called after, and that no registry knows."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        own = TESTS / place.parent / f"test_{place.name}"
        if (
            path.name != "__init__.py"
            and not own.exists()
            and not REGISTERS.search(path.read_text())
        ):
            found.append(place.with_suffix("").as_posix())
    return found


def covers(name: str, module: str) -> bool:
    return module == name or module.startswith(f"{name}/")


def test_every_module_has_tests_of_its_name_or_is_tested_with_what_uses_it() -> None:
    lost = [m for m in without_their_own() if not any(covers(name, m) for name in TOGETHER)]
    assert lost == [], "give each tests/FOLDER/test_NAME.py, or a line in TOGETHER that says where"


@pytest.mark.parametrize("name", TOGETHER)
def test_what_is_said_of_a_module_is_true(name: str) -> None:
    assert (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()
    assert (TESTS / TOGETHER[name]).is_file()


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    """A test file in a folder of modules is beside others of that folder only."""
    for path in TESTS.rglob("test_*.py"):
        folder = path.relative_to(TESTS).parent
        assert folder == Path() or (PACKAGE / folder).is_dir(), f"{path} mirrors no folder"
