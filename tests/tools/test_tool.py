"""Tests of tools made from functions."""

import asyncio
import re
import threading
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import anyio
import pytest
from pydantic import BaseModel, Field
from syrupy.assertion import SnapshotAssertion

from loom.errors import ConfigError, ToolExecutionError
from loom.tools.tool import ToolSpec, tool
from loom.types.content import ImageBlock, TextBlock
from loom.types.tools import Tool

pytestmark = pytest.mark.anyio


@tool
async def search(query: str, limit: Annotated[int, Field(gt=0, description="how many")] = 5) -> list[str]:
    """Search the library."""
    return [query] * limit


def test_a_function_becomes_a_tool_with_a_schema(snapshot: SnapshotAssertion) -> None:
    assert isinstance(search, Tool)
    assert repr(search) == "<tool search>"
    assert search.schema.model_dump() == snapshot


async def test_a_tool_is_still_its_function() -> None:
    assert await search("x", limit=1) == ["x"]
    assert search.__doc__ == "Search the library."


def test_a_tool_can_be_given_name_and_description() -> None:
    @tool(name="find", description="Find it.")
    def search() -> str:
        return ""

    assert (search.name, search.schema.name, search.schema.description) == ("find", "find", "Find it.")


async def test_a_text_is_returned_as_it_is_and_else_json() -> None:
    @tool
    def text() -> str:
        return "é\n"

    assert await text.call({}) == "é\n"
    assert await search.call({"query": "é", "limit": 2}) == '["é","é"]'


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, '"query": Field required'),
        ({"query": "x", "limit": 0}, '"limit": Input should be greater than 0'),
        ({"query": "x", "lmit": 1}, '"lmit": Extra inputs are not permitted'),
        ({"query": 1, "limit": "many"}, '"query": Input should be a valid string; "limit": '),
    ],
)
async def test_arguments_that_do_not_fit_are_told(arguments: dict[str, object], told: str) -> None:
    with pytest.raises(ToolExecutionError) as caught:
        await search.call(arguments)
    assert 'tool "search" was not called, its arguments do not fit: ' in str(caught.value)
    assert told in str(caught.value)


async def test_a_plain_function_runs_in_a_thread_of_its_own() -> None:
    @tool
    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    @tool
    async def here() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert (await where.call({}), await here.call({})) == ("false", "true")


async def test_what_a_function_raises_is_a_tool_error() -> None:
    @tool
    def divide(by: int) -> float:
        return 1 / by

    with pytest.raises(ToolExecutionError, match='tool "divide" failed: ZeroDivisionError: division by zero'):
        await divide.call({"by": 0})


@tool
def parse(text: str) -> int:
    parser = ArgumentParser(prog="parse")
    parser.add_argument("number", type=int)
    return int(parser.parse_args([text]).number)


@tool
async def give_up() -> None:
    inner = asyncio.create_task(anyio.sleep_forever())
    inner.cancel("mine")
    await inner


@tool
async def hurry() -> None:
    raise asyncio.CancelledError("mine")


async def test_a_tool_that_ends_the_program_or_is_cancelled_by_itself_has_failed() -> None:
    with pytest.raises(ToolExecutionError, match='tool "parse" failed: SystemExit: 2'):
        await parse.call({"text": "many"})
    for each in (give_up, hurry):
        with pytest.raises(ToolExecutionError, match=f'tool "{each.name}" failed: CancelledError: mine'):
            await each.call({})


async def test_what_is_meant_for_the_whole_program_passes_a_tool() -> None:
    @tool
    def stop() -> None:
        raise KeyboardInterrupt

    @tool
    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            begun.set()

    begun = anyio.Event()
    with pytest.raises(KeyboardInterrupt):
        await stop.call({})
    task = asyncio.create_task(wait.call({}))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert begun.is_set()
    with anyio.fail_after(2), anyio.move_on_after(0.01) as scope:
        await wait.call({})
    assert scope.cancelled_caught


async def test_a_result_that_is_no_json_is_a_tool_error() -> None:
    @tool
    def thing() -> object:
        return object()

    with pytest.raises(ToolExecutionError, match='tool "thing" returned what cannot be put as JSON'):
        await thing.call({})


@pytest.mark.parametrize("name", ["json", "copy", "model_dump", "schema", "self_"])
async def test_an_argument_may_be_called_as_a_model_calls_its_methods(name: str) -> None:
    space: dict[str, Callable[..., Any]] = {}
    exec(f"def echo({name}: str) -> str: return {name}", space)
    assert await tool(space["echo"]).call({name: "x"}) == "x"


def test_a_signature_that_says_too_little_is_refused() -> None:
    def untyped(x):  # type: ignore[no-untyped-def]
        return x  # pyright: ignore[reportUnknownVariableType]

    def stars(*x: int) -> None: ...

    def hidden(_x: int) -> None: ...

    def unknown(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    def no_json(x: threading.Thread) -> None: ...

    told: dict[Callable[..., Any], str] = {
        untyped: 'the parameter "x" needs a type',
        stars: r'the parameter "\*x: int"; arguments are plain named parameters',
        hidden: 'the parameter "_x" must not begin with an underscore',
        unknown: "an annotation that cannot be resolved",
        no_json: "a parameter that no JSON fits",
    }
    for fn, why in told.items():
        with pytest.raises(ConfigError, match=why):
            tool(fn)


def test_a_tool_says_what_it_does() -> None:
    @tool(
        read_only=True,
        concurrency_safe=True,
        idempotent=True,
        timeout_s=1.5,
        contexts=["repo"],
        max_output_chars=9,
    )
    def look() -> str:
        return ""

    assert (look.read_only, look.destructive, look.concurrency_safe, look.idempotent) == (True, False, True, True)
    assert (look.timeout_s, look.contexts, look.max_output_chars, look.effect) == (1.5, ("repo",), 9, "read")

    @tool
    def plain() -> str:
        return ""

    assert (plain.read_only, plain.destructive, plain.concurrency_safe, plain.idempotent) == (False,) * 4
    assert (plain.timeout_s, plain.contexts, plain.max_output_chars, plain.effect) == (None, (), 20_000, "write")


@pytest.mark.parametrize(
    ("destructive", "wish", "asks"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_a_destructive_tool_requires_permission_unless_it_says_otherwise(
    destructive: bool, wish: bool | None, asks: bool
) -> None:
    @tool(destructive=destructive, requires_permission=wish)
    def act() -> str:
        return ""

    assert act.requires_permission is asks


def test_a_tool_can_be_made_without_the_decorator() -> None:
    def look(place: str) -> str:
        return place

    spec = ToolSpec.from_function(look, name="peek", description="Look.", read_only=True)
    assert (spec.name, spec.description, spec.read_only) == ("peek", "Look.", True)
    assert spec.to_input_schema() == spec.schema.parameters
    assert spec("here") == "here"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"read_only": True, "destructive": True}, "is read_only and destructive"),
        ({"contexts": "repo"}, "contexts must be a list of texts, as in [\"deployment\"]; got str: 'repo'"),
        ({"contexts": [1]}, "contexts must be a list of texts"),
        ({"timeout_s": 0}, "timeout_s must be more than 0 seconds; got int: 0"),
        ({"timeout_s": "1"}, "timeout_s must be more than 0 seconds; got str: '1'"),
        ({"max_output_chars": 0}, "max_output_chars must be a whole number of at least 1; got int: 0"),
        ({"max_output_chars": "many"}, "max_output_chars must be a whole number of at least 1"),
        ({"read_only": "no"}, "read_only must be True or False; got str: 'no'"),
        ({"destructive": 1}, "destructive must be True or False"),
        ({"requires_permission": "no"}, "requires_permission must be True or False"),
        ({"description": 3}, "description must be a text"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: Any, told: str) -> None:
    def act() -> str:
        return ""

    with pytest.raises(ConfigError) as caught:
        tool(**settings)(act)
    assert re.match('tool "act":? ', str(caught.value))
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["", "my tool!", "größe", "a.b", "x" * 65, 3])
def test_a_name_that_no_provider_takes_is_refused(name: Any) -> None:
    def act() -> str:
        return ""

    with pytest.raises(
        ConfigError, match=r'its name must be a name that providers take, .* as in tool\(name="search"\)'
    ):
        tool(name=name)(act)
    with pytest.raises(ConfigError, match='tool "<lambda>": its name must be'):
        tool(lambda: "")


def test_an_async_generator_is_no_tool_for_nobody_would_take_what_it_yields() -> None:
    async def count() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigError, match='tool "count" must return its result, but it is an async generator'):
        tool(count)


async def test_a_call_that_takes_too_long_is_left_and_says_so() -> None:
    release = threading.Event()

    @tool(timeout_s=0.05)
    async def wait() -> None:
        await anyio.sleep_forever()

    @tool(timeout_s=0.05)
    def block() -> None:
        release.wait()

    @tool(timeout_s=5)
    async def own() -> None:
        raise TimeoutError("mine")

    with pytest.raises(ToolExecutionError, match=r'tool "wait" took longer than 0\.05 s$'):
        await wait.call({})
    with pytest.raises(ToolExecutionError, match="its thread cannot be stopped and was abandoned"):
        await block.call({})
    with pytest.raises(ToolExecutionError, match='tool "own" failed: TimeoutError: mine'):
        await own.call({})
    release.set()


async def test_a_call_that_is_cancelled_does_not_wait_for_its_thread() -> None:
    release = threading.Event()

    @tool
    def block() -> None:
        release.wait()

    with anyio.fail_after(2), anyio.move_on_after(0.05) as scope:
        await block.call({})
    assert scope.cancelled_caught
    release.set()


async def test_arguments_reach_the_function_as_its_types() -> None:
    class Point(BaseModel):
        x: int

    seen: list[object] = []

    @tool
    def note(point: Point, tags: set[str], at: datetime | None = None) -> None:
        seen.extend([point, tags, at])

    arguments = note.validated({"point": {"x": "1"}, "tags": ["a"], "at": "2026-01-02T03:04:05Z"})
    assert arguments == {"point": {"x": 1}, "tags": ["a"], "at": "2026-01-02T03:04:05Z"}
    await note.call(arguments)
    assert seen == [Point(x=1), {"a"}, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)]


async def test_blocks_are_returned_as_blocks_and_mixed_lists_as_json() -> None:
    text, image = TextBlock(text="x"), ImageBlock(source={"type": "url", "url": "https://example.com/x.png"})
    results: list[object] = [text, [text, image], (image,), [], [text, 1]]

    @tool
    async def give(number: int) -> object:
        return results[number]

    assert [await give.call({"number": number}) for number in range(5)] == [
        (text,),
        (text, image),
        (image,),
        "[]",
        '[{"type":"text","text":"x"},1]',
    ]


async def test_a_function_that_is_not_seen_to_be_async_is_awaited_all_the_same() -> None:
    async def later(x: int) -> str:
        return f"later {x}"

    def soon(x: int) -> Awaitable[str]:
        return later(x)

    assert await tool(soon).call({"x": 1}) == "later 1"


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigError, match='tool "partial" must be made of a function, got partial'):
        tool(partial(print, "x"))
