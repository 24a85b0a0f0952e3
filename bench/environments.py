"""An environment for each peer, made once and kept; Loom itself is installed anew each time."""

import os
import shutil
import subprocess
import sys
import tomllib
from hashlib import sha256
from pathlib import Path

from bench.pins import PEERS

ROOT = Path(__file__).resolve().parent.parent
NOT_INSTALLED = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "docs", "tests", "bench")


def home() -> Path:
    """Return the folder of all environments: LOOM_BENCH_ENVS, or one in the user's cache."""
    return Path(os.environ.get("LOOM_BENCH_ENVS") or Path.home() / ".cache" / "loom-bench").expanduser().resolve()


def ready(peer: str) -> Path:
    """Return the Python of a peer's environment, which is made if there is none of these versions.

    Raises CalledProcessError where an installation fails; what the installer says goes to stderr.
    """
    name, requires, constraints = peer, list(PEERS[peer].requires), ""
    is_loom = not requires
    if is_loom:
        requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        constraints = run(sys.executable, str(ROOT / ".ci" / "pins.py"))
    else:
        name = requires[0].partition("==")[0]  # peers that require the same share an environment
    key = sha256("\n".join([sys.version, constraints, *requires]).encode()).hexdigest()[:10]
    folder = home() / f"{name}-{key}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "ready").exists():
        print(f"setting up {folder} ...", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
        (folder / "pins.txt").write_text(constraints)
        install(python, "--constraint", str(folder / "pins.txt"), *requires)
        (folder / "ready").touch()
    if is_loom:
        # From a copy: a build leaves files beside its sources, and takes up those that an older one has left.
        source = folder / "source"
        shutil.rmtree(source, ignore_errors=True)
        shutil.copytree(ROOT, source, symlinks=True, ignore=NOT_INSTALLED)
        install(python, "--no-deps", "--force-reinstall", str(source))
    return python


def make(folder: Path) -> None:
    if has_uv():
        run("uv", "venv", "--quiet", "--python", sys.executable, str(folder))
    else:
        run(sys.executable, "-m", "venv", str(folder))


def install(python: Path, *what: str) -> None:
    if has_uv():
        run("uv", "pip", "install", "--quiet", "--python", str(python), *what)
    else:
        run(str(python), "-m", "pip", "install", "-qq", *what)


def has_uv() -> bool:
    """Tell whether there is a uv that runs: a shim may stand in for one that is not there."""
    return shutil.which("uv") is not None and not subprocess.call(["uv", "--version"], stdout=subprocess.DEVNULL)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
