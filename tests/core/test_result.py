import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from loom import END, START, Checkpoint, Context, Graph, GraphResult, MemoryCheckpointer, Runtime, State, node
from loom.core.result import Ask, Result, RunInfo
from loom.types.usage import Usage


class Board(State):
    text: str = ""


@node(writes="text")
async def shout(text: str) -> str:
    return text.upper()


@node(writes="text")
async def doubt(text: str, ctx: Context) -> str:
    return text if await ctx.ask("Sure?", answer_type=bool, key="sure") else ""


def app_of(made: Any) -> Any:
    graph = Graph("board", Board)
    graph.node("one", made)
    graph.edge(START, "one", END)
    return graph.compile()


def test_a_result_says_how_the_run_ended() -> None:
    result: GraphResult[Board] = app_of(shout).run_sync({"text": "a"}, run_id="r")
    assert (result.run_id, result.status, result.state, result.steps) == ("r", "completed", Board(text="A"), 1)
    assert (result.usage, result.asks, result.stop_reason) == (Usage(), (), None)
    assert result.duration_s > 0


def test_a_paused_result_has_what_was_asked() -> None:
    result: GraphResult[Board] = app_of(doubt).run_sync({"text": "a"})
    (ask,) = result.asks
    assert result.status == "paused"
    assert (ask.kind, ask.key, ask.question, ask.node, ask.branch) == ("ask", "sure", "Sure?", "one", "")
    assert ask.answer_type == {"type": "boolean"}


@pytest.mark.anyio
async def test_a_point_tells_what_a_step_wrote_and_what_was_due() -> None:
    app = app_of(shout)
    await app.run({"text": "a"}, run_id="r")
    first, second = await app.history("r")
    assert (first.seq, first.node, first.writes, first.next) == (0, START, {"text": "a"}, ("one",))
    assert (second.seq, second.node, second.branch, second.writes) == (1, "one", "", {"text": "A"})
    assert (second.next, second.attempt) == ((), 1)
    assert second.at >= first.at > 0


@pytest.mark.anyio
async def test_a_run_in_a_list_tells_graph_status_and_times() -> None:
    store = MemoryCheckpointer()
    await app_of(shout).run({"text": "a"}, run_id="r", runtime=Runtime(checkpointer=store))
    (info,) = await store.runs()
    assert (info.run_id, info.status, info.graph, info.parent) == ("r", "completed", "board", None)
    assert info.updated_at >= info.created_at > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: GraphResult("r", "completed", Board(), 1, Usage()),
        lambda: Checkpoint(1, "one", "", {}, (), 0.0, 0.0),
        lambda: RunInfo("r", "completed", "board", 0.0, 0.0),
        lambda: Ask("a", "ask", "key", "Sure?", "one", "", {}, {}),
        lambda: Result(3),
    ],
)
def test_what_a_run_gives_back_is_frozen_and_equal_by_value(make: Callable[[], Any]) -> None:
    assert make() == make()
    name = dataclasses.fields(make())[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(make(), name, None)
