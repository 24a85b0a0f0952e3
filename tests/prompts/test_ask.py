"""Tests of asking a model for what can be read."""

import pytest
from pydantic import BaseModel

from loom import Context, ModelRef, node
from loom.errors import ProviderError
from loom.prompts.ask import ask
from loom.prompts.reply import read_json
from loom.testing import ScriptedModel, run_node
from loom.types.messages import Message

pytestmark = pytest.mark.anyio


class Point(BaseModel):
    x: int


@node(effect="model", writes="x")
async def find(ctx: Context) -> int:
    question = [Message(role="user", content="Where?")]
    port = ctx.model(ModelRef("given", "model"))
    return await ask(port, question, response_type=Point, read=lambda text: read_json(text, Point).x)


async def test_a_reply_that_can_be_read_is_asked_for_once() -> None:
    model = ScriptedModel(['{"x": 1}'])
    assert await run_node(find, model=model) == 1
    assert model.requests[0].response_type is Point
    assert [message.content for message in model.requests[0].messages] == ["Where?"]


async def test_a_model_is_told_why_its_reply_cannot_be_used() -> None:
    model = ScriptedModel(["here", '{"x": 2}'])
    assert await run_node(find, model=model) == 2
    again = model.requests[1].messages
    assert [message.role for message in again] == ["user", "assistant", "user"]
    assert again[1].content == "here"
    assert again[2].content == (
        "That reply cannot be used: the reply has no JSON object\n\nReply again, with nothing but the JSON object."
    )


async def test_a_second_reply_that_cannot_be_read_is_the_last() -> None:
    model = ScriptedModel(["here", "there", '{"x": 3}'])
    with pytest.raises(ValueError, match="the reply has no JSON object"):
        await run_node(find, model=model)
    assert len(model.requests) == 2


async def test_a_model_that_cannot_be_asked_is_not_asked_again() -> None:
    model = ScriptedModel([ProviderError("no"), '{"x": 3}'])
    with pytest.raises(ProviderError):
        await run_node(find, model=model)
    assert len(model.requests) == 1
