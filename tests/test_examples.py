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
    harness = {"demo.py", "record.py", "work.py"}
    agents = {"quick_start.py", "sessions.py", "streaming.py", "approval.py", "crash_and_resume.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == harness | agents
    assert all(len((EXAMPLES / name).read_text().splitlines()) < 60 for name in agents)


def said_by(name: str, *arguments: str, cwd: Path) -> str:
    """Return what an example prints when all goes well."""
    result = run(name, *arguments, cwd=cwd)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_the_quick_start_answers(tmp_path: Path) -> None:
    said = said_by("quick_start.py", cwd=tmp_path)
    assert said.startswith("A checkpoint is saved after every step.\ncompleted, ")
    assert list(tmp_path.iterdir()) == []


def test_the_session_remembers_also_in_the_next_process(tmp_path: Path) -> None:
    first, second = (said_by("sessions.py", cwd=tmp_path).splitlines()[-1].strip() for _ in range(2))
    assert first == "This is question 3; the first was: What makes a good API?"
    assert second == "This is question 6; the first was: What makes a good API?"


def test_the_stream_shows_words_calls_and_results(tmp_path: Path) -> None:
    said = said_by("streaming.py", cwd=tmp_path)
    assert "[count_files {'folder': 'src'}]\n" in said
    assert "[count_files gave 12]\n" in said
    assert "12 and 9: 21 files.\nsuccess after 2 turns\n" in said
    assert said.endswith("run.completed \noutput 12 and 9: 21 files.\n")


@pytest.mark.parametrize(("answer", "told"), [("yes", "1.4 is live in staging"), ("no", "the call was not approved")])
def test_a_person_allows_or_denies(answer: str, told: str, tmp_path: Path) -> None:
    asked, said = said_by("approval.py", answer, cwd=tmp_path).splitlines()
    assert "'env': 'staging'" in asked
    assert said == f'Told: {told}; safety rule "not_to_production": nobody deploys there'


def test_where_nobody_is_there_to_allow_a_call_it_is_not_made(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "approval.py")]
    result = subprocess.run(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "the call was not approved" in result.stdout


def test_what_was_paid_before_the_kill_is_paid_once(tmp_path: Path) -> None:
    said = said_by("crash_and_resume.py", cwd=tmp_path)
    assert 'the process to "begin" ended with -9' in said
    assert "in_doubt: " in said
    assert [line for line in said.splitlines() if line.startswith("paid")] == [f"paid {n}" for n in range(1, 6)]
    assert list(tmp_path.iterdir()) == []


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
