from pathlib import Path

import pytest

from loom.cli.store import CommandStore
from loom.cli.view import point_json, state_json, view_of
from loom.core.declared import END, START
from loom.core.graph import Graph
from loom.core.node import node
from loom.core.runtime import Limits, Runtime
from loom.core.state import State
from loom.errors import NodeError, RunNotFoundError

pytestmark = pytest.mark.anyio


class Fields(State):
    number: float = 1.0
    path: Path = Path("a")
    later: str


@node(writes="number")
async def give() -> float:
    return float("inf")


@node(writes="later")
async def fail() -> str:
    raise OSError("disk")


graph = Graph("g", Fields)
graph.node("give", give)
graph.node("fail", fail)
graph.edge(START, "give", "fail", END)
app = graph.compile()


async def test_a_failed_run_is_seen_as_far_as_it_came(tmp_path: Path) -> None:
    store = CommandStore(tmp_path / "loom.db")
    runtime = Runtime(checkpointer=store)
    with pytest.raises(NodeError) as caught:
        await app.run(run_id="r1", runtime=runtime)
    view = await view_of(app, store, "r1")
    assert (view.graph, view.status, view.steps, view.error) == ("g", "failed", 1, str(caught.value))
    assert view.state == {"number": "Infinity", "path": "a"}
    assert state_json(await app.state("r1", runtime=runtime)) == view.state
    points = [point_json(point) for point in await app.history("r1", runtime=runtime)]
    assert [(point["seq"], point["node"], point["next"]) for point in points] == [
        (0, START, ["give"]),
        (1, "give", ["fail"]),
    ]
    assert points[1]["writes"] == {"number": "Infinity"}
    await store.close()


async def test_a_stopped_run_has_its_reason(tmp_path: Path) -> None:
    store = CommandStore(tmp_path / "loom.db")
    await app.run(run_id="r1", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=1)))
    view = await view_of(app, store, "r1")
    assert (view.status, view.stop_reason, view.error) == ("stopped", "max_steps", None)
    assert view.started_at <= view.updated_at
    await store.close()


async def test_a_run_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    store = CommandStore(tmp_path / "loom.db")
    with pytest.raises(RunNotFoundError):
        await view_of(app, store, "r1")
    await store.close()
