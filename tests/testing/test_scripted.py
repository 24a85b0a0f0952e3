from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from loom.errors import ConfigError, ProviderError, RateLimitError
from loom.testing.scripted import Reply, ScriptedModel, call, pieces
from loom.types.messages import Message, ThinkingBlock, ToolCall
from loom.types.models import Model, ModelReply, ModelRequest
from loom.types.stream import ModelDelta, TextDelta, ThinkingDelta, ToolCallDelta
from loom.types.usage import Usage

pytestmark = pytest.mark.anyio


class Verdict(BaseModel):
    passed: bool


def asking(text: str, node: str = "") -> ModelRequest:
    return ModelRequest(messages=(Message(role="user", content=text),), node=node)


async def ask(model: Model, text: str = "hi") -> ModelReply:
    return await model.complete(asking(text), lambda _: None)


async def test_replies_come_in_order_and_requests_are_kept() -> None:
    model = ScriptedModel(["one", "two"])
    assert [(await ask(model, "a")).text, (await ask(model, "b")).text] == ["one", "two"]
    assert model.requests == [asking("a"), asking("b")]
    model.assert_done()


async def test_a_text_is_heard_word_by_word() -> None:
    heard: list[ModelDelta] = []
    reply = await ScriptedModel(["Be  brief,\nplease."]).complete(asking("hi"), heard.append)
    assert heard == [TextDelta(delta="Be  "), TextDelta(delta="brief,\n"), TextDelta(delta="please.")]
    assert reply.text == "Be  brief,\nplease."


async def test_calls_are_heard_after_the_text() -> None:
    heard: list[ModelDelta] = []
    reply = ModelReply(text="Adding", tool_calls=(call("add", x=1), call("now")))
    await ScriptedModel([reply]).complete(asking("hi"), heard.append)
    assert heard == [
        TextDelta(delta="Adding"),
        ToolCallDelta(index=0, id="call_1", name="add", arguments='{"x": 1}'),
        ToolCallDelta(index=1, id="call_2", name="now", arguments="{}"),
    ]


async def test_thinking_is_heard_before_the_text_and_counts() -> None:
    heard: list[ModelDelta] = []
    thinking = (ThinkingBlock(text="Hm, one.", signature="s"), ThinkingBlock(redacted="x"))
    reply = await ScriptedModel([ModelReply(text="One.", thinking=thinking)]).complete(asking("hi"), heard.append)
    assert heard == [ThinkingDelta(delta="Hm, "), ThinkingDelta(delta="one."), TextDelta(delta="One.")]
    assert (reply.thinking, reply.usage.output_tokens) == (thinking, 3)


@pytest.mark.parametrize("text", ["", " ", "a", " a", "a b\n", "\n\n a \t b "])
def test_the_pieces_of_a_text_make_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


async def test_a_call_gets_an_id_and_keeps_its_arguments() -> None:
    reply = await ask(ScriptedModel([call("add", x=1, name="n")]))
    assert reply.tool_calls == (ToolCall(id="call_1", name="add", arguments={"x": 1, "name": "n"}),)
    assert reply.finish_reason == "tool_calls"


async def test_calls_are_numbered_over_all_turns() -> None:
    model = ScriptedModel([[call("add"), call("sub")], call("mul")])
    ids = [wish.id for _ in range(2) for wish in (await ask(model)).tool_calls]
    assert ids == ["call_1", "call_2", "call_3"]


async def test_a_call_with_an_id_keeps_it() -> None:
    twice = ToolCall(id="same", name="add")
    reply = await ask(ScriptedModel([[twice, twice, call("sub")]]))
    assert [wish.id for wish in reply.tool_calls] == ["same", "same", "call_1"]


async def test_a_pydantic_object_becomes_its_json() -> None:
    assert (await ask(ScriptedModel([Verdict(passed=True)]))).text == '{"passed":true}'


async def test_a_whole_reply_is_given_as_it_is() -> None:
    reply = ModelReply(text="cut", finish_reason="length", usage=Usage(input_tokens=7, cost_usd=0.5))
    assert await ask(ScriptedModel([reply])) == reply


async def test_text_and_calls_in_one_reply_are_given_together() -> None:
    reply = await ask(ScriptedModel([ModelReply(text="Adding.", tool_calls=(call("add"),))]))
    assert (reply.text, reply.tool_calls[0].id) == ("Adding.", "call_1")


@pytest.mark.parametrize("failure", [RateLimitError("slow down"), RateLimitError])
async def test_an_exception_is_raised(failure: Reply) -> None:
    model = ScriptedModel([failure, "fine"])
    with pytest.raises(RateLimitError):
        await ask(model)
    assert (await ask(model)).text == "fine"


async def test_a_function_sees_the_request() -> None:
    model = ScriptedModel([lambda request: request.messages[-1].text.upper()])
    assert (await ask(model, "loud")).text == "LOUD"


async def test_an_async_function_may_wait_and_others_go_on_meanwhile() -> None:
    told = anyio.Event()

    async def wait(request: ModelRequest) -> ToolCall:
        await told.wait()
        return call("add")

    def tell(request: ModelRequest) -> str:
        told.set()
        return "told"

    model = ScriptedModel([wait, tell])
    replies: dict[str, ModelReply] = {}

    async def asker(name: str) -> None:
        replies[name] = await ask(model, name)

    async with anyio.create_task_group() as group:
        group.start_soon(asker, "first")
        group.start_soon(asker, "second")
    assert replies["first"].tool_calls[0].name == "add"
    assert replies["second"].text == "told"


async def test_tokens_are_four_characters_and_cost_nothing() -> None:
    reply = await ask(ScriptedModel(["12345"]), "12345678")
    assert reply.usage == Usage(input_tokens=2, output_tokens=2, cost_usd=0.0)


async def test_running_out_says_how_many_there_were_and_what_was_asked() -> None:
    model = ScriptedModel(["one"])
    await ask(model)
    with pytest.raises(
        ProviderError, match='has 1 reply and was asked 2 times, last by node "write": user said "more'
    ) as caught:
        await model.complete(asking("more " * 100, node="write"), lambda _: None)
    assert len(str(caught.value)) < 400


async def test_unused_replies_are_reported() -> None:
    model = ScriptedModel(["one", "two", "three"])
    await ask(model)
    with pytest.raises(AssertionError, match=r"""has 3 replies, 1 used and 2 left: the next is "'two'\""""):
        model.assert_done()


@pytest.mark.parametrize("reply", [42, None, [], ["text"], [call("add"), "text"], int], ids=repr)
def test_a_reply_of_another_type_is_refused_with_its_place(reply: Reply) -> None:
    with pytest.raises(ConfigError, match="reply 2 of ScriptedModel must be a text"):
        ScriptedModel(["fine", reply])


async def test_a_function_of_another_result_is_refused() -> None:
    # Any: a wrong reply that no type checker sees coming.
    wrong: Any = 42
    with pytest.raises(ConfigError, match="the function that is reply 1 of ScriptedModel must be a text"):
        await ask(ScriptedModel([lambda _: wrong]))


def test_a_text_instead_of_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match='takes a list of replies, but got the text "hello"'):
        ScriptedModel("hello")
