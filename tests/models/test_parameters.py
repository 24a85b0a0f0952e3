"""Tests of what of a request is sent, as the model takes it, against real HTTP servers on loopback."""

import pytest

from loom import AgentConfig, create_agent
from loom.config import GenerationConfig
from loom.errors import ProviderError
from loom.models.litellm import client
from loom.types.models import ModelRef
from tests.models.loopback import ASK, MARKS, Json, ask, failing, provider
from tests.models.protocols import ANTHROPIC, OPENAI, Protocol, every_protocol

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]

THINKS: Json = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
ADAPTS: Json = {"thinking": {"type": "adaptive"}}


def named(base: str, name: str, extensions: Json) -> ModelRef:
    server = base if name.startswith("claude") else f"{base}/v1"
    factory = ModelRef.anthropic if name.startswith("claude") else ModelRef.openai
    return factory(name, api_base=server, extensions=extensions)


@pytest.mark.parametrize(
    ("name", "extensions", "sent"),
    [
        ("gpt-4o", {}, 0.7),
        ("gpt-5", {}, None),
        ("gpt-5-mini", {}, None),
        ("o1", {}, None),
        ("o3-mini", {}, None),
        ("claude-sonnet-4-5", {}, 0.7),
        ("claude-sonnet-4-5", {"thinking": {"type": "disabled"}}, 0.7),
        ("claude-sonnet-4-5", THINKS, None),
        ("claude-sonnet-4-5", {"reasoning_effort": "low"}, None),
        ("claude-opus-4-6", ADAPTS, None),
        ("claude-opus-4-7", {}, None),
    ],
)
async def test_a_default_temperature_is_sent_where_the_model_takes_it(
    name: str, extensions: Json, sent: float | None
) -> None:
    answer = ANTHROPIC.hello if name.startswith("claude") else OPENAI.hello
    with provider(answer) as server:
        agent = create_agent(AgentConfig(model=named(server.base, name, extensions)))
        assert (await agent.run("hi")).output == "Hello"
    assert server.asked[0].body.get("temperature") == sent


@pytest.mark.parametrize(
    ("name", "extensions", "told"),
    [
        ("gpt-5", {}, "a temperature of 0.7: leave the temperature out, or set it to None or to 1"),
        ("o3-mini", {}, "a temperature of 0.7: leave the temperature out, or set it to None or to 1"),
        ("claude-opus-4-7", {}, "a temperature of 0.7: leave the temperature out, or set it to None or to 1"),
        ("claude-sonnet-4-5", THINKS, "a temperature of 0.7 while it thinks: leave the temperature out"),
    ],
)
async def test_a_temperature_that_was_asked_for_and_is_not_taken_is_an_error_that_says_what_to_do(
    name: str, extensions: Json, told: str
) -> None:
    ref = named("http://127.0.0.1:1", name, extensions)
    agent = create_agent(AgentConfig(model=ref, generation=GenerationConfig(temperature=0.7)))
    with pytest.raises(ProviderError, match=told) as caught:
        await agent.run("hi")
    assert "drop_params" not in str(caught.value)


@pytest.mark.parametrize(("name", "extensions"), [("gpt-5", {}), ("claude-sonnet-4-5", THINKS)])
async def test_a_temperature_of_1_is_taken_by_every_model(name: str, extensions: Json) -> None:
    answer = ANTHROPIC.hello if name.startswith("claude") else OPENAI.hello
    with provider(answer) as server:
        await ask(client(named(server.base, name, extensions)), ASK.model_copy(update={"temperature": 1.0}))
    assert server.asked[0].body["temperature"] == 1.0


async def test_what_else_a_model_cannot_do_is_told_in_the_words_of_who_knows_it() -> None:
    ref = ModelRef.openai("o3-mini", api_base="http://127.0.0.1:1/v1", extensions={"top_p": 0.5})
    with pytest.raises(ProviderError, match="top_p"):
        await ask(client(ref), ASK.model_copy(update={"temperature": 0.7, "temperature_is_default": True}))


@every_protocol
async def test_a_model_that_nobody_knows_is_asked_once_with_the_default_temperature(protocol: Protocol) -> None:
    minds = failing(400, protocol.error("`temperature` is deprecated for this model."))
    default = ASK.model_copy(update={"temperature": 0.7, "temperature_is_default": True})
    with provider(minds, protocol.hello, protocol.hello, minds) as server:
        model = client(protocol.ref(server.base))
        for _ in range(2):
            reply, _ = await ask(model, default)
            assert reply.text == "Hello"
        with pytest.raises(ProviderError, match="deprecated for this model"):
            await ask(model, default.model_copy(update={"temperature_is_default": False}))
    assert ["temperature" in str(asked.body) for asked in server.asked] == [True, False, False, True]


async def test_another_refusal_is_not_asked_again_without_the_temperature() -> None:
    with provider(failing(400, OPENAI.error("bad"))) as server, pytest.raises(ProviderError, match="bad"):
        await create_agent(AgentConfig(model=server.ref)).run("hi")
    assert len(server.asked) == 1
