"""Tests of the node that runs checks; the checks are real."""

import json
import sys
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.errors import ConfigError
from loom.nodes.evaluate import EvaluateOut
from loom.nodes.evaluate_checks import EvaluateChecks
from loom.testing import ScriptedModel, run_node
from loom.tools.workspace import guarded_files
from loom.types.contracts import Verdict
from loom.types.events import Event
from tests.nodes.sprints import BRIEF, CONTRACT, MODEL

pytestmark = pytest.mark.anyio
COMMAND = ("python", "-m", "unittest")
TEST = """
import unittest
from add import add
class T(unittest.TestCase):
    def test_add(self): self.assertEqual(add(1, 1), 2)
"""
MET = json.dumps({"verdicts": [{"id": "c1", "passed": True, "evidence": "a + b"}]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "add.py").write_text("def add(a, b): return a + b\n")
    (tmp_path / "test_add.py").write_text(TEST)
    return tmp_path


async def judged(
    folder: Path,
    model: ScriptedModel | None = None,
    command: tuple[str, ...] = COMMAND,
    events: list[Event] | None = None,
    **inputs: object,
) -> EvaluateOut:
    node = EvaluateChecks(
        model=MODEL if model else None, checks={"tests pass": command}, workspace=str(folder), timeout_s=20
    )
    return await run_node(node, {"brief": BRIEF, "output": "o", **inputs}, model=model, events=events)


async def test_a_check_decides_its_criterion_and_the_model_the_others(
    folder: Path, node_snapshot: SnapshotAssertion
) -> None:
    assert await judged(folder, ScriptedModel([MET]), contract=CONTRACT) == node_snapshot


async def test_the_judge_is_told_what_was_checked(folder: Path, snapshot: SnapshotAssertion) -> None:
    model = ScriptedModel([MET])
    await judged(folder, model, contract=CONTRACT)
    assert model.requests[0].messages[-1] == snapshot


async def test_no_word_of_the_model_turns_a_failed_check(folder: Path) -> None:
    (folder / "add.py").write_text("def add(a, b): return a - b\n")
    entries = [{"id": name, "passed": True, "evidence": "I ran it"} for name in ("c1", "c2")]
    out = await judged(folder, ScriptedModel([json.dumps({"verdicts": entries})]), contract=CONTRACT)
    assert not out.passed
    assert [verdict.passed for verdict in out.sprints[0].verdicts] == [True, False]
    assert out.sprints[0].critique.startswith("tests pass: not met. exit status 1, 0 tests passed")
    assert "AssertionError: 0 != 2" in out.sprints[0].critique


async def test_without_a_model_the_checks_alone_decide(folder: Path) -> None:
    assert (await judged(folder)).passed


@pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "raise SystemExit", "import os; os._exit(0)"])
async def test_code_that_leaves_at_import_fails(folder: Path, leave: str) -> None:
    (folder / "add.py").write_text(f"{leave}\n")
    out = await judged(folder)
    assert not out.passed
    assert not out.sprints[0].verdicts[0].passed


async def test_no_test_at_all_fails(folder: Path) -> None:
    (folder / "test_add.py").unlink()
    assert not (await judged(folder)).passed


@pytest.mark.parametrize("change", ["add.py", "test_add.py"])
async def test_a_changed_test_file_fails_the_check(folder: Path, change: str) -> None:
    guarded = guarded_files(folder, [COMMAND])
    with (folder / change).open("a") as file:
        file.write("# x\n")
    out = await judged(folder, guarded=guarded)
    assert out.passed is (change == "add.py")
    if not out.passed:
        assert 'files that checks rely on were changed: "test_add.py"' in out.sprints[0].critique


async def test_a_test_file_that_the_code_changes_as_it_runs_fails_the_check(folder: Path) -> None:
    guarded = guarded_files(folder, [COMMAND])
    (folder / "add.py").write_text("open('test_add.py', 'a').write('# x')\ndef add(a, b): return a + b\n")
    assert not (await judged(folder, guarded=guarded)).passed


async def test_each_check_is_an_event(folder: Path) -> None:
    events: list[Event] = []
    await judged(folder, events=events)
    payload = {"name": "tests pass", "passed": True, "reason": "exit status 0, 1 test passed"}
    assert [event.payload for event in events if event.type == "check.finished"] == [payload]


async def test_a_verdict_says_that_a_check_decided_it(folder: Path) -> None:
    out = await judged(folder, command=(sys.executable, "-c", "print('1 passed in 1s')"))
    assert out.sprints[0].verdicts == (
        Verdict(
            id="c1", criterion="tests pass", passed=True, evidence="exit status 0, 1 test passed", decided_by="check"
        ),
    )


async def test_a_workspace_into_which_nothing_was_written_is_made(tmp_path: Path) -> None:
    out = await judged(tmp_path / "none", files=())
    assert out.sprints[0].critique.startswith("The reply has no file")
    assert (tmp_path / "none").is_dir()


async def test_what_cannot_run_here_is_told_before_a_check_is_run(folder: Path) -> None:
    with pytest.raises(ConfigError, match='check "tests pass": there is no program "no-such-program"'):
        await judged(folder, command=("no-such-program",))
    with pytest.raises(ConfigError, match='check "tests pass" must be a command as a list of texts'):
        await judged(folder, command=())
    with pytest.raises(ConfigError, match=r'workspace ".*add\.py" cannot be used'):
        await judged(folder / "add.py")
