import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def test_the_package_can_be_run_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "loom", "--version"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == f"loom {version('loom-agent')}\n"
