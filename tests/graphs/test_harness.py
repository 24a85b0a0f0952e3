"""Tests of the harness: scripted models, real checks."""

import inspect
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from syrupy.assertion import SnapshotAssertion

import loom.graphs.harness
from loom import ConfigError, Runtime
from loom.graphs.harness import HarnessState, harness
from loom.runs.app import CompiledGraph
from loom.testing import ScriptedModel
from loom.tools.workspace import guarded_files
from tests.graphs import briefs
from tests.graphs.briefs import (
    BAD,
    BRIEF,
    CHECKS,
    COMMAND,
    CONTRACT,
    EVALUATOR,
    GENERATOR,
    GOOD,
    PLANNER,
    TEST,
    WORSE,
    answer,
    code,
    verdict,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "test_add.py").write_text(TEST)
    return folder


def checked(workspace: Path, *, max_sprints: int = 5, check_timeout_s: float = 20) -> CompiledGraph[HarnessState]:
    """Return the harness that checks alone decide in."""
    graph = harness(
        GENERATOR, checks=CHECKS, workspace=workspace, max_sprints=max_sprints, check_timeout_s=check_timeout_s
    )
    return graph.compile()


async def run(app: CompiledGraph[HarnessState], workspace: Path | None = None, **replies: list[str]) -> HarnessState:
    """Run to the end; every scripted reply is used."""
    models = {f"given:{role}": ScriptedModel(said) for role, said in replies.items()}
    guarded = guarded_files(workspace, [COMMAND]) if workspace else {}
    result = await app.run({"brief": BRIEF, "guarded": guarded}, runtime=Runtime(models=models))
    assert result.status == "completed"
    for model in models.values():
        model.assert_done()
    return result.state


def full() -> CompiledGraph[HarnessState]:
    checks = {"tests pass": ["pytest", "-q"]}
    return harness(GENERATOR, EVALUATOR, PLANNER, checks=checks, workspace=".").compile()


@pytest.mark.parametrize("picture", ["svg", "mermaid"])
def test_the_picture_is_as_reviewed(picture: str, snapshot: SnapshotAssertion) -> None:
    app = full()
    assert (app.draw("svg") if picture == "svg" else app.draw("mermaid")) == snapshot


def test_the_docstring_shows_the_picture() -> None:
    doc = inspect.getdoc(loom.graphs.harness) or ""
    assert doc.split("```mermaid\n")[1].split("```")[0] == full().draw("mermaid")


def test_parts_are_removable(snapshot: SnapshotAssertion) -> None:
    made = {
        "alone": harness(GENERATOR),
        "with evaluator": harness(GENERATOR, EVALUATOR),
        "with planner": harness(GENERATOR, None, PLANNER),
        "with checks": harness(GENERATOR, checks=CHECKS),
        "with evaluator and planner": harness(GENERATOR, EVALUATOR, PLANNER, max_sprints=2),
    }
    edges = {
        name: [(edge.source, edge.target, edge.label) for edge in graph.compile().outline().edges]
        for name, graph in made.items()
    }
    assert edges == snapshot


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_sprints must be a whole number of at least 1; got int: 0"):
        harness(GENERATOR, max_sprints=0)
    with pytest.raises(ConfigError, match="check_timeout_s must be more than 0 seconds; got int: 0"):
        harness(GENERATOR, check_timeout_s=0)
    with pytest.raises(ConfigError, match='check "t" must be a command'):
        harness(GENERATOR, checks={"t": "pytest -q"})


# Any: what untyped code may give.
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"generator": None}, r'generator must be a ModelRef, as ModelRef.parse\("openai/gpt-5"\); got None'),
        ({"evaluator": ""}, "evaluator must be a ModelRef, as .*; got ''"),
        ({"planner": 3}, "planner must be a ModelRef, as .*; got 3"),
        ({"max_sprints": 2.5}, "max_sprints must be a whole number of at least 1; got float: 2.5"),
        ({"check_timeout_s": "60"}, "check_timeout_s must be more than 0 seconds; got str: '60'"),
        ({"workspace": 3}, "workspace must be the path of a folder; got 3"),
        ({"checks": "pytest"}, "checks must be commands by name, as in .*; got 'pytest'"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(settings: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"generator": GENERATOR, **settings}
    with pytest.raises(ConfigError, match=said):
        harness(**given)


async def test_a_brief_is_met_at_first(workspace: Path) -> None:
    app = harness(GENERATOR, EVALUATOR, PLANNER, checks=CHECKS, workspace=workspace).compile()
    state = await run(
        app, workspace, planner=["The sum, please."], evaluator=[CONTRACT, verdict(True)], generator=[GOOD]
    )
    assert (state.spec, state.passed, len(state.sprints)) == ("The sum, please.", True, 1)
    assert state.sprints[0].contract.criteria == ("add adds", "tests pass")
    assert [one.decided_by for one in state.sprints[0].verdicts] == ["judge", "check"]
    assert (workspace / "add.py").read_text() == "def add(a, b): return a + b\n"


async def test_a_failed_sprint_is_followed_by_another(workspace: Path) -> None:
    state = await run(checked(workspace), workspace, generator=[BAD, GOOD])
    assert [sprint.passed for sprint in state.sprints] == [False, True]
    assert "AssertionError: 0 != 2" in state.sprints[0].critique


async def test_the_generator_is_told_what_was_wrong(workspace: Path) -> None:
    model = ScriptedModel([BAD, GOOD])
    await checked(workspace).run({"brief": BRIEF}, runtime=Runtime(models=model))
    assert "AssertionError: 0 != 2" in model.requests[1].messages[-1].text


async def test_the_same_twice_in_a_row_stops(workspace: Path) -> None:
    state = await run(checked(workspace), workspace, generator=[BAD, BAD])
    assert (state.passed, state.stalled, len(state.sprints)) == (False, True, 2)


async def test_no_more_sprints_than_allowed(workspace: Path) -> None:
    state = await run(checked(workspace, max_sprints=2), workspace, generator=[BAD, WORSE])
    assert (state.passed, state.stalled, len(state.sprints)) == (False, False, 2)


async def test_two_bad_verdicts_are_no_pass_and_the_next_sprint_may_be_one() -> None:
    app = harness(GENERATOR, EVALUATOR).compile()
    said = [CONTRACT, "PASS", "I said PASS", CONTRACT, verdict(True)]
    state = await run(app, generator=["one", "two"], evaluator=said)
    assert [(sprint.passed, sprint.error) for sprint in state.sprints] == [(False, "evaluator_error"), (True, None)]


async def test_without_judges_there_is_one_sprint_that_nobody_judged() -> None:
    state = await run(harness(GENERATOR).compile(), generator=["Here."])
    assert (state.output, state.passed, state.sprints) == ("Here.", False, ())


async def test_no_test_at_all_is_no_pass(workspace: Path) -> None:
    (workspace / "test_add.py").unlink()
    assert not (await run(checked(workspace, max_sprints=1), workspace, generator=[GOOD])).passed


@pytest.mark.parametrize("leave", ["import sys; sys.exit(0)", "import os; os._exit(0)"])
async def test_leaving_at_import_is_no_pass(leave: str, workspace: Path) -> None:
    assert not (await run(checked(workspace, max_sprints=1), workspace, generator=[code(leave)])).passed


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_check_that_takes_too_long_is_killed_with_all_that_it_started(workspace: Path) -> None:
    body = (
        "import subprocess, time\n"
        "inner = subprocess.Popen(['sleep', '60'])\n"
        "open('pid', 'w').write(str(inner.pid)); time.sleep(60)"
    )
    state = await run(checked(workspace, max_sprints=1, check_timeout_s=1), workspace, generator=[code(body)])
    assert state.sprints[0].verdicts[0].evidence == "it was stopped after 1 s"
    pid = int((workspace / "pid").read_text())
    with anyio.fail_after(5):
        while is_running(pid):  # noqa: ASYNC110 - another process ends
            await anyio.sleep(0.01)


@pytest.mark.parametrize("path", ["../out.py", "/tmp/out-of-loom.py", "link/out.py", "test_add.py", "conftest.py"])
async def test_a_path_that_is_not_the_models_is_refused_and_told(path: str, workspace: Path) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    (workspace / "link").symlink_to(outside)
    model = ScriptedModel([f"{GOOD}```python {path}\nx = 1\n```", GOOD])
    inputs = {"brief": BRIEF, "guarded": guarded_files(workspace, [COMMAND])}
    state = (await checked(workspace).run(inputs, runtime=Runtime(models=model))).state
    assert [sprint.passed for sprint in state.sprints] == [False, True]
    assert f'file "{path}" was not written' in state.sprints[0].refused[0]
    assert f'file "{path}" was not written' in model.requests[1].messages[-1].text
    assert sorted(file.name for file in workspace.parent.rglob("*.py")) == ["add.py", "test_add.py"]
    assert (workspace / "test_add.py").read_text() == TEST


async def test_a_run_killed_at_any_call_of_a_model_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole = ScriptedModel([answer] * 20)
    expected = await briefs.begin(tmp_path / "whole", whole)
    calls = len(whole.requests)
    assert [sprint.passed for sprint in expected.state.sprints] == [False, True]

    command = [sys.executable, briefs.__file__, str(tmp_path), str(calls)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = await anyio.run_process(command, stderr=None, env=environment)
    assert ended.stdout.split() == [str(-signal.SIGKILL).encode()] * calls
    for at in range(calls):
        model = ScriptedModel([answer] * (calls - at))
        store = briefs.store_in(tmp_path / str(at))
        app = briefs.prepared(tmp_path / str(at))
        result = await app.resume("r", runtime=Runtime(models=model, checkpointer=store))
        await store.close()
        model.assert_done()
        assert result.state == expected.state
        assert result.steps == expected.steps
