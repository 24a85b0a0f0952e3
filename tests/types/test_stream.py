"""Tests of what is streamed."""

import pytest
from pydantic import TypeAdapter, ValidationError

from loom.types.stream import (
    DoneEvent,
    ErrorEvent,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEvent,
    ToolResultEvent,
)

EVENTS: TypeAdapter[StreamEvent] = TypeAdapter(StreamEvent)


@pytest.mark.parametrize(
    ("event", "type_"),
    [
        (TextDelta(delta="a"), "text_delta"),
        (ThinkingDelta(delta="b"), "thinking"),
        (ToolCallDelta(index=1, id="c", name="add", arguments='{"x":'), "tool_call_delta"),
        (ToolCallEvent(id="c", name="add", arguments={"x": [1, None]}), "tool_call"),
        (ToolResultEvent(tool_call_id="c", name="add", content="3", is_error=True), "tool_result"),
        (DoneEvent(output="3", iterations=2, status="max_iterations"), "done"),
        (ErrorEvent(message="no network"), "error"),
    ],
)
def test_an_event_is_told_by_its_type(event: StreamEvent, type_: str) -> None:
    assert event.type == type_
    assert EVENTS.validate_json(EVENTS.dump_json(event)) == event


def test_an_event_of_no_known_type_is_refused() -> None:
    with pytest.raises(ValidationError, match="type"):
        EVENTS.validate_python({"type": "tool"})


def test_a_stream_that_is_done_went_well_unless_it_says_otherwise() -> None:
    assert DoneEvent(output="fine").status == "success"
