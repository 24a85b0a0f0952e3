"""Tests of the rows of a SQLite store."""

from loom.checkpoint.sqlite_rows import (
    first_key,
    header_checksum,
    packed,
    record_checksum,
    rows,
    snapshot_row,
    unpacked,
)


def test_the_keys_of_a_run_follow_one_another_and_stand_before_those_of_the_next() -> None:
    keys = [key for key, _, _ in rows(7, 3, [b"a", b"b"])]
    assert keys == [first_key(7, 3), first_key(7, 3) + 1]
    assert first_key(7) < keys[0] < first_key(8)


def test_a_checksum_tells_the_place_of_a_record_too() -> None:
    assert record_checksum(1, b"a") != record_checksum(2, b"a")
    assert header_checksum(b"{}", "run", "graph") != header_checksum(b"{}", "run", "other")


def test_a_snapshot_is_as_it_was_when_unpacked_and_smaller_in_between() -> None:
    snapshot = b'{"log":"%b"}' % (b"x" * 10_000)
    _, head, body, checksum = snapshot_row(7, 3, packed(snapshot))
    assert len(body) < 500
    assert unpacked(head, body, checksum) == snapshot


def test_a_damaged_snapshot_is_none() -> None:
    _, head, body, checksum = snapshot_row(7, 3, packed(b"snapshot"))
    assert unpacked(head, body[:-1] + b"?", checksum) is None
    assert unpacked(head + 1, body, checksum) is None
    assert unpacked(head, None, checksum) is None
    _, head, body, checksum = snapshot_row(7, 3, b"never packed")
    assert unpacked(head, body, checksum) is None
