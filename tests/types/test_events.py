"""Tests of events as records."""

import pytest
from pydantic import ValidationError

from loom.types.events import Event


def test_an_event_is_frozen_and_reads_back_from_json() -> None:
    event = Event(type="note", payload={"x": 1}, run_id="r", seq=2, at=3.5, offset=4)
    assert Event.model_validate_json(event.model_dump_json()) == event
    with pytest.raises(ValidationError, match="frozen"):
        event.seq = 3


def test_an_event_without_an_offset_is_live_only() -> None:
    assert Event(type="model.delta").offset == 0
