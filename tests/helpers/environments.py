"""Small virtual environments for tests that look at the package from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SWITCH = "HARNESS_CIRCUITS_DISABLE_PLUGIN"
LM_EVAL = "import sys; from lm_eval.__main__ import cli_evaluate; sys.exit(cli_evaluate())"


@dataclass(frozen=True)
class Environment:
    """A virtual environment that sees the packages, but not the start-up hooks, of this one."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    def run(
        self, *command: str | Path, switches: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment (`python`, `lm_eval`, ...) outside the checkout."""
        program, *arguments = map(str, command)
        inherited = {k: v for k, v in os.environ.items() if k not in (SWITCH, "PYTHONPATH")}
        result = subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=self.folder,
            env={**inherited, "HF_HUB_OFFLINE": "1", **(switches or {})},
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        if check:
            assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
        return result

    def lm_eval(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `lm_eval` on tasks of ours and of files, which are all that it knows."""
        code = (Path(__file__).parent / "small_lm_eval.py").read_text()
        return self.run("python", "-c", code, *arguments)

    def python_code(
        self, code: str, *, flags: Sequence[str] = (), switches: Mapping[str, str] | None = None
    ) -> str:
        """Run Python code and return what it printed."""
        return self.run("python", *flags, "-c", code, switches=switches).stdout

    def install(self, *what: str | Path) -> None:
        """Install a wheel or a checkout with pip, offline and without its dependencies."""
        offline = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet")
        python = ("--python", str(self.python), "--disable-pip-version-check")
        subprocess.run(
            [sys.executable, "-m", "pip", *python, "install", *offline, *map(str, what)],
            cwd=self.folder,
            check=True,
        )


def make_environment(folder: Path, *, with_dependencies: bool = True) -> Environment:
    """Make an environment without pip; its path includes this environment's packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    environment = Environment(folder)
    if with_dependencies:
        paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        (environment.packages / "dependencies.pth").write_text("\n".join(sorted(paths)) + "\n")
        script = folder / "bin" / "lm_eval"  # what pip writes for lm-eval's entry point
        script.write_text(f"#!{environment.python}\n{LM_EVAL}\n")
        script.chmod(0o755)
    return environment


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout, as pip would, and return its path."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel
