"""Tests of why a reply ended, against real HTTP servers on loopback: what is no answer does not look like one."""

import pytest

from loom import AgentConfig, create_agent
from loom.errors import ProviderUnavailableError
from loom.models.litellm import client
from loom.types.stream import TextDelta
from tests.models.loopback import MARKS, Answer, Json, ask, data, delta, events, openai, patient, provider
from tests.models.protocols import ANTHROPIC, GEMINI, OPENAI, Protocol, anthropic, gemini, text_block

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]


def ended(reason: str, message: str = "") -> str:
    """Return Gemini's event of an end without content."""
    return data({"candidates": [{"index": 0, "finishReason": reason, "finishMessage": message}]})


@pytest.mark.parametrize(
    ("protocol", "answer", "finish_reason"),
    [
        (OPENAI, openai(delta(content="Hel"), delta("length")), "length"),
        (OPENAI, openai(delta(content="Hel"), delta("content_filter")), "content_filter"),
        (OPENAI, openai(delta(content="Hel"), delta("a_new_reason")), "a_new_reason"),
        (ANTHROPIC, anthropic(*text_block(0, "Hel"), stop_reason="stop_sequence"), "stop"),
        (ANTHROPIC, anthropic(*text_block(0, "Hel"), stop_reason="max_tokens"), "length"),
        (ANTHROPIC, anthropic(*text_block(0, "Hel"), stop_reason="model_context_window_exceeded"), "length"),
        (ANTHROPIC, anthropic(*text_block(0, "Hel"), stop_reason="refusal"), "refusal"),
        (ANTHROPIC, anthropic(*text_block(0, "Hel"), stop_reason="pause_turn"), "pause_turn"),
        (GEMINI, gemini({"text": "Hel"}, finish="STOP"), "stop"),
        (GEMINI, gemini({"text": "Hel"}, finish="MAX_TOKENS"), "length"),
        (GEMINI, gemini({"text": "Hel"}, finish="SAFETY"), "content_filter"),
        (GEMINI, gemini({"text": "Hel"}, finish="PROHIBITED_CONTENT"), "content_filter"),
        (GEMINI, gemini({"text": "Hel"}, finish="OTHER"), "other"),
        (GEMINI, gemini({"text": "Hel"}, finish="TOO_MANY_TOOL_CALLS"), "too_many_tool_calls"),
        (GEMINI, gemini({"text": "Hel"}, finish="A_NEW_REASON"), "a_new_reason"),
    ],
)
async def test_why_a_reply_ended_is_told_as_it_is(protocol: Protocol, answer: Answer, finish_reason: str) -> None:
    with provider(answer) as server:
        reply, _ = await ask(client(protocol.ref(server.base)))
    assert (reply.text, reply.finish_reason) == ("Hel", finish_reason)


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "BLOCKLIST"])
async def test_a_prompt_that_gemini_blocks_has_an_empty_reply(reason: str) -> None:
    with provider(events(data({"promptFeedback": {"blockReason": reason}}))) as server:
        reply, _ = await ask(client(GEMINI.ref(server.base)))
    assert (reply.text, reply.finish_reason) == ("", "content_filter")


async def test_a_refusal_in_words_is_the_reply_and_says_that_it_is_one() -> None:
    answer = openai(delta(role="assistant", refusal="I "), delta(refusal="cannot."), delta("stop"))
    with provider(answer, answer) as server:
        reply, heard = await ask(client(server.ref))
        run = await create_agent(AgentConfig(model=server.ref)).run("hi")
    assert (reply.text, reply.finish_reason) == ("I cannot.", "refusal")
    assert heard == [TextDelta(delta="I "), TextDelta(delta="cannot.")]
    assert run.output == "I cannot."


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"])
async def test_a_reply_that_gemini_could_not_read_itself_is_asked_for_again(reason: str) -> None:
    with provider(events(ended(reason)), GEMINI.hello) as server:
        reply, _ = await ask(patient(GEMINI.ref(server.base)))
    assert (reply.text, len(server.asked)) == ("Hello", 2)


async def test_a_reply_that_gemini_cannot_read_again_and_again_is_an_error_in_its_words() -> None:
    said = events(ended("MALFORMED_FUNCTION_CALL", "Malformed function call: print(add(1, 2))"))
    told = r'model "gemini:.*" wrote what its provider cannot read \(malformed_function_call: .*print\(add\(1, 2\)\)\)'
    with provider(said, said, said) as server, pytest.raises(ProviderUnavailableError, match=told):
        await ask(patient(GEMINI.ref(server.base)))
    assert len(server.asked) == 3


async def test_calls_that_gemini_could_read_are_made_whatever_came_after() -> None:
    call: Json = {"functionCall": {"name": "add", "args": {"x": 1}}}
    with provider(gemini(call, finish="MALFORMED_FUNCTION_CALL")) as server:
        reply, _ = await ask(client(GEMINI.ref(server.base)))
    assert [(made.name, made.arguments) for made in reply.tool_calls] == [("add", {"x": 1})]
    assert reply.finish_reason == "tool_calls"
