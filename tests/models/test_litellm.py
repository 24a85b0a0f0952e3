"""The client against real HTTP servers on loopback: what it returns, raises and asks again."""

import asyncio
import json
import socket
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

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
from loom.types.messages import MALFORMED
from loom.types.models import Model, ModelRef, ModelReply, ToolSchema
from loom.types.stream import TextDelta
from loom.types.usage import Usage
from tests.models.loopback import (
    ASK,
    HELLO,
    MARKS,
    Waits,
    ask,
    calls,
    delta,
    failing,
    openai,
    patient,
    provider,
    status,
)
from tests.models.protocols import ANTHROPIC, GEMINI, OPENAI, Protocol, anthropic, block, every_protocol
from tests.programs import run_python

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]


async def test_a_reply_has_text_usage_and_why_it_ended() -> None:
    with provider(HELLO) as server:
        reply, heard = await ask(client(server.ref))
    assert reply == ModelReply(
        text="Hello",
        usage=Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cost_usd=None),
        finish_reason="stop",
    )
    assert heard == [TextDelta(delta="Hel"), TextDelta(delta="lo")]


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


@every_protocol
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
    protocol: Protocol, code: int, error: type[LoomError], times: int
) -> None:
    with (
        provider(*[failing(code, protocol.error("because"))] * 3) as server,
        pytest.raises(error, match=rf'model "{protocol.name}:.*" at "http://127.*: because') as caught,
    ):
        await ask(patient(protocol.ref(server.base)))
    assert type(caught.value) is error
    assert "secret-key" not in str(caught.value)
    assert len(server.asked) == times


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (
            OPENAI,
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        ),
        (OPENAI, "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"),
        (ANTHROPIC, "prompt is too long: 210000 tokens > 200000 maximum"),
        (
            GEMINI,
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        ),
    ],
    ids=["openai", "llama.cpp", "anthropic", "gemini"],
)
async def test_a_request_that_does_not_fit_is_a_context_overflow(protocol: Protocol, words: str) -> None:
    with (
        provider(failing(400, protocol.error(words))) as server,
        pytest.raises(ContextOverflowError, match="tokens"),
    ):
        await ask(client(protocol.ref(server.base)))


async def test_an_outage_is_waited_out() -> None:
    waits = Waits()
    with provider(status(500), status(503), HELLO) as server:
        reply, _ = await ask(patient(server.ref, waits, backoff_s=0.5))
    assert reply.text == "Hello"
    assert waits.s == [0.5, 1.0]


class Verdict(BaseModel):
    passed: bool
    why: str = ""


@every_protocol
async def test_what_is_asked_again_is_the_same(protocol: Protocol) -> None:
    request = ASK.model_copy(update={"tools": (ToolSchema(name="files/read"),), "response_type": Verdict})
    with provider(failing(500, protocol.error("no")), protocol.hello) as server:
        await ask(patient(protocol.ref(server.base)), request)
    first, again = server.asked
    assert (first.path, first.body) == (again.path, again.body)


@every_protocol
@pytest.mark.parametrize("code", [429, 503])
async def test_the_providers_wish_to_wait_is_honoured(protocol: Protocol, code: int) -> None:
    waits = Waits()
    busy = failing(code, protocol.error("busy"), Retry_After="7")
    with provider(busy, protocol.hello) as server:
        reply, _ = await ask(patient(protocol.ref(server.base), waits))
    assert (reply.text, waits.s) == ("Hello", [7.0])


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
    said = run_python(COMPLETE.format(before="", ref='ModelRef.qwen("qwen3")'))
    assert said.startswith('ProviderUnavailableError model "qwen:qwen3" needs a key: set DASHSCOPE_API_KEY')
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


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ref": 5}, r"LiteLLMModel\(ref=…\) must be ModelRef, got int"),
        ({"ref": ModelRef("opnai", "x")}, 'unknown provider "opnai"'),
        ({"ref": ModelRef.openai("x", extensions={"stream": True})}, 'extensions must not set "stream"'),
        ({"ref": ModelRef.openai("x"), "timeout_s": 0}, r"LiteLLMModel\(timeout_s=…\) must be greater than 0"),
        ({"ref": ModelRef.openai("x"), "timeout": 5}, r'has no setting .timeout.; it has .* Did you mean "timeout_s"'),
    ],
)
def test_a_client_that_cannot_work_is_not_made(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        LiteLLMModel(**settings)
