"""Tests of the snapshots of node outputs."""

import pytest
from pydantic import BaseModel
from syrupy.assertion import SnapshotAssertion

from loom import node
from loom.testing import run_node
from loom.testing.snapshots import NodeOutputExtension


class Out(BaseModel):
    b: int = 1
    a: float = 0.5
    unset: str = ""


@node
async def give() -> Out:
    return Out(b=2, a=float("inf"))


@pytest.mark.anyio
async def test_an_output_is_compared_as_readable_json(node_snapshot: SnapshotAssertion) -> None:
    assert await run_node(give) == node_snapshot


def test_keys_are_sorted_and_unset_ports_left_out(snapshot: SnapshotAssertion) -> None:
    text = NodeOutputExtension.serialize(snapshot.extension, Out(b=2))  # type: ignore[arg-type]
    assert text == '{\n  "b": 2\n}\n'
