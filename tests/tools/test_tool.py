"""Tests of tools made from functions."""

import threading
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field
from syrupy.assertion import SnapshotAssertion

from loom.errors import ConfigError, ToolExecutionError
from loom.tools.tool import tool
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
