"""The rows of a SQLite store: their keys, their checksums, how a snapshot is packed."""

import zlib
from collections.abc import Iterator, Sequence

RUN_BITS = 32  # a run has at most 2**32 records


def first_key(number: int, index: int = 0) -> int:
    """Return the key of a record: the number of its run and its index in one integer."""
    return (number << RUN_BITS) + index


def rows(number: int, head: int, records: Sequence[bytes]) -> Iterator[tuple[int, bytes, int]]:
    """Yield the rows of records that begin at index `head`."""
    for index, record in enumerate(records, head):
        key = first_key(number, index)
        yield key, record, record_checksum(key, record)


def record_checksum(key: int, body: bytes) -> int:
    """Cover the key too, so that rows cannot trade places."""
    return zlib.crc32(body, zlib.crc32(key.to_bytes(8)))


def header_checksum(header: bytes, *names: str) -> int:
    """Cover the names of the run, its graph and its parent too."""
    checksum = zlib.crc32(header)
    for name in names:
        checksum = zlib.crc32(name.encode(), checksum)
    return checksum


def packed(snapshot: bytes) -> bytes:
    """Compress a snapshot, quickly: it repeats what the records hold, and would double what a run takes up."""
    return zlib.compress(snapshot, 1)


def snapshot_row(number: int, head: int, body: bytes) -> tuple[int, int, bytes, int]:
    """Return the row of a packed snapshot of the first `head` records."""
    return number, head, body, zlib.crc32(body, head)


def unpacked(head: int, body: object, checksum: int) -> bytes | None:
    """Return the snapshot of a row; None if it is damaged."""
    if not isinstance(body, bytes) or zlib.crc32(body, head) != checksum:
        return None
    try:
        return zlib.decompress(body)
    except zlib.error:
        return None
