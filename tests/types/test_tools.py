"""Tests of what counts as a tool."""

from collections.abc import Mapping
from typing import Literal

import pytest

from loom.types.models import ToolSchema
from loom.types.tools import Tool


class Echo:
    name = "echo"
    schema = ToolSchema(name="echo")
    read_only = destructive = concurrency_safe = idempotent = requires_permission = False
    contexts: tuple[str, ...] = ()
    max_output_chars = 1000
    effect: Literal["read", "write"] = "write"

    async def call(self, arguments: Mapping[str, object]) -> str:
        return str(dict(arguments))


@pytest.mark.anyio
async def test_anything_with_a_name_a_schema_and_a_call_is_a_tool() -> None:
    echo = Echo()
    assert isinstance(echo, Tool)
    assert await echo.call({"x": 1}) == "{'x': 1}"


def test_what_cannot_be_called_is_none() -> None:
    assert not isinstance("echo", Tool)
