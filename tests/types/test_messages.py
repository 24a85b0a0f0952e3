"""Tests of messages as records."""

import pytest
from pydantic import ValidationError

from loom.types.messages import Message, ToolCall, ToolResult


def test_a_message_reads_back_from_json_with_its_calls() -> None:
    message = Message(role="assistant", tool_calls=(ToolCall(id="a", name="add", arguments={"x": [1, 2]}),))
    assert Message.model_validate_json(message.model_dump_json()) == message


def test_a_list_of_calls_is_taken_as_a_tuple() -> None:
    calls = [ToolCall(id="a", name="add")]
    assert Message.model_validate({"role": "assistant", "tool_calls": calls}).tool_calls == tuple(calls)


def test_a_role_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="role"):
        Message.model_validate({"role": "oracle"})


def test_a_result_says_of_which_call_it_is() -> None:
    result = ToolResult(tool_call_id="a", content="no", is_error=True)
    assert ToolResult.model_validate_json(result.model_dump_json()) == result
