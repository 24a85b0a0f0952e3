"""Programs for tests, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_python(code: str, cwd: Path = ROOT, **environ: str) -> str:
    """Return what a program prints; where it fails, so does the test, with what the program said of it."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environ
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
