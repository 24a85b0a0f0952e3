"""What holds for every provider, whatever its protocol: through litellm, against real HTTP servers on loopback."""

from threading import Event

import anyio
import pytest
from pydantic import BaseModel

from loom.errors import (
    ContextOverflowError,
    LoomError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
)
from loom.models.litellm import LiteLLMModel, client
from loom.models.retry import Backoff
from loom.types.content import DocumentBlock, ImageBlock, TextBlock
from loom.types.messages import MALFORMED, Message, ToolCall
from loom.types.models import ModelRef, ModelRequest, ToolSchema
from loom.types.stream import ModelDelta, TextDelta, ThinkingDelta, ToolCallDelta
from tests.models.loopback import (
    ASK,
    MARKS,
    Answer,
    Waits,
    ask,
    delta,
    endless,
    failing,
    openai,
    patient,
    provider,
    silent,
)
from tests.models.loopback import stalled as stall
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
    text_block,
)

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]

IMAGE = ImageBlock(source={"type": "base64", "media_type": "image/png", "data": "QUJD"})
PDF = DocumentBlock(source={"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="})


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


async def test_what_a_model_cannot_do_is_an_error_before_it_is_asked() -> None:
    model = client(ModelRef.openai("o3-mini", api_base="http://127.0.0.1:1/v1"))
    with pytest.raises(ProviderError, match="temperature"):
        await ask(model, ASK.model_copy(update={"temperature": 0.5}))


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


@pytest.mark.parametrize(
    ("protocol", "image", "document"),
    [
        (
            OPENAI,
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
            {
                "type": "file",
                "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            },
        ),
        (
            ANTHROPIC,
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
        ),
        (
            GEMINI,
            {"inline_data": {"data": "QUJD", "mime_type": "image/png"}},
            {"inline_data": {"data": "JVBERg==", "mime_type": "application/pdf"}},
        ),
    ],
    ids=["openai", "anthropic", "gemini"],
)
async def test_images_and_documents_are_sent_as_the_protocol_wants_them(
    protocol: Protocol, image: object, document: object
) -> None:
    request = ModelRequest(messages=(Message(role="user", content=(TextBlock(text="see"), IMAGE, PDF)),))
    with provider(protocol.hello) as server:
        await ask(client(protocol.ref(server.base)), request)
    (message,) = server.asked[0].body["contents" if protocol is GEMINI else "messages"]
    text = {"text": "see"} if protocol is GEMINI else {"type": "text", "text": "see"}
    assert message["parts" if protocol is GEMINI else "content"] == [text, image, document]


async def test_anthropic_fetches_an_image_by_its_address() -> None:
    image = ImageBlock(source={"type": "url", "url": "https://example.com/a.png"})
    document = DocumentBlock(source={"type": "url", "url": "https://example.com/a.pdf"})
    with provider(ANTHROPIC.hello) as server:
        request = ModelRequest(messages=(Message(role="user", content=(image, document)),))
        await ask(client(ANTHROPIC.ref(server.base)), request)
    assert server.asked[0].body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    ]


@every_protocol
async def test_a_tool_may_answer_with_an_image(protocol: Protocol) -> None:
    request = ModelRequest(
        messages=(
            Message(role="user", content="Draw."),
            Message(role="assistant", tool_calls=(ToolCall(id="a", name="draw"),)),
            Message(role="tool", name="draw", tool_call_id="a", content=(TextBlock(text="drawn"), IMAGE)),
        ),
        tools=(ToolSchema(name="draw"),),
    )
    with provider(protocol.hello) as server:
        await ask(client(protocol.ref(server.base)), request)
    sent = str(server.asked[0].body)
    assert "drawn" in sent
    assert "QUJD" in sent


class Verdict(BaseModel):
    passed: bool
    why: str = ""


@every_protocol
async def test_a_reply_in_the_shape_of_a_type_is_asked_for(protocol: Protocol) -> None:
    with provider(protocol.hello) as server:
        await ask(client(protocol.ref(server.base)), ASK.model_copy(update={"response_type": Verdict}))
    sent = str(server.asked[0].body)
    assert "passed" in sent
    assert "boolean" in sent


@every_protocol
@pytest.mark.parametrize(
    ("code", "error", "times"),
    [
        (400, ProviderError, 1),
        (401, ProviderError, 1),
        (403, ProviderError, 1),
        (404, ProviderError, 1),
        (413, ContextOverflowError, 1),
        (429, RateLimitError, 3),
        (500, ProviderUnavailableError, 3),
        (503, ProviderUnavailableError, 3),
        (529, ProviderUnavailableError, 3),
    ],
)
async def test_a_refusal_is_typed_and_only_what_may_pass_is_asked_again(
    protocol: Protocol, code: int, error: type[LoomError], times: int
) -> None:
    with (
        provider(*[failing(code, protocol.error("because"))] * 3) as server,
        pytest.raises(error, match="because") as caught,
    ):
        await ask(patient(protocol.ref(server.base)))
    assert type(caught.value) is error
    assert "secret-key" not in str(caught.value)
    assert len(server.asked) == times


@every_protocol
async def test_the_wish_to_wait_is_honoured(protocol: Protocol) -> None:
    waits = Waits()
    busy = failing(429, protocol.error("busy"), Retry_After="7")
    with provider(busy, protocol.hello) as server:
        reply, _ = await ask(patient(protocol.ref(server.base), waits))
    assert (reply.text, waits.s) == ("Hello", [7.0])


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        (
            OPENAI,
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        ),
        (ANTHROPIC, "prompt is too long: 210000 tokens > 200000 maximum"),
        (
            GEMINI,
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        ),
    ],
    ids=["openai", "anthropic", "gemini"],
)
async def test_a_request_that_does_not_fit_is_a_context_overflow(protocol: Protocol, words: str) -> None:
    with (
        provider(failing(400, protocol.error(words))) as server,
        pytest.raises(ContextOverflowError, match="tokens"),
    ):
        await ask(client(protocol.ref(server.base)))


@every_protocol
async def test_a_stream_that_stalls_is_given_up(protocol: Protocol) -> None:
    done = Event()
    heard: list[ModelDelta] = []
    with provider(stall(protocol.first, done)) as server:
        model = LiteLLMModel(ref=protocol.ref(server.base), timeout_s=0.2)
        with anyio.fail_after(5), pytest.raises(ProviderUnavailableError):
            await model.complete(ASK, heard.append)
        done.set()
    assert heard == [TextDelta(delta="Hel")]


@every_protocol
async def test_a_stream_that_is_cut_is_no_reply(protocol: Protocol) -> None:
    heard: list[ModelDelta] = []
    with provider(protocol.half(True)) as server, pytest.raises(ProviderUnavailableError):
        await patient(protocol.ref(server.base)).complete(ASK, heard.append)
    assert heard == [TextDelta(delta="Hel")]
    assert len(server.asked) == 1


async def test_anthropic_may_fail_in_the_middle_of_a_stream() -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with (
        provider(anthropic(*text_block(0, "Hel"), overloaded, stop_reason=None)) as server,
        pytest.raises(ProviderUnavailableError, match="Overloaded"),
    ):
        await ask(client(ANTHROPIC.ref(server.base)))


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
    hung_up = Event()
    request = ASK.model_copy(update={"timeout_s": 0.3})
    with provider(endless(protocol.first, hung_up) if speaks else silent(hung_up)) as server:
        with anyio.fail_after(5), pytest.raises(ProviderUnavailableError, match=r"did not finish in the 0\.3 s"):
            await LiteLLMModel(ref=protocol.ref(server.base), backoff=Backoff()).complete(request, lambda _: None)
        assert await anyio.to_thread.run_sync(hung_up.wait, 5)
