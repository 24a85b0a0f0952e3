"""Tests of each provider's protocol against real HTTP servers on loopback: what is posted, and how answers are read."""

import os
import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

from loom.errors import ProviderError
from loom.models.litellm import client
from loom.models.protocols import post
from loom.models.providers import route
from loom.types.messages import MALFORMED, Message, ToolCall
from loom.types.models import ModelRef, ModelRequest, ToolSchema
from loom.types.stream import TextDelta, ThinkingDelta, ToolCallDelta
from loom.types.usage import Usage
from tests.models.loopback import ASK, HELLO, MARKS, Answer, Json, ask, data, delta, events, failing, openai, provider
from tests.models.protocols import (
    ANTHROPIC,
    GEMINI,
    OPENAI,
    Protocol,
    anthropic,
    block,
    call_block,
    every_protocol,
    gemini,
    gemini_chunk,
    text_block,
)

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]


@every_protocol
async def test_text_is_streamed_and_counted(protocol: Protocol) -> None:
    with provider(protocol.hello) as server:
        reply, heard = await ask(client(protocol.ref(server.base)))
    assert server.asked[0].path == protocol.path
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")
    assert heard == [TextDelta(delta="Hel"), TextDelta(delta="lo")]
    assert reply.usage.input_tokens > reply.usage.cached_tokens > 0
    assert reply.usage.output_tokens > 0
    assert reply.usage.cost_usd is not None
    assert reply.usage.cost_usd > 0


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        (OPENAI, openai(delta(role="assistant", reasoning_content="hm"), delta(content="yes"), delta("stop"))),
        (
            ANTHROPIC,
            anthropic(
                *block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}),
                *text_block(1, "yes"),
            ),
        ),
        (GEMINI, gemini({"text": "hm", "thought": True}, {"text": "yes"})),
    ],
    ids=["openai", "anthropic", "gemini"],
)
async def test_visible_reasoning_is_told_from_text(protocol: Protocol, answer: Answer) -> None:
    with provider(answer) as server:
        reply, heard = await ask(client(protocol.ref(server.base)))
    assert reply.text == "yes"
    assert heard == [ThinkingDelta(delta="hm"), TextDelta(delta="yes")]


@every_protocol
async def test_several_calls_of_one_turn_are_told_apart(protocol: Protocol) -> None:
    with provider(protocol.two_calls) as server:
        reply, heard = await ask(client(protocol.ref(server.base)))
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("add", {"x": 1}), ("sub", {"y": 2})]
    assert len({call.id for call in reply.tool_calls}) == 2
    assert reply.finish_reason == "tool_calls"
    deltas = [piece for piece in heard if isinstance(piece, ToolCallDelta)]
    assert deltas == heard
    for index, (call, written) in enumerate(zip(reply.tool_calls, ('{"x": 1}', '{"y": 2}'), strict=True)):
        mine = [piece for piece in deltas if piece.index == index]
        assert {(piece.id, piece.name) for piece in mine} == {(call.id, call.name)}
        assert "".join(piece.arguments for piece in mine) == written


async def test_broken_arguments_of_anthropic_stay_what_the_model_wrote() -> None:
    broken = anthropic(*call_block(0, "a", "add", '{"x": '), stop_reason="tool_use")
    with provider(broken) as server:
        reply, _ = await ask(client(ANTHROPIC.ref(server.base)))
    assert [call.arguments for call in reply.tool_calls] == [{MALFORMED: '{"x":'}]


async def test_deepseek_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "secret-key")
    with provider(OPENAI.hello, OPENAI.two_calls, failing(402, OPENAI.error("no money"))) as server:
        model = client(ModelRef.deepseek(api_base=f"{server.base}/v1"))
        said, heard = await ask(model)
        called, _ = await ask(model)
        with pytest.raises(ProviderError, match="no money"):
            await ask(model)
    assert (said.text, heard[0]) == ("Hello", TextDelta(delta="Hel"))
    assert said.usage.cost_usd is not None
    assert [call.name for call in called.tool_calls] == ["add", "sub"]


@pytest.mark.parametrize(("name", "limit"), [("gpt-4o", "max_tokens"), ("o3-mini", "max_completion_tokens")])
async def test_a_limit_is_named_as_the_model_wants_it(name: str, limit: str) -> None:
    with provider(OPENAI.hello) as server:
        model = client(ModelRef.openai(name, api_base=f"{server.base}/v1"))
        await ask(model, ASK.model_copy(update={"max_output_tokens": 7}))
    assert server.asked[0].body[limit] == 7


@every_protocol
async def test_a_turn_with_calls_and_results_is_sent(protocol: Protocol) -> None:
    request = ModelRequest(
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="1 + 2?"),
            Message(role="assistant", tool_calls=(ToolCall(id="a", name="add", arguments={"x": 1}),)),
            Message(role="tool", name="add", tool_call_id="a", content="three"),
        ),
        tools=(ToolSchema(name="add", description="Add.", parameters={"type": "object", "properties": {}}),),
    )
    with provider(protocol.hello) as server:
        reply, _ = await ask(client(protocol.ref(server.base)), request)
    assert reply.text == "Hello"
    sent = str(server.asked[0].body)
    for word in ("Be brief.", "1 + 2?", "add", "three"):
        assert word in sent


async def test_a_request_arrives_as_it_was_asked() -> None:
    add = ToolSchema(name="add", description="Add.", parameters={"type": "object", "properties": {}})
    request = ASK.model_copy(update={"tools": (add,), "max_output_tokens": 7, "temperature": 0.5})
    with provider(HELLO) as server:
        await ask(client(server.ref), request)
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == "Bearer none"
    assert asked.body == {
        "model": "local",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": add.model_dump()}],
        "max_tokens": 7,
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_what_a_server_leaves_out_is_not_missed() -> None:
    bare: list[Json] = [
        {"choices": [{"delta": {"content": "Hel"}}]},
        {"choices": None},
        {},
        {"choices": [{"delta": {"content": "lo", "tool_calls": [{"function": {"name": "now"}}]}}], "usage": None},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
    ]
    with provider(openai(*bare)) as server:
        reply, _ = await ask(client(server.ref))
    assert reply.text == "Hello"
    assert reply.tool_calls == (ToolCall(id="call_1_1", name="now"),)
    assert reply.usage == Usage(cost_usd=None)


async def test_usage_may_stand_in_the_chunk_that_ends() -> None:
    ending = delta("stop") | {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    with provider(openai(delta(content="Hello"), ending)) as server:
        reply, _ = await ask(client(server.ref))
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (7, 3)


async def test_headers_and_fields_of_the_users_own_are_sent() -> None:
    extensions = {"extra_headers": {"X-Team": "blue"}, "extra_body": {"min_p": 0.1}, "top_k": 5}
    with provider(HELLO) as server:
        await ask(client(ModelRef.local(f"{server.base}/v1/", extensions=extensions)))
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["x-team"] == "blue"
    assert (asked.body["min_p"], asked.body["top_k"]) == (0.1, 5)


class Verdict(BaseModel):
    passed: bool


def claude(base: str, name: str = "claude-sonnet-4-5", **extensions: Any) -> ModelRef:
    return ModelRef.anthropic(name, api_base=base, extensions=extensions)


async def test_anthropic_is_asked_with_its_headers_and_costs_what_it_says() -> None:
    with provider(ANTHROPIC.hello) as server:
        reply, _ = await ask(client(claude(server.base)))
    (asked,) = server.asked
    assert asked.headers["x-api-key"] == "secret-key"
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert (asked.body["model"], asked.body["stream"]) == ("claude-sonnet-4-5", True)
    assert asked.body["max_tokens"] > 0
    assert (reply.usage.input_tokens, reply.usage.cached_tokens, reply.usage.output_tokens) == (110, 100, 7)
    # 10 tokens at 3, 100 cached ones at 0.30, 7 written at 15 dollars a million.
    assert reply.usage.cost_usd == pytest.approx(165e-6)


async def test_what_anthropic_writes_to_its_cache_is_paid_for() -> None:
    used = {"input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 7}
    ending = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": used}
    with provider(anthropic(*text_block(0, "Hello"), ending, stop_reason=None)) as server:
        reply, _ = await ask(client(claude(server.base)))
    # 10 tokens at 3, 100 written to the cache at 3.75, 100 read from it at 0.30, 7 written at 15 dollars a million.
    assert reply.usage.cost_usd == pytest.approx(540e-6)


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/messages"])
async def test_anthropics_address_may_be_given_in_part_or_in_full(end: str) -> None:
    with provider(ANTHROPIC.hello) as server:
        await ask(client(claude(server.base + end)))
    assert server.asked[0].path == "/v1/messages"


async def test_what_anthropic_must_be_told_in_headers_joins_the_users_own() -> None:
    own = {"anthropic-beta": "context-1m-2025-08-07", "X-Team": "blue"}
    with provider(ANTHROPIC.hello) as server:
        ref = claude(server.base, extra_headers=own, metadata={"user_id": "u1"}, top_k=5)
        await ask(client(ref), ASK.model_copy(update={"response_type": Verdict}))
    (asked,) = server.asked
    betas = {beta.strip() for beta in asked.headers["anthropic-beta"].split(",")}
    assert "context-1m-2025-08-07" in betas
    assert any(beta.startswith("structured-outputs") for beta in betas)
    assert asked.headers["x-team"] == "blue"
    assert (asked.body["metadata"], asked.body["top_k"]) == ({"user_id": "u1"}, 5)


async def test_a_shape_that_anthropic_gives_as_a_call_is_text_again() -> None:
    call = call_block(0, "a", "json_tool_call", '{"passed":', " true}")
    with provider(anthropic(*call, stop_reason="tool_use")) as server:
        model = client(claude(server.base, "claude-3-haiku-20240307"))
        reply, heard = await ask(model, ASK.model_copy(update={"response_type": Verdict}))
    assert server.asked[0].body["tool_choice"]["name"] == "json_tool_call"
    assert Verdict.model_validate_json(reply.text) == Verdict(passed=True)
    assert heard == [TextDelta(delta='{"passed":'), TextDelta(delta=" true}")]
    assert (reply.tool_calls, reply.finish_reason) == ((), "stop")


async def test_a_tools_name_that_anthropic_forbids_is_written_otherwise_and_read_back() -> None:
    request = ASK.model_copy(update={"tools": (ToolSchema(name="files/read"),)})
    with provider(anthropic(*call_block(0, "a", "files_read", "{}"), stop_reason="tool_use")) as server:
        reply, _ = await ask(client(claude(server.base)), request)
    assert server.asked[0].body["tools"][0]["name"] == "files_read"
    assert reply.tool_calls == (ToolCall(id="a", name="files/read"),)


async def test_thoughts_that_are_signed_or_hidden_are_no_text() -> None:
    signed = {"type": "signature_delta", "signature": "c2ln"}
    thought = block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}, signed)
    hidden = block(1, {"type": "redacted_thinking", "data": "eHg="})
    with provider(anthropic({"type": "ping"}, *thought, *hidden, *text_block(2, "yes"))) as server:
        reply, heard = await ask(client(claude(server.base)))
    assert heard == [ThinkingDelta(delta="hm"), TextDelta(delta="yes")]
    assert reply.text == "yes"


async def test_a_model_that_is_listed_without_a_price_has_none() -> None:
    with provider(ANTHROPIC.hello) as server:
        reply, _ = await ask(client(claude(server.base, "claude-sonnet-4")))
    assert reply.text == "Hello"
    assert reply.usage.cost_usd is None


async def test_gemini_is_asked_with_its_key_out_of_sight_and_costs_what_it_says() -> None:
    with provider(GEMINI.hello) as server:
        reply, _ = await ask(client(GEMINI.ref(server.base)))
    (asked,) = server.asked
    assert asked.headers["x-goog-api-key"] == "secret-key"
    assert "secret-key" not in asked.path
    # 6 tokens at 0.30 and 4 cached ones at 0.03, 5 written at 2.50 dollars a million.
    assert reply.usage.cost_usd == pytest.approx(14.42e-6)


async def test_what_gemini_thought_of_a_call_is_told_to_it_again() -> None:
    call = {"functionCall": {"name": "add", "args": {"x": 1}}, "thoughtSignature": "c2ln"}
    with provider(gemini(call), GEMINI.hello) as server:
        model = client(GEMINI.ref(server.base))
        reply, _ = await ask(model)
        turn = Message(role="assistant", tool_calls=reply.tool_calls)
        result = Message(role="tool", name="add", tool_call_id=reply.tool_calls[0].id, content="2")
        await ask(model, ModelRequest(messages=(*ASK.messages, turn, result)))
    _, said, _ = server.asked[1].body["contents"]
    (part,) = said["parts"]
    assert part["thoughtSignature"] == "c2ln"
    assert "__thought__" not in str(server.asked[1].body)


async def test_a_call_of_gemini_may_have_no_arguments_and_end_in_an_event_of_its_own() -> None:
    ending = data({"candidates": [{"index": 0, "finishReason": "STOP"}]})
    with provider(events(gemini_chunk({"functionCall": {"name": "now"}}), ending)) as server:
        reply, _ = await ask(client(GEMINI.ref(server.base)))
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("now", {})]
    assert reply.finish_reason == "tool_calls"


def test_gemini_is_at_google_unless_told_otherwise() -> None:
    way = route(ModelRef.gemini("gemini-2.5-flash"), {"GEMINI_API_KEY": "secret-key"})
    sent = post(way, {"messages": [{"role": "user", "content": "hi"}]})
    assert sent.url.startswith("https://generativelanguage.googleapis.com/")
    assert sent.url.endswith("/models/gemini-2.5-flash:streamGenerateContent?alt=sse")
    assert "secret-key" not in repr(sent)


@every_protocol
async def test_what_a_tool_was_declared_with_stays_as_it_was(protocol: Protocol) -> None:
    parameters: Json = {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False}
    request = ASK.model_copy(update={"tools": (ToolSchema(name="add", parameters=parameters),)})
    with provider(protocol.hello) as server:
        await ask(client(protocol.ref(server.base)), request)
    assert request.tools[0].parameters["additionalProperties"] is False
    assert "integer" in str(server.asked[0].body["tools"]).lower()


def another() -> type[BaseModel]:
    class Verdict(BaseModel):
        doubts: bool

    return Verdict


@every_protocol
async def test_types_of_the_same_name_are_told_apart(protocol: Protocol) -> None:
    with provider(protocol.hello, protocol.hello) as server:
        for response_type in (Verdict, another()):
            await ask(client(protocol.ref(server.base)), ASK.model_copy(update={"response_type": response_type}))
    first, second = (str(asked.body) for asked in server.asked)
    assert "passed" in first
    assert "doubts" in second


LATE = """
import os
import subprocess
import sys
from loom.models.protocols import load, post
from loom.models.providers import PROVIDERS, Route
load()
known = set(sys.modules)
for name in ("anthropic", "deepseek", "gemini", "openai"):
    way = Route(PROVIDERS[name], "m", api_key="none", api_base="http://127.0.0.1:1")
    post(way, {"messages": [{"role": "user", "content": "hi"}]}).reader()
print(sorted(set(sys.modules) - known))
"""


@pytest.mark.slow
def test_what_the_first_call_needs_was_loaded_before() -> None:
    environ = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True"}
    command = [sys.executable, "-c", LATE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.splitlines()[-1] == "[]"
