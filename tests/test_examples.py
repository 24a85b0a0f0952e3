"""Tests of the examples: each is run as a user would run it."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"demo.py", "record.py", "work.py"}


def test_the_demo_fails_first_is_killed_resumes_and_passes(tmp_path: Path) -> None:
    result = run("demo.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    said = result.stdout
    assert "no model is called, the tests really run" in said
    before, after = said.split("resume    in a new process")
    assert "this process killed itself with SIGKILL" in before
    assert "= kept  step 1, generate" in after
    assert "= kept  step 2, evaluate" in after
    assert "✓ done  step 3, generate" in after
    assert "passed after" in after
    assert "✗ sprint 1, tests pass" in after
    assert "def evens" in after
    assert (tmp_path / ".loom" / "harness.svg").read_text().startswith("<?xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".loom"]


def test_the_command_that_the_demo_ends_with_shows_its_run(tmp_path: Path) -> None:
    said = run("demo.py", cwd=tmp_path).stdout
    command = said.rpartition("journal   ")[2].strip()
    shown = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert shown.stdout.startswith('run demo, graph "harness": completed'), shown.stderr


def test_the_demo_refuses_a_server_without_a_model(tmp_path: Path) -> None:
    result = run("demo.py", "--api-base", "http://127.0.0.1:9/v1", cwd=tmp_path)
    assert result.returncode == 2
    assert "name it too: make demo MODEL=" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_demo_can_be_run_again(tmp_path: Path) -> None:
    assert run("demo.py", cwd=tmp_path).returncode == 0
    again = run("demo.py", cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_steps_of_the_demo_that_were_finished_before_the_kill_are_not_run_again(tmp_path: Path) -> None:
    said = run("demo.py", cwd=tmp_path).stdout
    done = [line.split("step ")[1].split(",")[0] for line in said.splitlines() if "✓ done" in line]
    assert done == [*sorted(set(done) - {"3", "4"}), "3", "4"]


def test_recording_needs_a_server(tmp_path: Path) -> None:
    result = run("record.py", cwd=tmp_path)
    assert result.returncode == 2
    assert "make record API_BASE=" in result.stderr


@pytest.mark.skipif(find_spec("litellm") is None, reason="the extra `agent` is not installed")
def test_recording_says_when_the_server_is_not_there(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    command = [sys.executable, "record.py", "--api-base", "http://127.0.0.1:9/v1", "--seeds", "1"]
    result = subprocess.run(
        command, cwd=tmp_path / "examples", capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 1
    assert "http://127.0.0.1:9/v1" in result.stderr
    assert "Traceback" not in result.stderr
