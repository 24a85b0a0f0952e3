"""Tests of running one node by itself."""

import pytest
from pydantic import BaseModel

from loom import ConfigError, Context, Node, node
from loom.testing import ScriptedModel, run_node
from loom.types.content import TextBlock
from loom.types.events import Event
from loom.types.messages import Message
from loom.types.models import ModelRef

pytestmark = pytest.mark.anyio


class Question(BaseModel):
    text: str


class Answer(BaseModel):
    answer: str
    note: str = ""


class Ask(Node[Question, Answer]):
    model: ModelRef

    async def run(self, inputs: Question, ctx: Context) -> Answer:
        reply = await ctx.model(self.model).complete([Message(role="user", content=inputs.text)])
        return Answer(answer=reply.text)


ASK = Ask(model=ModelRef("local", "small"))


@node(writes="total")
async def double(x: int) -> int:
    return 2 * x


@node(writes="total")
def half(x: int, ctx: Context) -> float:
    ctx.emit(Event(type="note", payload={"x": x}))
    return x / 2


@node(writes="total")
async def liar(x: int) -> int:
    return "three"  # type: ignore[return-value]  # what the test is about


async def test_a_node_class_gives_its_output_model() -> None:
    model = ScriptedModel(["42"])
    assert await run_node(ASK, {"text": "?"}, model=model) == Answer(answer="42")
    assert model.requests[0].node == "Ask"


async def test_only_ports_that_were_set_count_as_set() -> None:
    output = await run_node(ASK, Question(text="?"), model=ScriptedModel(["42"]))
    assert output.model_fields_set == {"answer"}


async def test_a_function_gives_its_value_and_inputs_are_coerced() -> None:
    assert await run_node(double, {"x": "4"}) == 8


async def test_a_sync_function_gets_its_context() -> None:
    events: list[Event] = []
    assert await run_node(half, {"x": 3}, events=events) == 1.5
    assert [(event.type, event.payload) for event in events] == [("note", {"x": 3})]


async def test_a_model_can_be_given_by_identifier() -> None:
    models = {"local:small": ScriptedModel(["yes"])}
    assert (await run_node(ASK, {"text": "?"}, model=models)).answer == "yes"


async def test_a_resource_is_the_very_object_that_was_given() -> None:
    @node(writes="total")
    async def look(ctx: Context) -> bool:
        return ctx.resources["client"] is client

    client = object()
    assert await run_node(look, resources={"client": client}) is True
    with pytest.raises(KeyError, match="client"):
        await run_node(look)


async def test_a_record_inside_an_output_keeps_what_is_its_default() -> None:
    class Picture(Node[Question, Message]):
        async def run(self, inputs: Question, ctx: Context) -> Message:
            return Message(role="user", content=(TextBlock(text=inputs.text),))

    out = await run_node(Picture(), {"text": "a"})
    assert out.content == (TextBlock(text="a"),)


@pytest.mark.parametrize(
    ("of", "inputs", "told"),
    [
        (double, {"y": 1}, 'node "double" has no port "y"; ports are "x".'),
        (double, {}, 'node "double" lacks the inputs "x"'),
        (double, {"x": "four"}, 'the inputs of node "double" do not fit'),
        (liar, {"x": 1}, 'the output of node "liar" does not fit'),
        (ASK, {}, 'the inputs of node "Ask" do not fit'),
        (ASK, {"text": "?"}, 'asks the model "local:small"; pass run_node(…, model=ScriptedModel([…]))'),
    ],
)
async def test_what_does_not_fit_is_told(of: Node[Question, Answer], inputs: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await run_node(of, inputs)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_model_that_was_not_given_is_told() -> None:
    with pytest.raises(ConfigError, match='no model "local:small"; it has "local:large"'):
        await run_node(ASK, {"text": "?"}, model={"local:large": ScriptedModel(["x"])})
