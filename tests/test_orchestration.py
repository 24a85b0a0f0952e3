"""Tests of the harness as one call."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from loom import (
    AgentConfig,
    ConfigError,
    ModelRef,
    NodeError,
    ProviderError,
    RunExistsError,
    RunNotFoundError,
    Runtime,
    SqliteCheckpointer,
    create_agent,
    tool,
)
from loom.orchestration import (
    AgentHarness,
    GeneratorEvaluatorLoop,
    HarnessResult,
    ManagedModel,
    SprintContract,
    SprintResult,
)
from loom.testing import ScriptedModel, call
from loom.types.content import create_image_block_from_url
from loom.types.events import Event
from loom.types.messages import Message
from loom.types.models import Emit, ModelReply, ModelRequest
from loom.types.usage import Usage
from tests.graphs.briefs import BAD, BRIEF, CHECKS, COMMAND, CONTRACT, GOOD, TEST, WORSE, verdict

pytestmark = pytest.mark.anyio


@tool(requires_permission=True)
async def publish() -> str:
    """Publish."""
    return "out"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "test_add.py").write_text(TEST)
    return folder


class Bus:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, event: Event, /) -> None:
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]


@dataclass
class Said:
    output: str | None
    error: str | None = None
    usage: Usage | None = None


class Manager:
    """Says what it was made with, one after the other."""

    def __init__(self, *said: object) -> None:
        self.said = list(said)
        self.prompts: list[str] = []

    async def run(self, prompt: str, /) -> object:
        self.prompts.append(prompt)
        return self.said.pop(0)


def judge(*passed: bool) -> ScriptedModel:
    return ScriptedModel([reply for one in passed for reply in (CONTRACT, verdict(one))])


async def test_a_brief_becomes_a_result(workspace: Path) -> None:
    bus = Bus()
    harness = AgentHarness(
        generator=ScriptedModel([BAD, GOOD]),
        evaluator=judge(False, True),
        planner=ScriptedModel(["The sum."]),
        max_sprints=5,
        event_bus=bus,
        checks=CHECKS,
        workspace=workspace,
    )
    result = await harness.run(BRIEF, run_id="r")
    assert (result.spec, result.output, result.passed, result.sprints) == ("The sum.", GOOD, True, 2)
    assert (result.critique, result.stop_reason, result.best_sprint, result.run_id) == ("", "passed", 2, "r")
    assert [sprint.passed for sprint in result.sprint_results] == [False, True]
    assert isinstance(result.sprint_results[0], SprintResult)
    assert isinstance(result.sprint_results[0].contract, SprintContract)
    assert result.usage.input_tokens > 0
    assert bus.types == ["sprint.failed", "sprint.passed"]


def test_a_result_has_the_promised_fields() -> None:
    fields = {field.name: field.type for field in dataclasses.fields(HarnessResult)}
    assert list(fields)[:6] == ["spec", "output", "passed", "sprints", "critique", "sprint_results"]
    assert (fields["spec"], fields["passed"], fields["sprints"]) == (str, bool, int)


async def test_without_a_planner_the_brief_is_the_specification() -> None:
    assert (await AgentHarness(ScriptedModel(["x"]), judge(True)).run(BRIEF)).spec == BRIEF


async def test_without_an_evaluator_there_is_one_shot() -> None:
    result = await AgentHarness(ScriptedModel(["Here."])).run(BRIEF)
    assert (result.output, result.passed, result.sprints, result.best_sprint) == ("Here.", False, 1, 1)
    assert (result.stop_reason, result.sprint_results) == ("not_judged", [])


async def test_the_best_sprint_is_returned_and_named() -> None:
    criteria = json.dumps({"criteria": ["a", "b"]})

    def said(*passed: bool) -> str:
        return json.dumps(
            {"verdicts": [{"id": f"c{n}", "passed": one, "evidence": "e"} for n, one in enumerate(passed, 1)]}
        )

    judged = [(False, False), (True, False), (False, True), (False, False)]
    replies = [reply for one in judged for reply in (criteria, said(*one))]
    harness = AgentHarness(ScriptedModel(["1", "2", "3", "4"]), ScriptedModel(replies), max_sprints=4)
    result = await harness.run(BRIEF)
    assert (result.output, result.best_sprint, result.passed) == ("2", 2, False)
    assert (result.sprints, result.stop_reason) == (4, "max_sprints")


@pytest.mark.parametrize(("replies", "reason"), [([BAD, BAD], "stalled"), ([BAD, WORSE], "max_sprints")])
async def test_a_run_says_why_it_stopped(replies: list[str], reason: str, workspace: Path) -> None:
    harness = AgentHarness(ScriptedModel(replies), checks=CHECKS, workspace=workspace, max_sprints=2)
    result = await harness.run(BRIEF)
    assert (result.passed, result.stop_reason) == (False, reason)
    assert "AssertionError" in result.critique


async def test_a_test_file_is_guarded_from_the_beginning(workspace: Path) -> None:
    cheat = BAD + "```python test_add.py\nimport unittest\n```\n"
    harness = AgentHarness(ScriptedModel([cheat]), checks=CHECKS, workspace=workspace, max_sprints=1)
    result = await harness.run(BRIEF)
    assert not result.passed
    assert (workspace / "test_add.py").read_text() == TEST
    assert "the checks rely on it" in result.sprint_results[0].refused[0]


async def test_a_failed_run_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    bus = Bus()
    store = SqliteCheckpointer(tmp_path / "loom.db")
    broken = ScriptedModel(["one", ProviderError("no network")])
    with pytest.raises(NodeError, match="no network"):
        await AgentHarness(broken, judge(False, True), runtime=Runtime(checkpointer=store)).run(BRIEF, run_id="r")
    mended, evaluator = ScriptedModel(["two"]), ScriptedModel([verdict(True)])
    harness = AgentHarness(mended, evaluator, event_bus=bus, runtime=Runtime(checkpointer=store))
    result = await harness.resume("r")
    await store.close()
    assert (result.passed, result.output, result.sprints) == (True, "two", 2)
    assert bus.types == ["sprint.passed"]
    mended.assert_done()
    evaluator.assert_done()


async def test_a_run_has_one_beginning_and_must_exist_to_be_resumed() -> None:
    harness = AgentHarness(ScriptedModel(["one", "two"]))
    await harness.run(BRIEF, run_id="r")
    with pytest.raises(RunExistsError):
        await harness.run(BRIEF, run_id="r")
    with pytest.raises(RunNotFoundError):
        await harness.resume("other")


async def test_cancelling_cancels_the_run() -> None:
    async def wait(_: object) -> str:
        await anyio.sleep(60)
        return ""

    harness = AgentHarness(ScriptedModel([wait]), event_bus=Bus())
    with anyio.move_on_after(0.2) as scope:
        await harness.run(BRIEF, run_id="r")
    assert scope.cancelled_caught


async def test_a_bus_that_fails_is_not_passed_over() -> None:
    class Broken:
        def publish(self, event: Event, /) -> None:
            raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        await AgentHarness(ScriptedModel(["x"]), judge(True), event_bus=Broken()).run(BRIEF)


def test_the_graph_can_be_looked_at() -> None:
    harness = AgentHarness(ScriptedModel([]), judge(), ScriptedModel([]))
    assert [node.name for node in harness.graph.outline().nodes] == ["plan", "negotiate", "generate", "evaluate"]


async def test_managers_work_too() -> None:
    generator = Manager(Said("one", usage=Usage(input_tokens=3, output_tokens=4)), Said("two"))
    evaluator = Manager(CONTRACT, verdict(False), CONTRACT, verdict(True))
    result = await AgentHarness(generator, evaluator).run(BRIEF)
    assert (result.output, result.passed) == ("two", True)
    assert "System:\n" in generator.prompts[0]
    assert f"User:\n{BRIEF}" in generator.prompts[0]
    assert result.usage.cost_usd is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (Said("x", error="out of paper"), "Manager did not do what was asked of it: out of paper"),
        (Said(None), "Manager returned Said"),
        (None, "Manager returned None; expected a text"),
    ],
)
async def test_a_manager_that_fails_is_told(said: object, told: str) -> None:
    with pytest.raises(NodeError, match=told) as caught:
        await AgentHarness(Manager(said)).run(BRIEF)
    assert isinstance(caught.value.__cause__, ProviderError)


async def test_an_agent_that_waits_for_a_permission_is_no_worker_that_is_done() -> None:
    agent = create_agent(AgentConfig(model=ScriptedModel([call("publish")]), tools=[publish]))
    request = ModelRequest(messages=(Message(role="user", content="x"),))
    with pytest.raises(ProviderError, match="Agent did not come to an end, its run is paused"):
        await ManagedModel(agent).complete(request, lambda delta: None)


async def test_why_the_reply_of_an_agent_ended_is_passed_on() -> None:
    class Cut:
        async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
            return ModelReply(text="Half an ans", finish_reason="length")

    request = ModelRequest(messages=(Message(role="user", content="x"),))
    reply = await ManagedModel(create_agent(AgentConfig(model=Cut()))).complete(request, lambda delta: None)
    assert (reply.text, reply.finish_reason) == ("Half an ans", "length")
    reply = await ManagedModel(Manager("x")).complete(request, lambda delta: None)
    assert reply.finish_reason == "stop"


async def test_a_manager_is_not_sent_what_it_cannot_read() -> None:
    seen = Message(role="user", content=(create_image_block_from_url("https://example.com/a.png"),))
    with pytest.raises(ProviderError, match="Manager takes one text, but was sent content blocks"):
        await ManagedModel(Manager("x")).complete(ModelRequest(messages=(seen,)), lambda delta: None)


async def test_a_models_name_is_looked_up_in_the_runtime() -> None:
    ref = ModelRef("local", "small")
    one = await AgentHarness(ref, judge(True), runtime=Runtime(models=ScriptedModel(["one"]))).run(BRIEF)
    models = {ref.identifier: ScriptedModel(["two"])}
    two = await AgentHarness(ref, judge(True), runtime=Runtime(models=models)).run(BRIEF)
    assert (one.output, two.output) == ("one", "two")


def test_a_worker_of_no_use_is_refused() -> None:
    with pytest.raises(ConfigError, match="generator must be a ModelRef, a model, or have async run"):
        AgentHarness("gpt-4")  # type: ignore[arg-type]


async def test_the_loop_alone_gives_every_sprint() -> None:
    loop = GeneratorEvaluatorLoop(ScriptedModel(["one", "two"]), judge(False, True))
    assert [sprint.output for sprint in await loop.run(BRIEF)] == ["one", "two"]


def test_a_check_is_a_list_of_texts() -> None:
    assert AgentHarness(ScriptedModel([]), checks={"tests pass": COMMAND}).graph.name == "harness"
    with pytest.raises(ConfigError, match="as a list of texts"):
        AgentHarness(ScriptedModel([]), checks={"tests pass": "pytest -q"})


# Any: what untyped code may give.
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"checks": "pytest"}, r"checks must be commands by name, as in .*; got .pytest."),
        ({"checks": ["pytest"]}, r"checks must be commands by name"),
        ({"workspace": 3}, "workspace must be the path of a folder; got 3"),
        ({"runtime": 3}, r"AgentHarness\(runtime=…\) must be Runtime; got int: 3"),
        ({"event_bus": 3}, r"AgentHarness\(event_bus=…\) must have a method publish\(event\); got 3"),
        ({"max_sprints": "3"}, "max_sprints must be a whole number of at least 1; got str: '3'"),
        ({"evaluator": ""}, "evaluator must be a ModelRef, a model, or have async run"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AgentHarness(ScriptedModel([]), **settings)


def test_what_no_check_can_run_in_or_with_is_refused_before_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='check "t": there is no program "no-such-program" in a folder of PATH'):
        AgentHarness(ScriptedModel([]), checks={"t": ["no-such-program"]})
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r'workspace ".*file" cannot be used: ".*file" is no folder'):
        AgentHarness(ScriptedModel([]), workspace=tmp_path / "file")
    AgentHarness(ScriptedModel([]), checks={"t": ["./run_tests"]}, workspace=tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_a_first_reply_without_a_file_is_followed_by_another_sprint(tmp_path: Path) -> None:
    program = "```python add.py\nprint('1 passed in 1s')\n```\n"
    model = ScriptedModel(["I cannot help yet.", program])
    result = await AgentHarness(model, checks={"t": ["python", "add.py"]}, workspace=tmp_path / "new").run(BRIEF)
    assert [sprint.passed for sprint in result.sprint_results] == [False, True]
    assert result.sprint_results[0].critique.startswith("The reply has no file")
