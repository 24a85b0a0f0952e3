from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, PlainSerializer

from loom import END, START, Graph, NodeError, Reducer, Runtime, State, append, node
from loom.runs.app import CompiledGraph

pytestmark = pytest.mark.anyio

STRICT = Runtime(strict=True)


class Point(BaseModel):
    model_config = ConfigDict(frozen=True)

    x: int


Growing = Annotated[int, PlainSerializer(lambda value: value + 1)]


def keep(old: object, write: object) -> object:
    return write


class Board(State):
    point: Point = Point(x=1)
    words: list[str] = []
    growing: Growing = 0
    grown: Annotated[Growing, Reducer(keep)] = 0
    log: Annotated[list[str], append] = []


def one_step(fn: Any) -> CompiledGraph[Board]:
    graph = Graph("board", Board)
    graph.node("work", fn)
    graph.edge(START, "work", END)
    return graph.compile()


@node(writes="log")
async def spoils(point: Point) -> list[str]:
    object.__setattr__(point, "x", 2)
    return ["done"]


async def test_a_value_that_is_changed_although_its_type_forbids_it_is_told() -> None:
    assert (await one_step(spoils).run()).status == "completed"
    with pytest.raises(NodeError, match='node "work" changed field "point" in place: its type Point says'):
        await one_step(spoils).run({"point": Point(x=1)}, runtime=STRICT)


@pytest.mark.parametrize("field", ["growing", "grown"])
async def test_a_value_that_does_not_come_back_is_told(field: str) -> None:
    @node(writes=field)
    async def grows() -> int:
        return 5

    assert (await one_step(grows).run()).status == "completed"
    with pytest.raises(NodeError, match=f'node "work", field "{field}": 6 comes back as 7 from its saved JSON'):
        await one_step(grows).run(runtime=STRICT)


async def test_what_a_node_does_to_its_own_copies_is_its_own_business() -> None:
    @node(writes="log")
    async def work(words: list[str]) -> list[str]:
        words.append("mine")
        return words

    result = await one_step(work).run({"words": ["a"]}, runtime=STRICT)
    assert (result.state.words, result.state.log) == (["a"], ["a", "mine"])


async def test_a_failed_check_leaves_the_run_as_it_was() -> None:
    app = one_step(spoils)
    with pytest.raises(NodeError):
        await app.run({"point": Point(x=1)}, run_id="r", runtime=STRICT)
    state = await app.state("r")
    assert (state.point.x, state.log) == (1, [])
