"""Tests of what a model streams."""

from pydantic import TypeAdapter

from loom.types.stream import TextDelta, ThinkingDelta


def test_deltas_are_told_apart_by_their_type() -> None:
    either: TypeAdapter[TextDelta | ThinkingDelta] = TypeAdapter(TextDelta | ThinkingDelta)
    for delta in (TextDelta(delta="a"), ThinkingDelta(delta="b")):
        assert either.validate_json(delta.model_dump_json()) == delta
