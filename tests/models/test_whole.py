"""Tests of replies that come in one piece, from real HTTP servers on loopback that do not stream."""

import json

import pytest

from loom import AgentConfig, create_agent, tool
from loom.models.litellm import client
from loom.types.messages import ThinkingBlock, ToolCall
from loom.types.models import ModelRef
from loom.types.stream import TextDelta, ThinkingDelta
from tests.models.loopback import HELLO, MARKS, Handler, Json, ask, failing, provider
from tests.models.protocols import ANTHROPIC, GEMINI, OPENAI, Protocol

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]

USED: Json = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def openai_whole(finish_reason: str = "stop", **message: object) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return {"id": "1", "object": "chat.completion", "choices": [choice], "usage": USED}


def anthropic_whole(*content: Json, stop_reason: str = "end_turn") -> Json:
    used = {"input_tokens": 10, "output_tokens": 5}
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": content,
        "stop_reason": stop_reason,
        "usage": used,
    }


def gemini_whole(*parts: Json) -> Json:
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    used = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    return {"candidates": [candidate], "usageMetadata": used}


CALLED = [
    {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}},
    {"type": "function", "function": {"name": "sub", "arguments": ""}},
]
TEXT = {"type": "text", "text": "Hello"}


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (OPENAI, openai_whole(content="Hello")),
        (ANTHROPIC, anthropic_whole(TEXT)),
        (GEMINI, gemini_whole({"text": "Hello"})),
        (GEMINI, [gemini_whole({"text": "Hel"}), gemini_whole({"text": "lo"})]),
    ],
    ids=["openai", "anthropic", "gemini", "gemini in a list"],
)
async def test_a_server_that_does_not_stream_is_understood(protocol: Protocol, body: Json) -> None:
    with provider(failing(200, body)) as server:
        reply, heard = await ask(client(protocol.ref(server.base)))
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")
    assert "".join(piece.delta for piece in heard if isinstance(piece, TextDelta)) == "Hello"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (10, 5)


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        (OPENAI, openai_whole("tool_calls", content=None, tool_calls=CALLED)),
        (
            ANTHROPIC,
            anthropic_whole(
                {"type": "tool_use", "id": "a", "name": "add", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "sub", "input": {}},
                stop_reason="tool_use",
            ),
        ),
        (
            GEMINI,
            gemini_whole({"functionCall": {"name": "add", "args": {"x": 1}}}, {"functionCall": {"name": "sub"}}),
        ),
    ],
    ids=["openai", "anthropic", "gemini"],
)
async def test_the_calls_of_a_whole_reply_are_told_apart(protocol: Protocol, body: Json) -> None:
    with provider(failing(200, body)) as server:
        reply, _ = await ask(client(protocol.ref(server.base)))
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("add", {"x": 1}), ("sub", {})]
    assert len({call.id for call in reply.tool_calls}) == 2
    assert reply.finish_reason == "tool_calls"


async def test_the_thinking_of_a_whole_reply_is_kept() -> None:
    thought = {"type": "thinking", "thinking": "One and two.", "signature": "s1"}
    body = anthropic_whole(thought, {"type": "redacted_thinking", "data": "c2VjcmV0"}, TEXT)
    with provider(failing(200, body)) as server:
        reply, heard = await ask(client(ANTHROPIC.ref(server.base)))
    assert reply.thinking == (
        ThinkingBlock(text="One and two.", signature="s1"),
        ThinkingBlock(redacted="c2VjcmV0"),
    )
    assert heard == [ThinkingDelta(delta="One and two."), TextDelta(delta="Hello")]


async def test_deepseeks_thinking_of_a_whole_reply_is_kept() -> None:
    with provider(failing(200, openai_whole(content="Hello", reasoning_content="hm"))) as server:
        reply, heard = await ask(client(ModelRef.deepseek(api_base=f"{server.base}/v1")))
    assert reply.thinking == (ThinkingBlock(text="hm"),)
    assert heard == [ThinkingDelta(delta="hm"), TextDelta(delta="Hello")]


async def test_a_whole_reply_may_be_printed_over_many_lines_and_sent_as_a_stream() -> None:
    def answer(handler: Handler) -> None:
        said = json.dumps(openai_whole(content="Hello"), indent=2).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said)

    with provider(answer) as server:
        reply, _ = await ask(client(server.ref))
    assert reply.text == "Hello"


@tool(read_only=True)
async def add(x: int) -> int:
    """Add one."""
    return x + 1


async def test_an_agent_works_with_a_server_that_does_not_stream() -> None:
    called = failing(200, openai_whole("tool_calls", content=None, tool_calls=CALLED[:1]))
    with provider(called, HELLO) as server:
        result = await create_agent(AgentConfig(model=server.ref, tools=[add])).run("hi")
    assert result.output == "Hello"
    assert server.asked[1].body["messages"][-1]["content"] == "2"
    assert ToolCall(id="a", name="add", arguments={"x": 1}).id == server.asked[1].body["messages"][-1]["tool_call_id"]
