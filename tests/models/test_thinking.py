"""Tests of thinking that a provider wants back, against real HTTP servers on loopback."""

from pathlib import Path

import pytest

from loom import Agent, AgentConfig, MemoryCheckpointer, Runtime, SessionConfig, SqliteCheckpointer, create_agent, tool
from loom.config import MemoryConfig
from loom.context.window import Edits
from loom.models.litellm import client
from loom.models.thinking import given_back
from loom.types.handoff import HandoffArtifact
from loom.types.messages import Message, ThinkingBlock, ToolCall
from loom.types.models import ModelRef, ModelRequest
from loom.types.stream import ThinkingDelta
from tests.models.loopback import ASK, MARKS, Answer, Json, Provider, ask, delta, openai, provider
from tests.models.protocols import anthropic, call_block, piece, redacted_block, text_block, thinking_block

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]

THOUGHT: Json = {"type": "thinking", "thinking": "One and two.", "signature": "s1"}
HIDDEN: Json = {"type": "redacted_thinking", "data": "c2VjcmV0"}
CALL: Json = {"type": "tool_use", "id": "a", "name": "add", "input": {"a": 1, "b": 2}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "a", "content": "3"}

CALLS = anthropic(
    *thinking_block(0, "One ", "and two.", signature="s1"),
    *redacted_block(1, "c2VjcmV0"),
    *text_block(2, "I add."),
    *call_block(3, "a", "add", '{"a": 1, "b": 2}'),
    stop_reason="tool_use",
)
SAYS = anthropic(*thinking_block(0, "Three.", signature="s2"), *text_block(1, "It is 3."))
SIGNED = ThinkingBlock(text="One and two.", signature="s1")


@tool(read_only=True)
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(name="add", requires_permission=True)
async def careful_add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def claude(server: Provider) -> ModelRef:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    return ModelRef.anthropic("claude-sonnet-4-5", api_base=server.base, extensions=thinking)


def deepseek(server: Provider) -> ModelRef:
    return ModelRef.deepseek("deepseek-v4-pro", api_base=f"{server.base}/v1")


def agent(model: ModelRef, runtime: Runtime | None = None, *, asks: bool = False) -> Agent:
    tools = [careful_add if asks else add]
    return create_agent(AgentConfig(model=model, tools=tools, memory=MemoryConfig()), runtime=runtime)


def turns(server: Provider, number: int) -> list[Json]:
    """Return the assistant's turns in a request, which is counted from 0."""
    return [message for message in server.asked[number].body["messages"] if message["role"] == "assistant"]


async def test_a_turn_that_calls_a_tool_goes_back_with_its_thinking_before_the_call() -> None:
    with provider(CALLS, SAYS) as server:
        result = await agent(claude(server)).run("1 + 2?")
    assert result.output == "It is 3."
    assert server.asked[0].body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    assert server.asked[1].body["messages"][1:] == [
        {"role": "assistant", "content": [THOUGHT, HIDDEN, {"type": "text", "text": "I add."}, CALL]},
        {"role": "user", "content": [RESULT]},
    ]


async def test_what_is_thought_is_shown_and_kept_with_its_signature() -> None:
    with provider(CALLS) as server:
        reply, heard = await ask(client(claude(server)))
    assert reply.thinking == (SIGNED, ThinkingBlock(redacted="c2VjcmV0"))
    assert heard[:2] == [ThinkingDelta(delta="One "), ThinkingDelta(delta="and two.")]


async def test_thinking_that_is_not_shown_goes_back_by_its_signature() -> None:
    hidden = anthropic(
        *thinking_block(0, signature="s1"), *call_block(1, "a", "add", '{"a": 1, "b": 2}'), stop_reason="tool_use"
    )
    with provider(hidden, SAYS) as server:
        await agent(claude(server)).run("1 + 2?")
    assert turns(server, 1)[0]["content"] == [THOUGHT | {"thinking": ""}, CALL]


async def test_thinking_between_texts_and_calls_goes_back_to_where_it_stood() -> None:
    mixed = anthropic(
        *thinking_block(0, "One and two.", signature="s1"),
        *text_block(1, "First. "),
        *thinking_block(2, "Two.", signature="s2"),
        *text_block(3, "Then."),
        *call_block(4, "a", "add", '{"a": 1, "b": 2}'),
        *thinking_block(5, "Again.", signature="s3"),
        *call_block(6, "b", "add", '{"a": 1, "b": 2}'),
        stop_reason="tool_use",
    )
    with provider(mixed, SAYS) as server:
        await agent(claude(server)).run("1 + 2?")
    assert turns(server, 1)[0]["content"] == [
        THOUGHT,
        {"type": "text", "text": "First. "},
        {"type": "thinking", "thinking": "Two.", "signature": "s2"},
        {"type": "text", "text": "Then."},
        CALL,
        {"type": "thinking", "thinking": "Again.", "signature": "s3"},
        CALL | {"id": "b"},
    ]


async def test_a_run_that_is_resumed_from_a_file_sends_the_same(tmp_path: Path) -> None:
    def opened() -> Runtime:
        return Runtime(checkpointer=SqliteCheckpointer(tmp_path / "loom.db"))

    with provider(CALLS, SAYS) as server:
        paused = await agent(claude(server), opened(), asks=True).run("1 + 2?")
        (asked,) = paused.asks
        assert len(server.asked) == 1
        again = agent(claude(server), opened(), asks=True)
        result = await again.resume(paused.run_id, answers={asked.id: True})
    assert result.output == "It is 3."
    assert turns(server, 1)[0]["content"] == [THOUGHT, HIDDEN, {"type": "text", "text": "I add."}, CALL]


async def test_the_next_run_of_a_session_sends_all_that_was_thought_before() -> None:
    more = anthropic(*text_block(0, "Yes."))
    with provider(CALLS, SAYS, more) as server:
        session = agent(claude(server)).session(SessionConfig(id="demo"))
        await session.run("1 + 2?")
        await session.run("Sure?")
    first, second = turns(server, 2)
    assert first == turns(server, 1)[0]
    assert second["content"] == [
        {"type": "thinking", "thinking": "Three.", "signature": "s2"},
        {"type": "text", "text": "It is 3."},
    ]


async def test_another_provider_is_told_nothing_of_it() -> None:
    hello = openai(delta(content="hello"), delta("stop"))
    with provider(CALLS, SAYS, hello, hello) as server:
        runtime = Runtime(checkpointer=MemoryCheckpointer())
        await agent(claude(server), runtime).session(SessionConfig(id="demo")).run("1 + 2?")
        await agent(server.ref, runtime).session(SessionConfig(id="demo")).run("Sure?")
        await agent(deepseek(server), runtime).session(SessionConfig(id="demo")).run("Really?")
    for number in (2, 3):
        assert turns(server, number)[0].keys() == {"role", "content", "tool_calls"}
        assert "One and two" not in str(server.asked[number].body)


@pytest.mark.parametrize("prefix", ["openai", "gemini"])
def test_a_provider_that_wants_no_thinking_gets_none(prefix: str) -> None:
    turn = Message(role="assistant", content="It is 3.", thinking=(SIGNED, ThinkingBlock(text="unsigned")))
    assert given_back(turn, prefix) == {}


THINKS = openai(
    delta(role="assistant", reasoning_content="One "),
    delta(reasoning_content="and two."),
    delta(content="I add.", tool_calls=[piece(0, "a", "add", '{"a": 1, "b": 2}')]),
    delta("tool_calls"),
)
ENDS = openai(delta(reasoning_content="Three."), delta(content="It is 3."), delta("stop"))


async def test_deepseek_gets_back_the_text_of_what_it_thought() -> None:
    with provider(THINKS, ENDS, ENDS) as server:
        session = agent(deepseek(server)).session(SessionConfig(id="demo"))
        await session.run("1 + 2?")
        await session.run("Sure?")
    assert turns(server, 1)[0]["reasoning_content"] == "One and two."
    assert [turn["reasoning_content"] for turn in turns(server, 2)] == ["One and two.", "Three."]


async def test_of_a_server_that_wants_no_thinking_back_none_is_kept() -> None:
    with provider(THINKS, ENDS, THINKS) as server:
        await agent(server.ref).run("1 + 2?")
        reply, heard = await ask(client(server.ref))
    assert turns(server, 1)[0].keys() == {"role", "content", "tool_calls"}
    assert heard[0] == ThinkingDelta(delta="One ")
    assert reply.thinking == ()


async def sent_back(*turn: Message) -> list[Json]:
    """Return what Anthropic is sent of turns that it answered a question with."""
    asked = ModelRequest(messages=(*ASK.messages, *turn, *ASK.messages))
    with provider(SAYS) as server:
        await ask(client(claude(server)), asked)
    return turns(server, 0)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (anthropic(*thinking_block(0, "One", signature=""), stop_reason="max_tokens"), ()),
        (anthropic(*thinking_block(0, "One and two.", signature="s1"), stop_reason="max_tokens"), (SIGNED,)),
    ],
    ids=["in its thinking", "before its text"],
)
async def test_of_a_turn_that_was_cut_off_before_it_said_a_word_nothing_goes_back(
    answer: Answer, kept: tuple[ThinkingBlock, ...]
) -> None:
    with provider(answer) as server:
        reply, _ = await ask(client(claude(server)))
    assert reply.thinking == kept
    assert await sent_back(Message(role="assistant", content=reply.text, thinking=reply.thinking)) == []


async def test_no_turn_ends_with_thinking_or_has_a_text_of_space_alone() -> None:
    blocks = (SIGNED, SIGNED.model_copy(update={"after_text": 1}), SIGNED.model_copy(update={"after_text": 3}))
    (turn,) = await sent_back(Message(role="assistant", content="\n3.", thinking=blocks))
    assert turn["content"] == [THOUGHT, THOUGHT, {"type": "text", "text": "3."}]


async def test_turns_that_follow_each_other_keep_each_its_own_thinking() -> None:
    call = ToolCall(id="a", name="add", arguments={"a": 1, "b": 2})
    (turn,) = await sent_back(
        Message(role="assistant", content="I thought."),
        Message(role="assistant", content="I add.", tool_calls=(call,), thinking=(SIGNED,)),
        Message(role="tool", content="3", tool_call_id="a", name="add"),
    )
    assert turn["content"] == [
        {"type": "text", "text": "I thought."},
        THOUGHT,
        {"type": "text", "text": "I add."},
        CALL,
    ]


async def test_where_a_conversation_began_anew_the_turn_that_is_shown_keeps_its_thinking() -> None:
    call = ToolCall(id="a", name="add", arguments={"a": 1, "b": 2})
    turn = Message(role="assistant", tool_calls=(call,), thinking=(SIGNED,))
    result = Message(role="tool", content="3" * 400, tool_call_id="a", name="add")
    talk = (*ASK.messages, Message(role="assistant", content="Hm.", thinking=(SIGNED,)), *ASK.messages, turn, result)
    edits = Edits(cleared=((4, "out_1"),), since=3, handoff=HandoffArtifact(goal="1 + 2?", sprint=1))
    with provider(SAYS) as server:
        await ask(client(claude(server)), ModelRequest(messages=edits.view((), talk)))
    assert [shown["content"] for shown in turns(server, 0)] == [[THOUGHT, CALL]]
