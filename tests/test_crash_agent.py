"""Kill an agent with SIGKILL in the midst of a tool call or of a question, and go on in a new process."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.crashing import effects_of
from tests.crashing_agent import CALLS, Command, Kind

pytestmark = pytest.mark.slow

# Any, in this module: JSON.

ROOT = Path(__file__).parent.parent
ONCE = dict.fromkeys(CALLS, 1)
DONE = ", ".join(f"{name} done" for name in CALLS)


def process(folder: Path, command: Command) -> "subprocess.Popen[str]":
    program = [sys.executable, "-m", "tests.crashing_agent", str(folder), json.dumps(asdict(command))]
    return subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def done(folder: Path, command: Command) -> Any:
    """Have a command done to its end; return what it came to."""
    with process(folder, command) as child:
        said, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return json.loads(said)


def killed(folder: Path, command: Command) -> list[Any]:
    """Have a command begun, and kill its process when it hangs; return what it said before."""
    said: list[Any] = []
    with process(folder, command) as child:
        assert child.stdout
        for line in child.stdout:
            if json.loads(line) == "hangs":
                os.kill(child.pid, signal.SIGKILL)
                break
            said.append(json.loads(line))
        child.wait(timeout=60)
    assert child.returncode == -signal.SIGKILL
    return said


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["idempotent", "read"])
def test_a_call_that_may_be_made_again_is_made_again_and_no_other_is(tmp_path: Path, kind: Kind, moment: Any) -> None:
    killed(tmp_path, Command("run", kind, hangs=moment))
    came = done(tmp_path, Command("resume", kind))
    assert (came["status"], came["output"]) == ("completed", DONE)
    assert effects_of(tmp_path, "r").read() == ONCE | {"third": 2 if moment == "after" else 1}


def test_a_write_that_has_not_happened_is_asked_about_and_made_when_told_so(tmp_path: Path) -> None:
    killed(tmp_path, Command("run", "write", hangs="before"))
    came = done(tmp_path, Command("resume", "write"))
    (ask,) = came["asks"]
    assert (came["status"], ask["kind"]) == ("paused", "in_doubt")
    assert '"2: third"' in ask["question"]
    assert effects_of(tmp_path, "r").read() == {"first": 1, "second": 1}
    came = done(tmp_path, Command("resume", "write", answers={ask["id"]: "retry"}))
    assert (came["status"], came["output"]) == ("completed", DONE)
    assert effects_of(tmp_path, "r").read() == ONCE


@pytest.mark.parametrize(
    ("answer", "output"),
    [
        ({"result": {"result": {"tool_call_id": "call_3", "content": "third done"}}}, DONE),
        ("skip", DONE.replace("third done", 'the call of tool "third" was skipped')),
    ],
)
def test_a_write_that_has_happened_is_asked_about_and_not_made_again(tmp_path: Path, answer: Any, output: str) -> None:
    killed(tmp_path, Command("run", "write", hangs="after"))
    (ask,) = done(tmp_path, Command("resume", "write"))["asks"]
    assert ask["kind"] == "in_doubt"
    came = done(tmp_path, Command("resume", "write", answers={ask["id"]: answer}))
    assert (came["status"], came["output"]) == ("completed", output)
    assert effects_of(tmp_path, "r").read() == ONCE


def test_a_question_outlives_every_process_and_its_answer_counts_once(tmp_path: Path) -> None:
    ((first,), (again,)) = (
        killed(tmp_path, Command("run", "permission", waits=True)),
        killed(tmp_path, Command("resume", "permission", waits=True)),
    )
    assert first == again
    (ask,) = first["asks"]
    assert ask["kind"] == "approve"
    assert effects_of(tmp_path, "r").read() == {}
    yes = Command("resume", "permission", hangs="after", answers={ask["id"]: True})
    killed(tmp_path, yes)
    assert effects_of(tmp_path, "r").read() == {"first": 1, "second": 1, "third": 1}
    (doubt,) = done(tmp_path, Command("resume", "permission"))["asks"]
    assert doubt["kind"] == "in_doubt", "the approval was for one call, and that one may have happened"
    came = done(tmp_path, Command("resume", "permission", answers={doubt["id"]: "skip"}))
    assert came["status"] == "completed"
    assert effects_of(tmp_path, "r").read() == ONCE
