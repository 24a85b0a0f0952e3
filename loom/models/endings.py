"""Why a reply ended, in one vocabulary, and without a word that the provider did not say. No I/O."""

from typing import Any

# Any: what a protocol's reader hands back; which attributes its chunks have differs by provider.
Record = Any

# For these litellm says something else than the provider does.
OWN = {"refusal": "refusal", "model_context_window_exceeded": "length", "OTHER": "other"}
# For these it is right to say "stop"; it says so of what it does not know, too.
STOPS = {"end_turn", "stop_sequence", "tool_use", "STOP"}
UNREADABLE = {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL"}
"""Gemini's reasons for a reply that is lost since its server could not read what the model wrote."""


def ending(chunk: Record, reason: str | None, words: str = "") -> Record:
    """Return litellm's chunk with the provider's `reason` to end, in lower case where there is no common word.

    Of what is `UNREADABLE` the `words` follow it.
    """
    for choice in chunk.choices:
        if not reason:
            choice.finish_reason = None  # litellm makes one up
        elif reason in OWN or (choice.finish_reason == "stop" and reason not in STOPS):
            choice.finish_reason = OWN.get(reason, reason.lower())
            if words and reason in UNREADABLE:
                choice.finish_reason += f": {words}"
    return chunk


def is_unreadable(finish_reason: str) -> bool:
    """Return whether a reply with this reason is lost, and better asked for again."""
    return finish_reason.partition(":")[0].upper() in UNREADABLE
