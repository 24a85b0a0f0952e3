"""Snapshots of a walk, read back."""

from typing import Any

from pydantic_core import from_json

from loom.errors import CheckpointError

# Any: parsed JSON.

_IN_SNAPSHOT = frozenset({"seq", "after", "at", "row", "visits", "usage"})


def parsed_snapshot(snapshot: bytes, run_id: str) -> dict[str, Any]:
    """Return what a snapshot holds.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        saved: dict[str, Any] = from_json(snapshot)
        if saved.keys() >= {"values", "rest"} and saved["rest"].keys() >= _IN_SNAPSHOT:
            return saved
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f'run "{run_id}" has a snapshot that cannot be read: {error}') from None
    raise CheckpointError(f'run "{run_id}" has a snapshot that cannot be read: parts of it are missing')
