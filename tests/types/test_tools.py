"""Tests of what counts as a tool."""

from collections.abc import Mapping

import pytest

from loom.types.models import ToolSchema
from loom.types.tools import Tool


class Echo:
    name = "echo"
    schema = ToolSchema(name="echo")

    async def call(self, arguments: Mapping[str, object]) -> str:
        return str(dict(arguments))


@pytest.mark.anyio
async def test_anything_with_a_name_a_schema_and_a_call_is_a_tool() -> None:
    echo = Echo()
    assert isinstance(echo, Tool)
    assert await echo.call({"x": 1}) == "{'x': 1}"


def test_what_cannot_be_called_is_none() -> None:
    assert not isinstance("echo", Tool)
