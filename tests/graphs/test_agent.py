"""Tests of the agent."""

import inspect

import pytest
from syrupy.assertion import SnapshotAssertion

import loom.graphs.agent
from loom import END, START, Graph, GraphError, ModelRef, Runtime
from loom.graphs.agent import AgentState, agent
from loom.nodes.act import Act
from loom.nodes.observe import Observe
from loom.nodes.reason import Reason
from loom.testing import ScriptedModel, call
from loom.tools.tool import tool
from loom.types.messages import ToolCall

pytestmark = pytest.mark.anyio
MODEL = ModelRef("given", "model")


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def drop() -> str:
    raise AssertionError("not to be called")


async def run(model: ScriptedModel, deny: set[str] | None = None) -> AgentState:
    runtime = Runtime(models=model, tools={"add": add, "drop": drop})
    result = await agent(MODEL, deny=deny or set[str]()).compile().run({"prompt": "1 + 1?"}, runtime=runtime)
    model.assert_done()
    assert result.status == "completed"
    return result.state


@pytest.mark.parametrize("picture", ["svg", "mermaid"])
def test_the_picture_is_as_reviewed(picture: str, snapshot: SnapshotAssertion) -> None:
    app = agent(MODEL).compile()
    assert (app.draw("svg") if picture == "svg" else app.draw("mermaid")) == snapshot


def test_the_docstring_shows_the_picture() -> None:
    doc = inspect.getdoc(loom.graphs.agent) or ""
    assert doc.split("```mermaid\n")[1].split("```")[0] == agent(MODEL).compile().draw("mermaid")


def test_an_agent_without_its_veto_does_not_compile() -> None:
    graph = Graph("agent", AgentState)
    graph.node("observe", Observe())
    graph.node("reason", Reason(model=MODEL))
    graph.node("act", Act())
    graph.edge(START, "observe", "reason")
    graph.switch("reason", {"calls": "act"}, otherwise=END)
    graph.edge("act", "observe")
    with pytest.raises(GraphError) as caught:
        graph.compile()
    assert "LOOM301" in [problem.code for problem in caught.value.problems]


async def test_without_tools_a_question_has_an_answer() -> None:
    state = await run(ScriptedModel(["2"]))
    assert (state.output, [message.role for message in state.messages]) == ("2", ["user", "assistant"])


async def test_tools_are_used_until_there_is_nothing_more_to_do(snapshot: SnapshotAssertion) -> None:
    model = ScriptedModel([call("add", a=1, b=1), call("add", a=2, b=2), "4"])
    state = await run(model)
    assert state.output == "4"
    assert state.messages == snapshot
    assert [tool.name for tool in model.requests[0].tools] == ["add", "drop"]


async def test_an_unknown_tool_is_told() -> None:
    state = await run(ScriptedModel([call("ad", a=1, b=1), "2"]))
    assert state.messages[2].content == 'there is no tool "ad"; there are "add", "drop". Did you mean "add"?'


async def test_a_vetoed_call_is_told_and_not_made() -> None:
    state = await run(ScriptedModel([call("drop"), "So be it."]), deny={"drop"})
    assert state.messages[2].content == 'tool "drop" is denied'
    assert state.output == "So be it."


async def test_calls_of_one_turn_keep_their_ids_and_order() -> None:
    calls = [ToolCall(id=name, name="add", arguments={"a": number, "b": 0}) for number, name in enumerate("zax")]
    state = await run(ScriptedModel([calls, "done"]))
    told = [(message.tool_call_id, message.content) for message in state.messages if message.role == "tool"]
    assert told == [("z", "0"), ("a", "1"), ("x", "2")]


async def test_two_calls_of_one_id_in_a_turn_are_both_made() -> None:
    calls = [ToolCall(id="same", name="add", arguments={"a": number, "b": 0}) for number in (1, 2)]
    state = await run(ScriptedModel([calls, "done"]))
    assert [message.content for message in state.messages if message.role == "tool"] == ["1", "2"]
