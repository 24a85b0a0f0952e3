"""Tests of a request on its way and of its answer as servers really give it: in pieces, cut, late, with comments."""

import json
from threading import Event

import anyio
import pytest

from loom.errors import ContextOverflowError, ProviderError, ProviderUnavailableError, RateLimitError
from loom.models import close
from loom.models.litellm import LiteLLMModel, client
from loom.models.retry import Backoff
from loom.types.models import ModelRef
from loom.types.stream import ModelDelta, TextDelta
from tests.models.loopback import (
    ASK,
    HELLO,
    MARKS,
    USED,
    Answer,
    Handler,
    Json,
    Waits,
    ask,
    begin_stream,
    data,
    delta,
    end_stream,
    endless,
    events,
    failing,
    openai,
    patient,
    provider,
    send,
    silent,
)
from tests.models.loopback import stalled as stall
from tests.models.protocols import ANTHROPIC, GEMINI, Protocol, anthropic, every_protocol, text_block

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]

STOP = data(delta("stop"))


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


@pytest.mark.parametrize(
    ("event", "error", "told"),
    [
        ('{"error": {"message": "out of memory", "code": 500}}', ProviderUnavailableError, "out of memory"),
        ('{"error": {"message": "slow down", "code": 429}}', RateLimitError, "slow down"),
        ('{"error": {"message": "bad grammar", "code": 400, "type": "invalid"}}', ProviderError, "bad grammar"),
        ('{"error": {"message": "worn out", "code": 42}}', ProviderUnavailableError, "worn out"),
        ('{"object": "error", "message": "too hot", "code": 400}', ProviderError, "too hot"),
        ('{"error": "out of luck"}', ProviderUnavailableError, "out of luck"),
        ('{"error": {"message": "no room", "code": 413}}', ContextOverflowError, "no room"),
        ("{cut", ProviderUnavailableError, r"an event that is no JSON object: b'\{cut'"),
        ("[1]", ProviderUnavailableError, r"an event that is no JSON object: b'\[1\]'"),
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
    ("kind", "error"),
    [
        ("overloaded_error", ProviderUnavailableError),
        ("api_error", ProviderUnavailableError),
        ("rate_limit_error", RateLimitError),
        ("invalid_request_error", ProviderError),
        ("request_too_large", ContextOverflowError),
        ("a_new_error", ProviderUnavailableError),
    ],
)
async def test_an_error_of_anthropic_in_the_stream_is_typed_by_its_name(kind: str, error: type[Exception]) -> None:
    failed = {"type": "error", "error": {"type": kind, "message": "because"}}
    with (
        provider(anthropic(*text_block(0, "Hel"), failed, stop_reason=None)) as server,
        pytest.raises(error, match="because") as caught,
    ):
        await ask(client(ANTHROPIC.ref(server.base)))
    assert type(caught.value) is error
    assert len(server.asked) == 1


@every_protocol
async def test_an_error_that_is_the_whole_stream_is_asked_again(protocol: Protocol) -> None:
    failed = {"type": "error", "error": {"code": 529, "type": "overloaded_error", "message": "Overloaded"}}
    with provider(events(data(failed)), protocol.hello) as server:
        reply, _ = await ask(patient(protocol.ref(server.base)))
    assert reply.text == "Hello"


@every_protocol
async def test_an_event_that_cannot_be_read_is_told(protocol: Protocol) -> None:
    odd = {"type": "content_block_delta", "choices": [7], "candidates": [7]}
    with (
        provider(events(data(odd))) as server,
        pytest.raises(ProviderUnavailableError, match="an event that cannot be read"),
    ):
        await ask(patient(protocol.ref(server.base), max_attempts=1))


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


WAIT = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}
BUSY: Json = {"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [{}, WAIT]}}


@pytest.mark.parametrize(
    "busy",
    [failing(429, BUSY), failing(429, [BUSY]), events(data(BUSY)), failing(200, BUSY)],
    ids=["refused", "refused in a list", "in the stream", "instead of a stream"],
)
async def test_geminis_wish_to_wait_stands_in_its_words_and_is_honoured(busy: Answer) -> None:
    waits = Waits()
    with provider(busy, GEMINI.hello) as server:
        reply, _ = await ask(patient(GEMINI.ref(server.base), waits))
    assert (reply.text, waits.s) == ("Hello", [7.5])


async def test_a_long_wish_of_gemini_is_told() -> None:
    with provider(failing(429, BUSY)) as server, pytest.raises(RateLimitError, match=r"7\.5 s") as caught:
        await ask(patient(GEMINI.ref(server.base), max_backoff_s=5.0))
    assert caught.value.retry_after_s == 7.5


@pytest.mark.parametrize(
    ("body", "error", "told", "times"),
    [
        ({"error": {"message": "in band"}}, ProviderError, "in band", 1),
        ({"error": "key secret-key is wrong"}, ProviderError, r"key \*\*\* is wrong", 1),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}}, ProviderError, "bad", 1),
        ({"detail": "no such route"}, ProviderError, '{"detail": "no such route"}', 1),
        ([], ProviderError, r"\[\]", 1),
        ({"error": {"message": "prompt is too long: 9 tokens > 8"}}, ContextOverflowError, "9 tokens > 8", 1),
        ({"error": {"message": "slow down", "code": 429}}, RateLimitError, "slow down", 3),
        ({"error": {"message": "slow", "code": "rate_limit_exceeded"}}, RateLimitError, "slow", 3),
        ({"error": {"message": "busy", "code": 503}}, ProviderUnavailableError, "busy", 3),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, ProviderUnavailableError, "busy", 3),
        ({"error": {"message": "busy", "status": "UNAVAILABLE"}}, ProviderUnavailableError, "busy", 3),
    ],
)
@every_protocol
async def test_an_error_instead_of_a_stream_is_told_in_its_words(
    protocol: Protocol, body: Json, error: type[Exception], told: str, times: int
) -> None:
    with provider(*[failing(200, body)] * 3) as server, pytest.raises(error, match=told) as caught:
        await ask(patient(protocol.ref(server.base)))
    assert type(caught.value) is error
    assert len(server.asked) == times


async def test_a_stream_that_ends_before_it_begins_is_asked_again() -> None:
    with provider(events(": ping\n\nevent: done\n\ndata: [DONE]"), HELLO) as server:
        reply, _ = await ask(patient(server.ref))
    assert reply.text == "Hello"


async def test_a_page_instead_of_a_stream_is_told() -> None:
    def page(handler: Handler) -> None:
        begin_stream(handler)
        send(handler, "<html>\n<p>Log in")
        send(handler, " first</p>\n")
        end_stream(handler)

    with (
        provider(page) as server,
        pytest.raises(ProviderError, match="<html>\n<p>Log in first</p>") as caught,
    ):
        await ask(patient(server.ref))
    assert type(caught.value) is ProviderError


@every_protocol
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_that_names_its_target_and_the_key_goes_nowhere(
    protocol: Protocol, code: int
) -> None:
    with provider() as other:
        target = other.base.replace("127.0.0.1", "localhost") + "/elsewhere?key=secret-key"
        with (
            provider(*[failing(code, {}, Location=target)] * 3) as server,
            pytest.raises(ProviderError, match=rf'\(status {code}\): .*"http://localhost:\d+/elsewhere') as caught,
        ):
            await ask(patient(protocol.ref(server.base)))
    assert type(caught.value) is ProviderError
    assert "secret-key" not in str(caught.value)
    assert (len(server.asked), other.connections) == (1, 0)


async def test_a_redirect_within_a_server_is_named_in_full() -> None:
    with (
        provider(failing(308, {}, Location="/v2/chat")) as server,
        pytest.raises(ProviderError, match=rf'"{server.base}/v2/chat"'),
    ):
        await ask(patient(server.ref))


@every_protocol
@pytest.mark.parametrize("cut", [True, False], ids=["in its transfer", "in good order"])
async def test_a_stream_that_breaks_off_is_no_reply_and_is_not_asked_again(protocol: Protocol, cut: bool) -> None:
    heard: list[ModelDelta] = []
    with provider(protocol.half(cut), protocol.hello) as server, pytest.raises(ProviderUnavailableError):
        await patient(protocol.ref(server.base)).complete(ASK, heard.append)
    assert heard == [TextDelta(delta="Hel")]
    assert len(server.asked) == 1


async def test_a_stream_that_breaks_off_before_its_first_word_is_asked_again() -> None:
    with provider(openai(), HELLO) as server:
        reply, heard = await ask(patient(server.ref))
    assert reply.text == "Hello"
    assert heard == [TextDelta(delta="Hel"), TextDelta(delta="lo")]


async def test_silence_is_given_up_after_the_timeout() -> None:
    done = Event()

    def wait(handler: Handler) -> None:
        done.wait(10)

    with provider(wait) as server:
        model = LiteLLMModel(ref=server.ref, timeout_s=0.2, backoff=Backoff(max_attempts=1))
        with anyio.fail_after(5), pytest.raises(ProviderUnavailableError, match=r"silent for 0\.2 s"):
            await ask(model)
        done.set()


@every_protocol
async def test_a_stream_that_stalls_is_given_up(protocol: Protocol) -> None:
    done = Event()
    heard: list[ModelDelta] = []
    with provider(stall(protocol.first, done)) as server:
        model = LiteLLMModel(ref=protocol.ref(server.base), timeout_s=1)
        with anyio.fail_after(5), pytest.raises(ProviderUnavailableError):
            await model.complete(ASK, heard.append)
        done.set()
    assert heard == [TextDelta(delta="Hel")]


@every_protocol
async def test_a_cancelled_call_hangs_up(protocol: Protocol) -> None:
    hung_up = Event()
    with provider(endless(protocol.first, hung_up)) as server:
        with anyio.CancelScope() as scope:
            await client(protocol.ref(server.base)).complete(ASK, lambda _: scope.cancel())
        assert scope.cancelled_caught
        assert await anyio.to_thread.run_sync(hung_up.wait, 5)


@every_protocol
@pytest.mark.parametrize("speaks", [True, False], ids=["while it streams", "before its first word"])
async def test_a_call_whose_time_is_up_hangs_up(protocol: Protocol, speaks: bool) -> None:
    hung_up, timeout_s = Event(), 0.25
    with provider(endless(protocol.first, hung_up) if speaks else silent(hung_up)) as server:
        model = LiteLLMModel(ref=protocol.ref(server.base), backoff=Backoff())
        while not server.asked:  # on a busy machine the time may be up before the call is under way
            timeout_s *= 2
            request = ASK.model_copy(update={"timeout_s": timeout_s})
            with pytest.raises(ProviderUnavailableError, match=f"did not finish in the {timeout_s:g} s"):
                await model.complete(request, lambda _: None)
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
