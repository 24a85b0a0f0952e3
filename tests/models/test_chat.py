"""Tests of OpenAI's protocol as servers really speak it: in pieces, with comments, with things left out."""

import json

import pytest

from loom.errors import ContextOverflowError, ProviderError, ProviderUnavailableError, RateLimitError
from loom.models import close
from loom.models.litellm import client
from loom.types.messages import ToolCall
from loom.types.models import ModelRef
from loom.types.stream import TextDelta
from loom.types.usage import Usage
from tests.models.loopback import (
    HELLO,
    MARKS,
    USED,
    Handler,
    Json,
    ask,
    begin_stream,
    data,
    delta,
    end_stream,
    events,
    failing,
    openai,
    patient,
    provider,
    send,
)

pytestmark = MARKS

STOP = data(delta("stop"))


async def test_an_event_may_arrive_in_pieces_and_several_at_once() -> None:
    text = "".join(map(data, (delta(content="Hé"), delta(content="llo"), delta("stop")))).encode()

    def answer(handler: Handler) -> None:
        begin_stream(handler)
        for place in range(0, len(text), 7):
            piece = text[place : place + 7]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
        end_stream(handler)

    with provider(answer, events(text.decode())) as server:
        for _ in range(2):
            reply, heard = await ask(client(server.ref))
            assert heard == [TextDelta(delta="Hé"), TextDelta(delta="llo")]
            assert reply.text == "Héllo"


async def test_comments_other_fields_and_line_ends_of_windows_are_understood() -> None:
    said = f": ping\r\n\r\nevent: message\r\nid: 7\r\ndata:{json.dumps(delta(content='Hello'))}\r\n\r\n: ping\n\n"
    with provider(events(said, STOP, "data: [DONE]\n\n")) as server:
        reply, _ = await ask(client(server.ref))
    assert reply.text == "Hello"


async def test_the_last_event_needs_no_line_end() -> None:
    with provider(events(data(delta(content="Hello")), STOP.rstrip("\n"))) as server:
        reply, _ = await ask(client(server.ref))
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")


async def test_an_event_may_be_long() -> None:
    with provider(events(data(delta(content="a" * 1_000_000)), STOP)) as server:
        reply, _ = await ask(client(server.ref))
    assert len(reply.text) == 1_000_000


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


@pytest.mark.parametrize(
    ("event", "error", "told"),
    [
        ('{"error": {"message": "out of memory", "code": 500}}', ProviderUnavailableError, "out of memory"),
        ('{"error": {"message": "slow down", "code": 429}}', RateLimitError, "slow down"),
        ('{"error": {"message": "bad grammar", "code": 400, "type": "invalid"}}', ProviderError, "bad grammar"),
        ('{"error": "out of luck"}', ProviderUnavailableError, "out of luck"),
        ('{"error": {"message": "no room", "code": 413}}', ContextOverflowError, "no room"),
        ("{cut", ProviderUnavailableError, r"an event that is no JSON: b'\{cut'"),
    ],
)
async def test_an_error_in_the_stream_is_told(event: str, error: type[Exception], told: str) -> None:
    with (
        provider(events(data(delta(content="Hel")), f"data: {event}\n\n")) as server,
        pytest.raises(error, match=told) as caught,
    ):
        await ask(patient(server.ref))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"error": "no such model"}, "no such model"),
        ({"detail": "no such route"}, '{"detail": "no such route"}'),
        (["odd"], '["odd"]'),
    ],
)
async def test_a_refusal_in_other_words_is_told_as_it_is(body: Json, told: str) -> None:
    with provider(failing(404, body)) as server, pytest.raises(ProviderError) as caught:
        await ask(client(server.ref))
    assert told in str(caught.value)


async def test_headers_and_fields_of_the_users_own_are_sent() -> None:
    extensions = {"extra_headers": {"X-Team": "blue"}, "extra_body": {"min_p": 0.1}, "top_k": 5}
    with provider(HELLO) as server:
        await ask(client(ModelRef.local(f"{server.base}/v1/", extensions=extensions)))
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["x-team"] == "blue"
    assert (asked.body["min_p"], asked.body["top_k"]) == (0.1, 5)


async def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with provider(HELLO, HELLO) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        reply, _ = await ask(client(ModelRef.local("http://models.invalid/v1")))
        with provider(HELLO) as near:
            await ask(client(near.ref))
            assert len(near.asked) == 1
        await close()
    assert reply.text == "Hello"
    assert [asked.path for asked in proxy.asked] == ["http://models.invalid/v1/chat/completions"]


async def test_a_server_that_hangs_up_without_a_word_is_asked_again() -> None:
    def hang_up(handler: Handler) -> None:
        handler.close_connection = True

    with provider(hang_up, HELLO) as server:
        reply, _ = await ask(patient(server.ref))
    assert reply.text == "Hello"


async def test_a_kept_connection_that_the_server_closed_meanwhile_costs_no_call() -> None:
    def answer_and_hang_up(handler: Handler) -> None:
        HELLO(handler)
        handler.close_connection = True

    with provider(answer_and_hang_up, HELLO, keeps=True) as server:
        for _ in range(2):
            reply, _ = await ask(patient(server.ref))
            assert reply.text == "Hello"
        await close()


async def test_a_stream_is_read_to_its_end_so_that_its_connection_can_be_used_again() -> None:
    def answer(handler: Handler) -> None:
        begin_stream(handler)
        for chunk in (delta(content="Hello"), delta("stop"), USED):
            send(handler, data(chunk))
        send(handler, "data: [DONE]\n\n: goodbye\n\n")
        end_stream(handler)

    with provider(*[answer] * 5, keeps=True) as server:
        for _ in range(5):
            await ask(client(server.ref))
        assert server.connections == 1
        await close()
