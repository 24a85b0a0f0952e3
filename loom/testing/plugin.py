"""The pytest plugin: fixtures for tests of nodes and graphs. Loads nothing until one is used."""

from typing import Any

import pytest


# Any: syrupy's assertion object, which is imported only where the fixture is used.
@pytest.fixture
def node_snapshot(request: pytest.FixtureRequest) -> Any:
    """Compare a node's output with its snapshot: `assert await run_node(…) == node_snapshot`. Needs syrupy."""
    from loom.testing.snapshots import NodeOutputExtension  # noqa: PLC0415 - syrupy is optional

    return request.getfixturevalue("snapshot").use_extension(NodeOutputExtension)
