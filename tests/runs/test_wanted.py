"""Tests of what a node wants of its run and cannot have, and of what it is told then."""

import enum
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, PrivateAttr, SecretStr

from loom import ConfigError, Context, LoomError, NodeError
from loom.types.events import Event
from tests.runs.effects import acting

pytestmark = pytest.mark.anyio

# Any, in this module: what is given where something else is expected.


class Grade(enum.Enum):
    A = "a"


class Live:
    pass


def asked(question: Any = "Go on?", **given: Any) -> Callable[[Context], Awaitable[Any]]:
    return lambda ctx: ctx.ask(question, **given)


def once(key: Any, fn: Any, **given: Any) -> Callable[[Context], Awaitable[Any]]:
    return lambda ctx: ctx.once(key, fn, **given)


def emits(event: Any) -> Callable[[Context], Awaitable[Any]]:
    async def body(ctx: Context) -> None:
        ctx.emit(event)

    return body


async def keys(ctx: Context) -> Any:
    number: Any = 5
    return ctx.idempotency_key(number)


def unknown() -> Any:
    return 1


unknown.__annotations__["return"] = Callable[[], int]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (asked(5), 'the question of an ask of node "n0" must be a text; got 5'),
        (asked("\ud800"), "the question of an ask of node \"n0\" must be a text that can be saved; got '\\ud800'"),
        (asked(key=5), 'the key of ask "Go on?" of node "n0" must be a text; got 5'),
        (asked(key="\udc00"), 'the key of ask "Go on?" of node "n0" must be a text that can be saved'),
        (asked(kind="in_doubt"), 'ask "Go on?" of node "n0" is of kind \'in_doubt\'; expected "ask" or "approve"'),
        (asked(kind=["ask"], key="k"), 'ask "k" of node "n0" is of kind [\'ask\']; expected "ask" or "approve"'),
        (asked(payload=[1]), 'the payload of ask "Go on?" of node "n0" must be JSON values by name; got [1]'),
        (asked(payload="text"), "must be JSON values by name; got 'text'"),
        (asked(payload={1: 1}), "must be JSON values by name; got {1: 1}"),
        (asked(payload={"live": Live()}), 'the payload of ask "Go on?" of node "n0" is no JSON: Unable to serialize'),
        (asked(answer_type="Nope"), 'ask "Go on?" of node "n0" wants \'Nope\', of which no type can be made: '),
        (
            asked(answer_type="yes or"),
            "wants 'yes or', of which no type can be made: SyntaxError: Forward reference must be",
        ),
        (asked(answer_type=["yes", "no"]), "wants ['yes', 'no']; expected a type, as in bool or Literal['a', 'b']"),
        (asked(answer_type=5), "wants 5; expected a type"),
        (asked(answer_type=Callable), "wants Callable, which no JSON can be: Cannot"),
        (asked(answer_type=Live), "wants Live, which no JSON can be: "),
        (
            asked(answer_type=SecretStr),
            "wants SecretStr, which no JSON can be: A secret would be saved",
        ),
        (
            asked(answer_type=Literal[Grade.A]),
            "can be: JSON has no members of a plain Enum for a Literal",
        ),
        (once(5, dict), 'the key of a once of node "n0" must be a text; got 5'),
        (once(None, dict), 'the key of a once of node "n0" must be a text; got None'),
        (once("\ud800", dict), 'the key of a once of node "n0" must be a text that can be saved'),
        (once("k", 5), 'once("k") of node "n0" calls 5; expected a function, and what it is given after it'),
        (once("k", dict, result_type="Nope"), 'once("k") of node "n0" wants \'Nope\', of which no type can be made'),
        (once("k", unknown), 'once("k") of node "n0" gives Callable[[], int], which cannot be saved: Cannot'),
        (once("k", dict, effect=["read"]), 'once("k") of node "n0" has the effect [\'read\']; expected one of "pure"'),
        (emits("x"), 'node "n0" emits \'x\'; expected an Event, as in Event(type="…", payload={…})'),
        (emits({"type": "x"}), "node \"n0\" emits {'type': 'x'}; expected an Event"),
        (keys, 'the key of an idempotency_key of node "n0" must be a text; got 5'),
    ],
)
async def test_what_a_node_wants_and_cannot_have_is_said_with_what_was_got_and_expected(
    body: Callable[[Context], Awaitable[Any]], message: str
) -> None:
    with pytest.raises(NodeError) as caught:
        await acting(body).run()
    assert message in str(caught.value)
    assert isinstance(caught.value.__cause__, ConfigError)


class Drawn(BaseModel):
    name: str = Field(exclude=True)
    picture: bytes
    _seen: bool = PrivateAttr(default=False)


async def test_what_a_state_could_not_hold_may_be_answered() -> None:
    async def body(ctx: Context) -> Any:
        drawn = await ctx.ask("What?", answer_type=Drawn)
        return [drawn.name, drawn.picture.decode()]

    app = acting(body)
    (ask,) = (await app.run(run_id="r")).asks
    assert (await app.resume("r", answers={ask.id: {"name": "a", "picture": "b"}})).state.seen == [["a", "b"]]


async def test_a_question_without_a_key_or_with_an_empty_one_is_its_own() -> None:
    for given in ({}, {"key": None}, {"key": ""}):
        (ask,) = (await acting(asked(**given)).run()).asks
        assert (ask.key, ask.kind, ask.payload) == ("Go on?", "ask", {})


async def test_a_payload_that_cannot_be_shown_is_no_json_all_the_same() -> None:
    class Sullen:
        def __repr__(self) -> str:
            raise ValueError("no text")

    with pytest.raises(NodeError, match="must be JSON values by name; got a value of type list that cannot be shown"):
        await acting(asked(payload=[Sullen()])).run()


async def test_an_event_that_cannot_be_saved_is_an_error_of_ours() -> None:
    with pytest.raises(NodeError) as caught:
        await acting(emits(Event(type="x", payload={"live": Live()}))).run()
    assert isinstance(caught.value.__cause__, LoomError)
