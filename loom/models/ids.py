"""Ids of tool calls. No I/O."""

from collections.abc import Container
from itertools import count

THOUGHT = "__thought__"
"""Before the thought that litellm writes into the ids of Gemini's calls."""


def own_id(call_id: str, taken: Container[str]) -> str:
    """Return a call's id, another where it is `taken`: a provider tells calls' results apart by it alone."""
    if call_id not in taken:
        return call_id
    name, mark, thought = call_id.partition(THOUGHT)
    return next(own for number in count(2) if (own := f"{name}_{number}{mark}{thought}") not in taken)


def without_thought(call_id: str) -> str:
    """Return the id without what Gemini thought, which it alone reads again."""
    return call_id.partition(THOUGHT)[0]
