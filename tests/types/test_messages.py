"""Tests of messages as records."""

import pytest
from pydantic import ValidationError

from loom.core.values import values_of
from loom.types.content import ImageBlock, TextBlock
from loom.types.messages import Message, ThinkingBlock, ToolCall, ToolResult


def test_a_message_reads_back_from_json_with_its_calls() -> None:
    message = Message(role="assistant", tool_calls=(ToolCall(id="a", name="add", arguments={"x": [1, 2]}),))
    assert Message.model_validate_json(message.model_dump_json()) == message


def test_a_message_is_saved_and_read_with_what_was_thought_as_it_is() -> None:
    blocks = (ThinkingBlock(text="hm", signature="s"), ThinkingBlock(redacted="x", after_text=1, after_calls=1))
    messages = (Message(role="assistant", content="a", thinking=blocks),)
    values = values_of(tuple[Message, ...])
    seen, saved = values.settle(messages)
    assert seen == messages
    assert values.settle(seen)[0] is seen, "it equals what is read, and need not be read"
    assert values.load_json(saved) == messages


def test_a_message_that_was_saved_before_there_was_thinking_can_be_read() -> None:
    saved = '{"role": "user", "content": "hi", "tool_calls": [], "tool_call_id": null, "name": null}'
    assert Message.model_validate_json(saved) == Message(role="user", content="hi")


def test_a_list_of_calls_is_taken_as_a_tuple() -> None:
    calls = [ToolCall(id="a", name="add")]
    assert Message.model_validate({"role": "assistant", "tool_calls": calls}).tool_calls == tuple(calls)


def test_a_role_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="role"):
        Message.model_validate({"role": "oracle"})


def test_a_result_says_of_which_call_it_is() -> None:
    result = ToolResult(tool_call_id="a", content="no", is_error=True)
    assert ToolResult.model_validate_json(result.model_dump_json()) == result


def test_a_message_of_blocks_reads_back_and_has_their_text() -> None:
    image = ImageBlock(source={"type": "base64", "media_type": "image/png", "data": "QUJD"})
    message = Message(role="user", content=(TextBlock(text="see"), image))
    assert Message.model_validate_json(message.model_dump_json()) == message
    assert message.text == "see"


def test_a_result_may_hold_blocks() -> None:
    result = ToolResult.model_validate({"tool_call_id": "a", "content": [{"type": "text", "text": "drawn"}]})
    assert (result.content, result.text) == ((TextBlock(text="drawn"),), "drawn")
