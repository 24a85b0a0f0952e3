"""Tests of the agent."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic_core import from_json
from syrupy.assertion import SnapshotAssertion

import loom.graphs.agent
from loom import (
    END,
    START,
    AnswerError,
    ConfigError,
    Context,
    Graph,
    GraphError,
    GraphResult,
    MemoryCheckpointer,
    ModelRef,
    NodeError,
    Runtime,
    SqliteCheckpointer,
    State,
    ToolPermissionError,
    node,
)
from loom.core.journal import Checkpointer
from loom.errors import ContextOverflowError
from loom.graphs.agent import AgentState, agent
from loom.nodes.act import Act
from loom.nodes.approve import Approve
from loom.nodes.observe import HISTORY, MAX_TURNS, Observe
from loom.nodes.reason import Reason
from loom.testing import ScriptedModel, call
from loom.tools.door import Door
from loom.tools.tool import tool
from loom.types.events import Event
from loom.types.messages import Message, ToolCall
from loom.types.policy import PolicyConfig, ToolAccessPolicy, ToolPolicy, ToolRateLimitPolicy
from tests.clock import Clock

pytestmark = pytest.mark.anyio

# Any, in this module: settings of the agent, answers.

MODEL = ModelRef("given", "model")
PAID: list[int] = []


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def drop() -> str:
    raise AssertionError("not to be called")


@tool(requires_permission=True)
async def pay(amount: int = 1) -> str:
    PAID.append(amount)
    return f"paid {amount}"


@tool(read_only=True)
def read(size: int) -> str:
    return "x" * size


DENIED = PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(deny=["drop"])))


@pytest.fixture(autouse=True)
def _none_paid() -> None:
    PAID.clear()


class Conversation:
    """One run of an agent in a store, as several processes may go on with it."""

    def __init__(self, *replies: Any, store: Checkpointer | None = None, clock: Clock | None = None, **settings: Any):
        self.model = ScriptedModel(replies)
        self.app = agent(MODEL, **settings).compile()
        self.clock = clock or Clock()
        self.tools: Door = Door([add, drop, pay, read], policy=DENIED, clock=self.clock)
        self.runtime = Runtime(models=self.model, tools=self.tools, checkpointer=store, clock=self.clock)

    async def run(self) -> GraphResult[AgentState]:
        return await self.app.run({"prompt": "1 + 1?"}, run_id="r", runtime=self.runtime)

    async def answer(self, **answers: Any) -> GraphResult[AgentState]:
        return await self.app.resume("r", answers=answers, runtime=self.runtime)

    async def events(self, *types: str) -> list[Event]:
        return [event async for event in self.app.events("r", runtime=self.runtime) if event.type in types]


async def ended(*replies: Any, **settings: Any) -> AgentState:
    conversation = Conversation(*replies, **settings)
    result = await conversation.run()
    conversation.model.assert_done()
    assert result.status == "completed"
    return result.state


def told(state: AgentState) -> list[str]:
    return [message.text for message in state.messages if message.role == "tool"]


# The graph.


@pytest.mark.parametrize("picture", ["svg", "mermaid"])
def test_the_picture_is_as_reviewed(picture: str, snapshot: SnapshotAssertion) -> None:
    app = agent(MODEL).compile()
    assert (app.draw("svg") if picture == "svg" else app.draw("mermaid")) == snapshot


def test_the_docstring_shows_the_picture() -> None:
    doc = inspect.getdoc(loom.graphs.agent) or ""
    assert doc.split("```mermaid\n")[1].split("```")[0] == agent(MODEL).compile().draw("mermaid")


@pytest.mark.parametrize("gate", ["", "approve"])
def test_an_agent_without_its_veto_does_not_compile(gate: str) -> None:
    graph = Graph("agent", AgentState)
    graph.node("observe", Observe())
    graph.node("reason", Reason(model=MODEL))
    graph.node("act", Act())
    graph.edge(START, "observe", "reason")
    if gate:  # on one of two ways
        graph.node("approve", Approve())
        graph.switch("reason", {"calls and turns > 1": "approve", "calls": "act"}, otherwise=END)
        graph.edge("approve", "act", "observe")
    else:
        graph.switch("reason", {"calls": "act"}, otherwise=END)
        graph.edge("act", "observe")
    with pytest.raises(GraphError) as caught:
        graph.compile()
    assert "LOOM301" in [problem.code for problem in caught.value.problems]


# Tools.


async def test_without_tools_a_question_has_an_answer() -> None:
    state = await ended("2")
    assert (state.output, [message.role for message in state.messages]) == ("2", ["user", "assistant"])


async def test_tools_are_used_until_there_is_nothing_more_to_do(snapshot: SnapshotAssertion) -> None:
    conversation = Conversation(call("add", a=1, b=1), call("add", a=2, b=2), "4")
    state = (await conversation.run()).state
    assert (state.output, state.turns) == ("4", 3)
    assert state.messages == snapshot
    assert [tool.name for tool in conversation.model.requests[0].tools] == ["add", "drop", "pay", "read"]
    assert [len(request.messages) for request in conversation.model.requests] == [1, 3, 5]


async def test_what_cannot_be_called_is_told_and_the_run_goes_on() -> None:
    state = await ended(
        [call("ad", a=1, b=1), call("add", a="one", b=1), call("drop"), call("add", a=1, b=1)], "So be it."
    )
    unknown, malformed, denied, added = told(state)
    assert 'there is no tool "ad"' in unknown
    assert 'tool "add" was not called, its arguments do not fit: "a"' in malformed
    assert 'tool "drop" is denied' in denied
    assert added == "2"
    assert [result.is_error for result in state.results] == [True, True, True, False]
    assert state.output == "So be it."


async def test_calls_of_one_turn_keep_their_ids_and_order() -> None:
    calls = [ToolCall(id=name, name="add", arguments={"a": number, "b": 0}) for number, name in enumerate("zax")]
    state = await ended(calls, "done")
    answers = [(message.tool_call_id, message.content) for message in state.messages if message.role == "tool"]
    assert answers == [("z", "0"), ("a", "1"), ("x", "2")]


async def test_two_calls_of_one_id_in_a_turn_are_both_made() -> None:
    calls = [ToolCall(id="same", name="add", arguments={"a": number, "b": 0}) for number in (1, 2)]
    assert told(await ended(calls, "done")) == ["1", "2"]


async def test_it_is_stopped_after_so_many_turns_of_the_model_and_goes_on_where_more_are_allowed() -> None:
    conversation = Conversation(*[call("add", a=1, b=1)] * 3, "2", max_iterations=3)
    result = await conversation.run()
    assert (result.status, result.stop_reason, result.state.turns) == ("stopped", "max_iterations", 3)
    assert (await conversation.answer()).stop_reason == "max_iterations"
    more = replace(conversation.runtime, resources={MAX_TURNS: 4})
    result = await conversation.app.resume("r", runtime=more)
    assert (result.status, result.state.turns, result.state.output) == ("completed", 4, "2")
    assert told(result.state) == ["2", "2", "2"]


async def test_each_call_that_is_made_is_told_once_by_its_events() -> None:
    conversation = Conversation([call("add", a=1, b=1), call("pay")], "done")
    (ask,) = (await conversation.run()).asks
    await conversation.answer(**{ask.id: True})
    found = await conversation.events("tool.judged", "tool.started", "tool.finished")
    assert [(event.type, event.payload["tool"]) for event in found] == [
        ("tool.judged", "add"),
        ("tool.judged", "pay"),
        ("tool.started", "add"),
        ("tool.finished", "add"),
        ("tool.started", "pay"),
        ("tool.finished", "pay"),
    ]


@pytest.mark.parametrize(
    ("calls", "kinds"),
    [
        pytest.param([call("read", size=3)], ["effect"], id="it reads"),
        pytest.param([call("read", size=3), call("read", size=4)], ["effect", "effect"], id="both read"),
        pytest.param([call("add", a=1, b=1)], ["intent", "effect"], id="it writes"),
    ],
)
async def test_what_came_of_each_call_is_saved_before_its_step_is_over(calls: list[ToolCall], kinds: list[str]) -> None:
    store = MemoryCheckpointer()
    await Conversation(calls, "done", store=store).run()
    records = [from_json(record) for record in (await store.read("r")).records]
    assert [record["kind"] for record in records if record["kind"] in ("intent", "effect")] == kinds
    (acted,) = [record for record in records if record.get("node") == "act" and record["kind"] == "step"]
    assert len(acted["writes"]["results"]) == len(calls)


async def test_earlier_runs_of_a_session_are_shown_and_not_kept_again() -> None:
    model = ScriptedModel(["Ada."])
    earlier = (Message(role="user", content="I am Ada."), Message(role="assistant", content="Hello."))
    runtime = Runtime(models=model, resources={HISTORY: earlier})
    state = (await agent(MODEL, instructions="Be exact.").compile().run({"prompt": "Who am I?"}, runtime=runtime)).state
    assert [message.text for message in model.requests[0].messages] == ["Be exact.", "I am Ada.", "Hello.", "Who am I?"]
    assert len(state.messages) == 2


# Approval.


async def test_a_call_that_needs_permission_waits_for_it_in_any_process(tmp_path: Path) -> None:
    store = SqliteCheckpointer(tmp_path / "loom.db")
    paused = await Conversation(call("pay", amount=7), store=store).run()
    await store.close()
    (ask,) = paused.asks
    assert (paused.status, ask.kind, ask.question) == (
        "paused",
        "approve",
        'May the tool "pay" be called (tool "pay" requires permission)?',
    )
    assert ask.payload["tool"] == "pay"
    assert ask.payload["arguments"] == {"amount": 7}
    assert PAID == []
    store = SqliteCheckpointer(tmp_path / "loom.db")
    result = await Conversation("done", store=store).answer(**{ask.id: True})
    await store.close()
    assert (result.status, told(result.state), PAID) == ("completed", ["paid 7"], [7])


async def test_a_call_that_is_not_approved_is_told_to_the_model() -> None:
    conversation = Conversation(call("pay"), "Then not.")
    (ask,) = (await conversation.run()).asks
    result = await conversation.answer(**{ask.id: False})
    assert (told(result.state), result.state.results[0].is_error) == (["the call was not approved"], True)
    assert (result.state.output, PAID) == ("Then not.", [])


@pytest.mark.parametrize(("waited_s", "paid"), [(59.0, [1]), (61.0, [])])
async def test_an_approval_that_comes_too_late_is_a_denial(waited_s: float, paid: list[int]) -> None:
    conversation = Conversation(call("pay"), "done", approval_expires_s=60.0)
    (ask,) = (await conversation.run()).asks
    conversation.clock.now += waited_s
    state = (await conversation.answer(**{ask.id: True})).state
    assert paid == PAID
    assert told(state) == (["paid 1"] if paid else ["the approval came too late"])


async def test_all_calls_of_a_turn_are_asked_about_at_once_and_answered_one_by_one() -> None:
    conversation = Conversation([call("pay", amount=amount) for amount in (1, 2, 3)], "done")
    asks = {ask.payload["arguments"]["amount"]: ask.id for ask in (await conversation.run()).asks}
    assert set(asks) == {1, 2, 3}
    for amount, left in ((3, {1, 2}), (1, {2})):
        result = await conversation.answer(**{asks[amount]: amount != 1})
        assert {ask.payload["arguments"]["amount"] for ask in result.asks} == left
        assert (result.status, PAID) == ("paused", [])
    result = await conversation.answer(**{asks[2]: True})
    assert told(result.state) == ["the call was not approved", "paid 2", "paid 3"]
    assert PAID == [2, 3]


async def test_an_approval_holds_for_one_call_only() -> None:
    conversation = Conversation(call("pay"), call("pay"), "done")
    (first,) = (await conversation.run()).asks
    (second,) = (await conversation.answer(**{first.id: True})).asks
    assert (second.id != first.id, PAID) == (True, [1])
    await conversation.answer(**{second.id: False})
    assert PAID == [1]


async def test_an_answer_that_is_neither_yes_nor_no_is_refused_and_asked_for_again() -> None:
    conversation = Conversation(call("pay"), "done")
    (ask,) = (await conversation.run()).asks
    with pytest.raises(AnswerError, match="perhaps"):
        await conversation.answer(**{ask.id: "perhaps"})
    assert PAID == []
    assert (await conversation.answer(**{ask.id: True})).state.output == "done"


# Room in the window.


async def test_under_pressure_large_results_are_put_aside_and_kept() -> None:
    conversation = Conversation(*[call("read", size=1600)] * 4, "done", max_context_tokens=2000)
    state = (await conversation.run()).state
    events = await conversation.events("context.compressed")
    assert events
    assert all(event.payload["tokens_after"] < event.payload["tokens_before"] for event in events)
    last = conversation.model.requests[-1].messages
    assert [message.text[:4] for message in last if message.role == "tool"] == ["[the", "[the", "xxxx", "xxxx"]
    assert set(state.kept) == {ref for _, ref in state.edits.cleared}
    assert told(state) == ["x" * 1600] * 4
    assert paired(last)


async def test_a_full_window_begins_anew_with_a_handoff() -> None:
    conversation = Conversation(*[call("read", size=2400)] * 6, "done", max_context_tokens=2000, compress_at=0.94)
    state = (await conversation.run()).state
    renewals = await conversation.events("context.renewed")
    assert [event.payload["sprint"] for event in renewals] == [1, 2][: len(renewals)]
    assert renewals
    assert state.edits.handoff
    assert state.edits.handoff.goal == "1 + 1?"
    last = conversation.model.requests[-1].messages
    assert last[0].text == state.edits.handoff.to_system_prompt()
    assert all(message.text for message in last[1:] if message.role == "tool")
    assert state.rho < 1
    assert paired(last)


def paired(view: Sequence[Message]) -> bool:
    """Tell whether each call has a result, and each result a call."""
    calls = [one.id for message in view for one in message.tool_calls]
    return calls == [message.tool_call_id for message in view if message.role == "tool"]


async def test_what_can_never_fit_is_told_by_its_sizes() -> None:
    with pytest.raises(NodeError, match="the window holds 100 tokens") as caught:
        await Conversation("never asked", max_context_tokens=100).run()
    assert isinstance(caught.value.__cause__, ContextOverflowError)


# No way around the door.


async def test_a_tool_called_by_a_node_passes_the_door() -> None:
    class Errand(State):
        said: str = ""

    @node(writes="said", effect="write")
    async def go(ctx: Context) -> str:
        with pytest.raises(ToolPermissionError, match="denied"):
            await ctx.tools["drop"].call({})
        with pytest.raises(ToolPermissionError, match="permission"):
            await ctx.tools["pay"].call({"amount": 1})
        return str(await ctx.tools["add"].call({"a": 1, "b": 1}))

    graph = Graph("errand", Errand)
    graph.node("go", go, ungated="a test")
    graph.edge(START, "go", END)
    result = await graph.compile().run(runtime=Conversation().runtime)
    assert (result.state.said, PAID) == ("2", [])


async def test_a_rate_limit_holds_over_calls_made_at_once_and_over_turns() -> None:
    made: list[int] = []

    @tool(concurrency_safe=True)
    async def look(number: int) -> int:
        made.append(number)
        await anyio.sleep(0.001)
        return number

    limited = PolicyConfig(tools=ToolPolicy(rate_limits=ToolRateLimitPolicy(max_calls_per_minute=5)))
    model = ScriptedModel([[call("look", number=number) for number in range(4)]] * 2 + ["done"])
    runtime = Runtime(models=model, tools=Door([look], policy=limited, clock=Clock()))
    state = (await agent(MODEL).compile().run({"prompt": "Look!"}, runtime=runtime)).state
    assert sorted(made) == [0, 0, 1, 2, 3]
    assert ["more than 5 tool calls" in text for text in told(state)] == [False] * 5 + [True] * 3


async def test_a_resume_keeps_to_what_was_decided(tmp_path: Path) -> None:
    store = SqliteCheckpointer(tmp_path / "loom.db")
    (ask,) = (await Conversation([call("pay"), call("drop")], store=store).run()).asks
    second = Conversation("done", store=store)
    second.tools = Door([pay, drop], clock=second.clock)  # which denies nothing
    runtime = Runtime(models=second.model, tools=second.tools, checkpointer=store, clock=second.clock)
    state = (await second.app.resume("r", answers={ask.id: True}, runtime=runtime)).state
    assert PAID == [1]
    assert 'tool "drop" is denied' in told(state)[1]
    await store.close()


async def test_a_resume_does_not_run_what_is_denied_by_now(tmp_path: Path) -> None:
    store = SqliteCheckpointer(tmp_path / "loom.db")
    (ask,) = (await Conversation(call("pay"), store=store).run()).asks
    deny = PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(deny=["pay"])))
    second = Conversation("done", store=store)
    runtime = Runtime(models=second.model, tools=Door([pay], policy=deny), checkpointer=store, clock=second.clock)
    state = (await second.app.resume("r", answers={ask.id: True}, runtime=runtime)).state
    assert PAID == []
    assert 'tool "pay" is denied' in told(state)[0]
    await store.close()


def test_a_model_that_is_no_reference_is_refused() -> None:
    with pytest.raises(ConfigError, match=r'model must be a ModelRef, as ModelRef.parse\("openai/gpt-5"\); got 3'):
        agent(3)  # type: ignore[arg-type]
