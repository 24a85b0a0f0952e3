"""Tests of snapshots that are read back."""

import pytest

from loom.errors import CheckpointError
from loom.runs.snapshots import parsed_snapshot


@pytest.mark.parametrize(
    ("snapshot", "said"),
    [
        (b"{", "has a snapshot that cannot be read: EOF"),
        (b"[]", "has a snapshot that cannot be read: "),
        (b'{"values":{}}', "has a snapshot that cannot be read: parts of it are missing"),
        (b'{"values":{},"rest":{"seq":1}}', "has a snapshot that cannot be read: parts of it are missing"),
    ],
)
def test_a_damaged_snapshot_is_told(snapshot: bytes, said: str) -> None:
    with pytest.raises(CheckpointError, match=f'run "r" {said}'):
        parsed_snapshot(snapshot, "r")
