from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel

from loom import Context, Limits, ModelRef, NodeError, Runtime
from loom.testing import ScriptedModel
from loom.types.messages import Message
from loom.types.models import Emit, ModelReply, ModelRequest
from tests.core.letters import chain

pytestmark = pytest.mark.anyio

REF = ModelRef("test", "one")
HELLO = [Message(role="user", content="Hello")]


async def test_a_model_is_asked_in_the_name_of_node_and_run_and_its_usage_is_counted() -> None:
    model = ScriptedModel(["one", "two"])
    seen: list[int] = []

    async def talk(ctx: Context) -> None:
        for _ in range(2):
            await ctx.model(REF).complete(HELLO, max_output_tokens=9, temperature=0.5)
        seen.append(ctx.usage.total_tokens)

    result = await chain("ab", a=talk).run(run_id="r", runtime=Runtime(models={REF.identifier: model}))
    request = model.requests[0]
    assert (request.node, request.run_id, request.messages) == ("a", "r", tuple(HELLO))
    assert (request.max_output_tokens, request.temperature) == (9, 0.5)
    assert seen == [result.usage.total_tokens]
    assert result.usage.total_tokens > 0


async def test_a_model_has_as_long_as_the_run_has() -> None:
    model = ScriptedModel(["one", "two"])

    async def talk(ctx: Context) -> None:
        await ctx.model(REF).complete(HELLO)

    graph = chain("a", a=talk)
    await graph.run(runtime=Runtime(models=model, limits=Limits(deadline_s=60), clock=lambda: 1000.0))
    await graph.run(runtime=Runtime(models=model))
    assert [request.timeout_s for request in model.requests] == [60.0, None]


async def test_a_reply_of_a_type_is_asked_for() -> None:
    class Verdict(BaseModel):
        good: bool

    model = ScriptedModel([Verdict(good=True)])

    async def talk(ctx: Context) -> None:
        reply = await ctx.model(REF).complete(HELLO, response_type=Verdict)
        assert Verdict.model_validate_json(reply.text).good

    await chain("a", a=talk).run(runtime=Runtime(models=model))
    assert model.requests[0].response_type is Verdict


async def test_a_call_that_fails_is_told_as_an_event_also_where_the_node_goes_on() -> None:
    model = ScriptedModel([TimeoutError("too slow"), "two"])

    async def talk(ctx: Context) -> None:
        with suppress(TimeoutError):
            await ctx.model(REF).complete(HELLO)
        await ctx.model(REF).complete(HELLO)

    run = chain("a", a=talk).start(runtime=Runtime(models=model))
    told = [event.payload async for event in run.events() if event.type in ("model.failed", "model.finished")]
    assert told[0] == {"node": "a", "model": "test:one", "error": "TimeoutError: too slow"}
    assert [payload.get("finish_reason") for payload in told] == [None, "stop"]


class Odd:
    """A model that replies, or emits, what it was given."""

    def __init__(self, reply: Any, emitted: Any = None) -> None:
        self.reply: ModelReply = reply
        self.emitted = emitted

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        if self.emitted is not None:
            emit(self.emitted)
        return self.reply


class AtOnce:
    def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        return ModelReply(text="hello")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Odd(None), "gives None; expected ModelReply"),
        (Odd({"text": "hello"}), "gives {'text': 'hello'}; expected ModelReply"),
        (Odd(ModelReply(), "hello"), "emits 'hello'; expected TextDelta, ThinkingDelta or ToolCallDelta"),
        (AtOnce(), "expected ModelReply, by async def complete"),
    ],
)
async def test_a_model_that_is_none_is_told_with_what_it_gave(model: Any, said: str) -> None:
    async def talk(ctx: Context) -> None:
        await ctx.model(REF).complete(HELLO)

    with pytest.raises(NodeError, match='model "test:one" ') as caught:
        await chain("a", a=talk).run(runtime=Runtime(models=model))
    assert said in str(caught.value)
