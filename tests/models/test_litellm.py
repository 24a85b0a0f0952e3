"""The client against real HTTP servers on loopback, through litellm itself."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from logging import ERROR, getLogger
from pathlib import Path
from threading import Event

import anyio
import pytest
from pydantic import BaseModel

from loom import AgentConfig, create_agent
from loom.errors import (
    ConfigError,
    ContextOverflowError,
    LoomError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
)
from loom.models.breaker import Breaker
from loom.models.litellm import LiteLLMModel, client
from loom.models.retry import Backoff
from loom.tools.tool import tool
from loom.types.messages import MALFORMED, Message, ToolCall
from loom.types.models import Model, ModelRef, ModelReply, ModelRequest, ToolSchema
from loom.types.stream import ModelDelta, TextDelta, ThinkingDelta, ToolCallDelta
from loom.types.usage import Usage
from tests.models.local import local_model, needs_local_model
from tests.models.loopback import (
    ASK,
    HELLO,
    MARKS,
    USED,
    Handler,
    Waits,
    ask,
    begin_stream,
    calls,
    data,
    delta,
    end_stream,
    endless,
    openai,
    patient,
    provider,
    send,
    status,
)
from tests.models.protocols import anthropic, block, gemini

pytestmark = MARKS

ROOT = Path(__file__).parents[2]


async def test_a_reply_has_text_usage_and_why_it_ended() -> None:
    with provider(HELLO) as server:
        reply, heard = await ask(client(server.ref))
    assert reply == ModelReply(
        text="Hello",
        usage=Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cost_usd=None),
        finish_reason="stop",
    )
    assert heard == [TextDelta(delta="Hel"), TextDelta(delta="lo")]


async def test_text_is_heard_before_the_reply_is_finished() -> None:
    heard_one = Event()

    def answer(handler: Handler) -> None:
        begin_stream(handler)
        send(handler, data(delta(role="assistant", content="Hel")))
        assert heard_one.wait(10)
        send(handler, data(delta(content="lo")) + data(delta("stop")) + "data: [DONE]\n\n")
        end_stream(handler)

    with provider(answer) as server:
        reply = await client(server.ref).complete(ASK, lambda _: heard_one.set())
    assert reply.text == "Hello"


async def test_visible_reasoning_is_heard_and_is_no_part_of_the_text() -> None:
    thinking = openai(delta(role="assistant", reasoning_content="hm"), delta(content="yes"), delta("stop"), USED)
    with provider(thinking) as server:
        reply, heard = await ask(client(server.ref))
    assert heard == [ThinkingDelta(delta="hm"), TextDelta(delta="yes")]
    assert reply.text == "yes"


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


async def test_provider_parameters_are_passed_on() -> None:
    with provider(HELLO) as server:
        ref = ModelRef.local(f"{server.base}/v1", extensions={"top_p": 0.1, "enable_thinking": False})
        await ask(client(ref))
    assert server.asked[0].body["top_p"] == 0.1
    assert server.asked[0].body["enable_thinking"] is False


async def test_provider_parameters_cannot_replace_the_request() -> None:
    ref = ModelRef.local("http://127.0.0.1:1/v1", extensions={"messages": [], "stream": False})
    with pytest.raises(ConfigError, match='extensions must not set "messages", "stream"'):
        await ask(client(ref))


class Verdict(BaseModel):
    passed: bool
    why: str = ""


async def test_a_response_type_is_asked_for_as_a_strict_schema() -> None:
    with provider(HELLO) as server:
        await ask(client(server.ref), ASK.model_copy(update={"response_type": Verdict}))
    asked = server.asked[0].body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is True
    assert asked["json_schema"]["schema"]["required"] == ["passed", "why"]


async def test_tool_calls_have_their_ids_and_arguments() -> None:
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x": 1}'}}
    second = {"index": 1, "id": "b", "type": "function", "function": {"name": "now", "arguments": ""}}
    with provider(calls(first, second)) as server:
        reply, _ = await ask(client(server.ref))
    assert reply.tool_calls == (ToolCall(id="a", name="add", arguments={"x": 1}), ToolCall(id="b", name="now"))
    assert reply.finish_reason == "tool_calls"


@tool(read_only=True)
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def test_a_model_that_wrote_broken_arguments_is_told_and_may_try_again() -> None:
    broken, right = [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "add", "arguments": text}}
        for text in ('{"a": 1, "b": ', '{"a": 1, "b": 2}')
    ]
    with provider(calls(broken), calls(right), HELLO) as server:
        agent = create_agent(AgentConfig(model=server.ref, tools=[add]))
        result = await agent.run("Add 1 and 2.")
    assert result.output == "Hello"
    _, again, last = [asked.body["messages"] for asked in server.asked]
    assert json.loads(again[-2]["tool_calls"][0]["function"]["arguments"]) == {MALFORMED: '{"a": 1, "b":'}
    assert again[-1]["content"] == ('tool "add" was not called: its arguments are no JSON object: {"a": 1, "b":')
    assert last[-1]["content"] == "3"


@pytest.mark.parametrize(
    ("code", "error", "times"),
    [
        (400, ProviderError, 1),
        (401, ProviderError, 1),
        (403, ProviderError, 1),
        (404, ProviderError, 1),
        (409, ProviderError, 1),
        (422, ProviderError, 1),
        (413, ContextOverflowError, 1),
        (408, ProviderUnavailableError, 3),
        (429, RateLimitError, 3),
        (500, ProviderUnavailableError, 3),
        (502, ProviderUnavailableError, 3),
        (503, ProviderUnavailableError, 3),
        (504, ProviderUnavailableError, 3),
        (529, ProviderUnavailableError, 3),
    ],
)
async def test_a_refusal_is_typed_and_only_what_may_pass_is_asked_again(
    code: int, error: type[LoomError], times: int
) -> None:
    with (
        provider(*[status(code, "because")] * 3) as server,
        pytest.raises(error, match=r'model "local:local" at "http://127.*: because') as caught,
    ):
        await ask(patient(server.ref, Waits()))
    assert type(caught.value) is error
    assert len(server.asked) == times


async def test_a_request_that_does_not_fit_is_a_context_overflow() -> None:
    words = "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"
    with provider(status(400, words)) as server, pytest.raises(ContextOverflowError, match="9000 tokens"):
        await ask(client(server.ref))


async def test_an_outage_is_waited_out() -> None:
    waits = Waits()
    with provider(status(500), status(503), HELLO) as server:
        reply, _ = await ask(patient(server.ref, waits, backoff_s=0.5))
    assert reply.text == "Hello"
    assert waits.s == [0.5, 1.0]


@pytest.mark.parametrize("code", [429, 503])
async def test_the_providers_wish_to_wait_is_honoured(code: int) -> None:
    waits = Waits()
    with provider(status(code, Retry_After="7"), HELLO) as server:
        await ask(patient(server.ref, waits))
    assert waits.s == [7.0]


async def test_a_long_wish_to_wait_is_left_to_the_caller() -> None:
    waits = Waits()
    with (
        provider(status(429, Retry_After="3600")) as server,
        pytest.raises(RateLimitError, match="asks to wait 3600 s") as caught,
    ):
        await ask(patient(server.ref, waits, max_backoff_s=60.0))
    assert caught.value.retry_after_s == 3600.0
    assert waits.s == []


async def test_nobody_waits_for_an_attempt_that_would_come_too_late() -> None:
    waits = Waits()
    with provider(status(503, Retry_After="7")) as server, pytest.raises(ProviderUnavailableError, match="status 503"):
        await ask(patient(server.ref, waits), ASK.model_copy(update={"timeout_s": 5.0}))
    assert waits.s == []


async def test_a_provider_that_fails_again_and_again_is_left_alone_by_every_client_of_it() -> None:
    with provider(*[status(500)] * 10) as server:
        for _ in range(5):
            with pytest.raises(ProviderUnavailableError, match="status 500"):
                await ask(patient(server.ref, max_attempts=2))
        with pytest.raises(ProviderUnavailableError, match=rf'"{server.ref.api_base}" is left alone.* in 60 s'):
            await ask(patient(server.ref))
        with provider(HELLO) as other:
            await ask(patient(other.ref))
    assert len(server.asked) == 10


async def test_a_provider_that_was_left_alone_is_tried_again() -> None:
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    with provider(*[status(500)] * 5, HELLO) as server:
        model = LiteLLMModel(ref=server.ref, backoff=Backoff(max_attempts=1), breaker=breaker)
        for _ in range(5):
            with pytest.raises(ProviderUnavailableError):
                await ask(model)
        now[0] = 60.0
        reply, _ = await ask(model)
    assert reply.text == "Hello"


async def test_a_server_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ProviderUnavailableError, match=rf"127.0.0.1:{port}.*is its server running\?") as caught:
        await ask(patient(ModelRef.local(f"http://127.0.0.1:{port}/v1"), Waits()))
    assert caught.value.__notes__ == ["asked 3 times"]


@pytest.mark.parametrize("cut", [True, False])
async def test_a_stream_that_breaks_off_is_no_reply_and_is_not_asked_again(cut: bool) -> None:
    half = openai(delta(role="assistant", content="Hel"), cut=cut)
    heard: list[ModelDelta] = []
    with provider(half, HELLO) as server, pytest.raises(ProviderUnavailableError):
        await patient(server.ref, Waits()).complete(ASK, heard.append)
    assert heard == [TextDelta(delta="Hel")]
    assert len(server.asked) == 1


async def test_a_stream_that_breaks_off_before_its_first_word_is_asked_again() -> None:
    with provider(openai(), HELLO) as server:
        reply, heard = await ask(patient(server.ref, Waits()))
    assert reply.text == "Hello"
    assert heard == [TextDelta(delta="Hel"), TextDelta(delta="lo")]


async def test_silence_is_given_up_after_the_timeout() -> None:
    done = Event()

    def silent(handler: Handler) -> None:
        done.wait(10)

    with provider(silent) as server:
        model = LiteLLMModel(ref=server.ref, timeout_s=0.2, backoff=Backoff(max_attempts=1))
        began = time.monotonic()
        with pytest.raises(ProviderUnavailableError):
            await ask(model)
        done.set()
    assert time.monotonic() - began < 5


async def test_a_cancelled_call_ends_at_once_and_hangs_up() -> None:
    hung_up = Event()
    with provider(endless(data(delta(content="la")), hung_up)) as server:
        with anyio.CancelScope() as scope:
            await client(server.ref).complete(ASK, lambda _: scope.cancel())
        assert scope.cancelled_caught
        assert await anyio.to_thread.run_sync(hung_up.wait, 5)


async def test_an_error_of_the_listener_is_its_own_and_hangs_up() -> None:
    def listen(_: ModelDelta) -> None:
        raise ZeroDivisionError

    hung_up = Event()
    with provider(endless(data(delta(content="la")), hung_up)) as server:
        # Held while the test waits: the error's traceback keeps the stream from being collected.
        with pytest.raises(ZeroDivisionError) as caught:
            await client(server.ref).complete(ASK, listen)
        assert await anyio.to_thread.run_sync(hung_up.wait, 5)
        assert caught.value.__cause__ is None


async def test_a_known_model_has_a_price_and_an_unknown_one_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    with provider(HELLO, HELLO) as server:
        known, _ = await ask(client(ModelRef.openai("gpt-4o-mini", api_base=f"{server.base}/v1")))
        unknown, _ = await ask(client(ModelRef.openai("not-listed", api_base=f"{server.base}/v1")))
    # 6 tokens at 0.15 and 4 cached ones at 0.075, 5 written at 0.60 dollars a million.
    assert known.usage.cost_usd == pytest.approx(4.2e-6)
    assert unknown.usage == Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cost_usd=None)


async def test_key_and_organization_reach_the_provider_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "very-secret")
    with provider(status(401, "key very-secret is wrong")) as server:
        ref = ModelRef.openai("gpt-4o", api_base=f"{server.base}/v1", organization="acme", api_key_env="MY_KEY")
        with pytest.raises(ProviderError, match=r"key \*\*\* is wrong"):
            await ask(client(ref))
    assert server.asked[0].headers["authorization"] == "Bearer very-secret"
    assert server.asked[0].headers["openai-organization"] == "acme"


async def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with provider(status(500), HELLO) as server:
        await ask(patient(server.ref, Waits()))
    assert capfd.readouterr() == ("", "")
    assert not getLogger("LiteLLM").isEnabledFor(ERROR)


def test_a_second_event_loop_can_use_the_same_model() -> None:
    with provider(HELLO, HELLO) as server:
        model = client(server.ref)
        replies = [asyncio.run(ask(model))[0].text for _ in range(2)]
    assert replies == ["Hello", "Hello"]


async def test_anthropic_is_spoken_to_in_its_own_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-key")
    answer = anthropic(
        *block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}),
        *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Adding."}),
        *block(
            2,
            {"type": "tool_use", "id": "t", "name": "add", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"x":'},
            {"type": "input_json_delta", "partial_json": " 1}"},
        ),
        stop_reason="tool_use",
    )
    with provider(answer) as server:
        reply, heard = await ask(client(ModelRef.anthropic("claude-sonnet-4-5", api_base=server.base)))
    assert server.asked[0].path == "/v1/messages"
    assert server.asked[0].headers["x-api-key"] == "secret-key"
    assert heard == [
        ThinkingDelta(delta="hm"),
        TextDelta(delta="Adding."),
        *(ToolCallDelta(id="t", name="add", arguments=piece) for piece in ("", '{"x":', " 1}")),
    ]
    assert reply.tool_calls == (ToolCall(id="t", name="add", arguments={"x": 1}),)
    assert (reply.usage.input_tokens, reply.usage.cached_tokens, reply.usage.output_tokens) == (110, 100, 7)
    # 10 tokens at 3, 100 cached ones at 0.30, 7 written at 15 dollars a million.
    assert reply.usage.cost_usd == pytest.approx(165e-6)


async def test_a_model_that_is_listed_without_a_price_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-key")
    hello = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hello"})
    with provider(anthropic(*hello, stop_reason="end_turn")) as server:
        reply, _ = await ask(client(ModelRef.anthropic("claude-sonnet-4", api_base=server.base)))
    assert reply.text == "Hello"
    assert reply.usage.cost_usd is None


@pytest.mark.parametrize("code", [429, 503])
async def test_gemini_is_spoken_to_in_its_own_protocol(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "secret-key")
    waits = Waits()
    answer = gemini({"text": "Adding."}, {"functionCall": {"name": "add", "args": {"x": 1}}})
    with provider(status(code, Retry_After="4"), answer) as server:
        ref = ModelRef("gemini", "gemini-2.5-flash", api_base=f"{server.base}/v1beta")
        reply, heard = await ask(patient(ref, waits))
    assert waits.s == [4.0]
    assert server.asked[1].path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert server.asked[1].headers["x-goog-api-key"] == "secret-key"
    assert heard[0] == TextDelta(delta="Adding.")
    assert [delta.arguments for delta in heard if isinstance(delta, ToolCallDelta)] == ['{"x": 1}']
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [("add", {"x": 1})]
    assert reply.finish_reason == "tool_calls"
    # 6 tokens at 0.30 and 4 cached ones at 0.03, 5 written at 2.50 dollars a million.
    assert reply.usage.cost_usd == pytest.approx(14.42e-6)


def run_python(code: str, cwd: Path = ROOT, **environ: str) -> str:
    command = [sys.executable, "-c", code]
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | environ
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ, cwd=cwd)
    return done.stdout.strip()


COMPLETE = """
import asyncio, sys
{before}
from loom.models.litellm import client
from loom.types.models import ModelRef, ModelRequest
try:
    asyncio.run(client({ref}).complete(ModelRequest(messages=()), print))
except Exception as error:
    print(type(error).__name__, error, sys.modules.get("litellm"))
"""


def test_a_missing_key_is_told_without_loading_the_client() -> None:
    said = run_python(COMPLETE.format(before="", ref='ModelRef.openai("gpt-4o")'))
    assert said.startswith('ProviderUnavailableError model "openai:gpt-4o" needs a key: set OPENAI_API_KEY')
    assert said.endswith(" None")


def test_a_missing_package_is_told_with_how_to_install_it() -> None:
    # What Python does where a package is not installed, it does for a module of None.
    before = 'sys.modules["litellm"] = None'
    said = run_python(COMPLETE.format(before=before, ref='ModelRef.local("http://127.0.0.1:1/v1")'))
    assert said.startswith('ProviderUnavailableError models at providers need the package "litellm"')
    assert 'pip install "loom-agent[agent]"' in said


OFFLINE = """
import asyncio, os, sys
reached = set()

def listen(event, args):
    if event == "socket.getaddrinfo":
        reached.add(args[0])
    if event == "socket.connect" and isinstance(args[1], tuple):
        reached.add(args[1][0])

sys.addaudithook(listen)
from loom.models.litellm import client
from loom.types.models import Message, ModelRef, ModelRequest, ToolSchema
from pydantic import BaseModel

class Verdict(BaseModel):
    passed: bool

request = ModelRequest(
    messages=(Message(role="user", content="hi"),), tools=(ToolSchema(name="now"),), response_type=Verdict
)

async def main():
    await client(ModelRef.local({base!r} + "/v1", "meta-llama/Llama-3-8b")).complete(request, print)
    await client(ModelRef.anthropic("claude-sonnet-4-5", api_base={base!r})).complete(request, print)

asyncio.run(main())
print(reached, os.environ.get("FROM_FILE"))
"""


@pytest.mark.slow
def test_nobody_but_the_provider_is_reached_and_no_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FROM_FILE=1")
    no_usage = openai(delta(role="assistant", content="{}"), delta("stop"))
    hello = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "{}"})
    with provider(no_usage, anthropic(*hello, stop_reason="end_turn")) as server:
        said = run_python(OFFLINE.replace("{base!r}", repr(server.base)), ANTHROPIC_API_KEY="secret-key", cwd=tmp_path)
    assert said.endswith("{'127.0.0.1'} None")


def test_a_client_is_a_model_and_is_made_without_a_key() -> None:
    assert isinstance(client(ModelRef.openai("gpt-4o")), Model)


def test_an_unknown_provider_is_refused_when_the_client_is_made() -> None:
    with pytest.raises(ConfigError, match='unknown provider "opnai"'):
        client(ModelRef("opnai", "gpt-4o"))


@pytest.fixture(scope="module")
def real() -> Generator[LiteLLMModel]:
    with local_model() as ref:
        yield client(ref)


@needs_local_model
@pytest.mark.slow
async def test_a_real_model_streams_and_ends(real: LiteLLMModel) -> None:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content="Say hello."))
    reply, heard = await ask(real, ModelRequest(messages=messages, max_output_tokens=8, temperature=0.0))
    assert len(heard) > 1
    assert reply.text
    assert reply.text == "".join(delta.delta for delta in heard if isinstance(delta, TextDelta))
    assert reply.finish_reason in {"stop", "length"}
    assert reply.usage.input_tokens > 0
    assert 0 < reply.usage.output_tokens <= 8
    assert reply.usage.cost_usd is None


@needs_local_model
@pytest.mark.slow
async def test_a_real_model_replies_in_the_shape_of_a_type(real: LiteLLMModel) -> None:
    question = Message(role="user", content="Does 2 + 2 make 4? Judge.")
    request = ModelRequest(messages=(question,), response_type=Verdict, max_output_tokens=200, temperature=0.0)
    reply, _ = await ask(real, request)
    assert isinstance(Verdict.model_validate_json(reply.text), Verdict)


@needs_local_model
@pytest.mark.slow
async def test_a_real_model_stops_writing_when_nobody_listens(real: LiteLLMModel) -> None:
    tale = ModelRequest(messages=(Message(role="user", content="Tell a long tale."),), max_output_tokens=1500)
    with anyio.CancelScope() as scope:
        await real.complete(tale, lambda _: scope.cancel())
    assert scope.cancelled_caught
    # The server has one slot: it answers at once only if it gave up the tale.
    with anyio.fail_after(10):
        reply, _ = await ask(real, ASK.model_copy(update={"max_output_tokens": 4}))
    assert reply.usage.output_tokens > 0
