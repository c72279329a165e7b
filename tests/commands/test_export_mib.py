"""`export-mib` makes a submission of artifacts and of others' files."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.mib_cells import CELLS, GRAPH, artifacts, random_scores, top, tree

from harness_circuits.circuits.ranking import Ranking
from harness_circuits.commands import main
from harness_circuits.commands.export_mib import export_mib
from harness_circuits.errors import CircuitFileError, OptionError
from harness_circuits.formats import (
    write_circuits,
    write_scores,
)
from harness_circuits.formats.mib_folder import (
    SIZES,
    write_submission,
)


def test_command_names_cells_by_provenance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    artifacts(run, "ioi_circuit", random_scores(0, model="openai-community/gpt2", task="ioi"))
    artifacts(run, "mcqa_circuit", random_scores(1, model="gpt2", task="mcqa_circuit"))
    other = random_scores(2, model="Qwen/Qwen2.5-0.5B", task="ioi")
    qwen = write_scores(tmp_path / "a.safetensors", other)
    assert main.main(["export-mib", str(tmp_path / "out"), str(run), str(qwen)]) == 0
    cells = ("ioi_gpt2", "ioi_qwen2.5", "mcqa_gpt2")
    assert tree(tmp_path / "out") == [f"{cell}/importances.json" for cell in cells]
    output = capsys.readouterr().out
    assert f"ioi_gpt2: importances of {GRAPH.n_edges} edges" in output
    assert "warning" not in output


def test_command_takes_names_and_files_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_submission(tmp_path / "others", CELLS, "pt")
    source = f"mcqa_gemma2={files / 'ioi_gpt2' / 'importances.pt'}"
    export_mib([str(tmp_path / "out"), source, "--format", "json"])
    assert tree(tmp_path / "out") == ["mcqa_gemma2/importances.json"]
    assert (
        "warning: MIB asks for at least 2 models; there is only gemma2" in capsys.readouterr().out
    )


def test_command_writes_circuits(tmp_path: Path) -> None:
    folder = artifacts(tmp_path, "ioi", random_scores(model="gpt2", task="ioi"))
    export_mib([str(tmp_path / "out"), str(folder), "--circuits", "absolute", "--format", "pt"])
    assert len(tree(tmp_path / "out" / "ioi_gpt2")) == 9
    with pytest.raises(CircuitFileError, match=r"nine sizes .*; got none"):
        export_mib([str(tmp_path / "b"), str(folder), "--circuits", "signed"])


def test_command_says_what_it_cannot_use(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    scores = write_scores(tmp_path / "a.safetensors", random_scores(model="SmolLM2", task="ioi"))
    with pytest.raises(OptionError, match=r"task 'ioi' on model 'SmolLM2' is none of MIB's. Say"):
        export_mib([out, str(scores)])
    with pytest.raises(OptionError, match="is given twice, the second time by ioi_gpt2="):
        export_mib([out, f"ioi_gpt2={scores}", f"ioi_gpt2={scores}"])
    with pytest.raises(OptionError, match="is neither a file nor an artifacts folder"):
        export_mib([out, f"ioi_gpt2={tmp_path / 'none'}"])
    folder = artifacts(tmp_path, "ioi", random_scores(model="gpt2"))
    one = f"ioi_gpt2={folder / 'circuits.safetensors'}#absolute@0.5"
    with pytest.raises(OptionError, match="is neither a file"):
        export_mib([out, one])
    with pytest.raises(SystemExit):
        export_mib([out])
    assert not Path(out).exists()


def test_command_writes_both_rankings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = random_scores(model="gpt2", task="ioi")
    named = {f"{r}@{size:g}": top(scores, size) for r in Ranking for size in SIZES}
    write_circuits(tmp_path / "ioi" / "circuits.safetensors", named)
    source = f"ioi_gpt2={tmp_path / 'ioi'}"
    export_mib([str(tmp_path / "out"), source, "--circuits", "both"])
    assert len(tree(tmp_path / "out" / "ioi_gpt2" / "abs-True")) == 9
    assert len(tree(tmp_path / "out" / "ioi_gpt2" / "abs-False")) == 9
    assert "ioi_gpt2: 9 circuits abs-True, 9 circuits abs-False" in capsys.readouterr().out
    write_circuits(tmp_path / "ioi" / "circuits.safetensors", dict(list(named.items())[:9]))
    with pytest.raises(CircuitFileError, match=r"ioi_gpt2/abs-False: MIB asks .*; got none"):
        export_mib([str(tmp_path / "out2"), source, "--circuits", "both"])
