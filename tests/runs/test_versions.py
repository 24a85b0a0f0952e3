"""Tests of states of other versions."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from loom import (
    END,
    START,
    Context,
    Graph,
    GraphChangedError,
    Limits,
    MemoryCheckpointer,
    NodeError,
    NoEdgeError,
    Reducer,
    Runtime,
    SqliteCheckpointer,
    State,
    add,
    append,
    merge,
    node,
)
from loom.core.journal import Checkpointer, decode
from loom.runs.app import CompiledGraph

pytestmark = pytest.mark.anyio

# Any, in this module: saved states, and graphs of any state.


class Old(State):
    i: int = 0


class New(State, version=2):
    n: int = 0

    @staticmethod
    def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return {"n": data["i"] * 10 * from_version}


class Newest(State, version=3):
    cents: int = 0

    @staticmethod
    def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
        if from_version == 1:
            data = New.migrate(data, 1)
        return {"cents": data["n"] * 100}


@node(writes="i")
async def count_i(i: int) -> int:
    return i + 1


@node(writes="n")
async def count_n(n: int) -> int:
    return n + 1


@node(writes="cents")
async def count_cents(cents: int) -> int:
    return cents + 1


COUNTERS: dict[type[State], Any] = {Old: count_i, New: count_n, Newest: count_cents}


def chain(state: type[State], names: str = "wxyz", fn: Any = None) -> CompiledGraph[Any]:
    graph = Graph("g", state)
    for name in names:
        graph.node(name, fn or COUNTERS[state])
    graph.edge(START, *names, END)
    return graph.compile()


async def walk(app: CompiledGraph[Any], store: Checkpointer, steps: int | None = None, **settings: Any) -> Any:
    """Begin a run or go on with it, for as many steps in all; return its state."""
    runtime = Runtime(checkpointer=store, limits=Limits(max_steps=steps))
    known = [info.run_id for info in await store.runs()]
    go_on = app.resume("r", runtime=runtime, **settings) if known else app.run(run_id="r", runtime=runtime)
    return (await go_on).state


async def migrations(store: Checkpointer) -> int:
    return sum(decode(line, "r")["kind"] == "migrated" for line in (await store.read("r")).records)


@pytest.fixture
def store() -> MemoryCheckpointer:
    return MemoryCheckpointer()


async def test_a_run_of_an_older_state_is_migrated_and_goes_on(store: MemoryCheckpointer) -> None:
    assert await walk(chain(Old), store, 2) == Old(i=2)
    # The bodies read another field, so they are a change; the version by itself is none.
    assert await walk(chain(New), store, on_change="continue") == New(n=22)
    assert await migrations(store) == 1


async def test_a_raised_version_is_not_itself_a_change(store: MemoryCheckpointer) -> None:
    class Raised(Old, version=2):
        more: list[str] = ["given"]

        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            return data

    await walk(chain(Old), store, 2)
    assert await walk(chain(Raised, fn=count_i), store) == Raised(i=4, more=["given"]), "with defaults for what is new"


async def test_a_second_resume_does_not_migrate_again(store: MemoryCheckpointer) -> None:
    await walk(chain(Old), store, 1)
    for steps in (1, 2, 2, 3):
        await walk(chain(New), store, steps, on_change="continue")
    assert await walk(chain(New), store, on_change="continue") == New(n=13)
    assert await migrations(store) == 1


@pytest.mark.parametrize("steps", range(5))
async def test_a_third_version_migrates_from_the_second_where_there_was_one(
    store: MemoryCheckpointer, steps: int
) -> None:
    await walk(chain(Old), store, 1)
    await walk(chain(New), store, max(steps, 1), on_change="continue")
    expected = 100 * (10 + max(steps, 1) - 1) + 4 - max(steps, 1)
    assert await walk(chain(Newest), store, on_change="continue") == Newest(cents=expected)
    assert await walk(chain(Newest), store, on_change="continue") == Newest(cents=expected), "also once it is over"


async def test_versions_may_be_skipped(store: MemoryCheckpointer) -> None:
    await walk(chain(Old), store, 2)
    assert await walk(chain(Newest), store, on_change="continue") == Newest(cents=2002)


async def test_a_completed_run_is_migrated_when_it_is_looked_at(store: MemoryCheckpointer) -> None:
    await walk(chain(Old), store)
    before = await store.read("r")
    assert await walk(chain(New), store, on_change="continue") == New(n=40)
    runtime = Runtime(checkpointer=store)
    assert [await chain(New).state("r", at=at, runtime=runtime) for at in range(5)] == [New(n=10 * n) for n in range(5)]
    assert await store.read("r") == before


async def test_history_events_and_replay_read_both_versions(store: MemoryCheckpointer) -> None:
    await walk(chain(Old), store, 2)
    await walk(chain(New), store, 3, on_change="continue")
    app, runtime = chain(New), Runtime(checkpointer=store)
    history = await app.history("r", runtime=runtime)
    assert [point.writes for point in history] == [{"i": 0}, {"i": 1}, {"i": 2}, {"n": 21}]
    assert [(await app.state("r", at=at, runtime=runtime)).n for at in range(4)] == [0, 10, 20, 21]
    finished = [
        event.payload["writes"] async for event in app.events("r", runtime=runtime) if "writes" in event.payload
    ]
    assert finished == [{"i": 1}, {"i": 2}, {"n": 21}]
    assert (await app.replay("r", runtime=runtime)).same


async def test_forks_before_and_after_the_migration_end_alike(store: MemoryCheckpointer) -> None:
    await walk(chain(Old), store, 2)
    await walk(chain(New), store, 3, on_change="continue")
    app, runtime = chain(New), Runtime(checkpointer=store)
    ends = [
        (await app.resume(await app.fork("r", at=at, runtime=runtime), on_change="continue", runtime=runtime)).state.n
        for at in range(4)
    ]
    assert ends == [4, 13, 22, 22], "each migrated where it was cut"
    new = await app.fork("r", at=3, set={"n": 0}, runtime=runtime)
    assert (await app.resume(new, on_change="continue", runtime=runtime)).state.n == 1


# What is kept over a migration


async def test_asks_effects_and_attempts_are_kept(store: MemoryCheckpointer) -> None:
    calls: dict[str, int] = {}

    def count() -> int:
        calls["n"] = calls.get("n", 0) + 1
        return calls["n"]

    def asking(state: type[State], field: str) -> CompiledGraph[Any]:
        @node(writes=field, effect="write")
        async def work(ctx: Context) -> int:
            acted: int = await ctx.once("act", count)
            asked: int = await ctx.ask("How many?", answer_type=int)
            return acted * 100 + asked

        graph = Graph("g", state)
        graph.node("work", work, ungated="a test")
        graph.edge(START, "work", END)
        return graph.compile()

    old, new, runtime = asking(Old, "i"), asking(New, "n"), Runtime(checkpointer=store)
    assert old.fingerprint != new.fingerprint  # both are taken before `calls`, which is closed over, grows
    (ask,) = (await old.run(run_id="r", runtime=runtime)).asks
    result = await new.resume("r", answers={ask.id: 5}, on_change="continue", runtime=runtime)
    assert (result.state, calls) == (New(n=105), {"n": 1})


async def test_a_step_without_a_way_on_is_not_run_again(store: MemoryCheckpointer) -> None:
    def switched(state: type[State], condition: str) -> CompiledGraph[Any]:
        graph = Graph("g", state)
        graph.node("x", COUNTERS[state])
        graph.node("y", COUNTERS[state])
        graph.edge(START, "x")
        graph.switch("x", {condition: "y"})
        graph.edge("y", END)
        return graph.compile()

    runtime = Runtime(checkpointer=store)
    with pytest.raises(NoEdgeError):
        await switched(Old, "i > 1").run(run_id="r", runtime=runtime)
    result = await switched(New, "n > 1").resume("r", on_change="continue", runtime=runtime)
    assert (result.state, result.steps) == (New(n=11), 2)


async def test_visits_are_counted_on(store: MemoryCheckpointer) -> None:
    def looping(state: type[State], field: str) -> CompiledGraph[Any]:
        @node(writes=field)
        async def visit(ctx: Context) -> int:
            return ctx.visit

        graph = Graph("g", state)
        graph.node("visit", visit)
        graph.edge(START, "visit")
        graph.switch("visit", {f"{field} >= 5": END}, otherwise="visit")
        return graph.compile()

    await walk(looping(Old, "i"), store, 3)
    assert await walk(looping(New, "n"), store, on_change="continue") == New(n=5), "so there are two more"


# Reducers and types


class Item(BaseModel):
    name: str
    size: int = Field(alias="s", default=1)


class Shelf(State):
    items: Annotated[list[Item], append] = []
    tags: Annotated[set[str], merge] = set()
    index: Annotated[dict[str, int], merge] = {}
    total: Annotated[float, add] = 0
    pair: Annotated[tuple[int, ...], append] = ()
    day: date = date(2026, 1, 1)
    last: str = ""


class Written(BaseModel):
    items: list[Item]
    tags: set[str]
    index: dict[str, int]
    total: float
    pair: tuple[int, ...]
    day: date
    last: str


@node
async def fill(ctx: Context) -> Written:
    visit = ctx.visit
    return Written(
        items=[Item(name=ctx.node, s=visit)],
        tags={ctx.node, "all"},
        index={ctx.node: visit},
        total=0.5,
        pair=(visit, 7),
        day=date(2026, 1, 1 + visit),
        last=ctx.node,
    )


async def test_reducers_fold_what_was_saved_as_they_did(store: MemoryCheckpointer) -> None:
    class Shelf2(Shelf, version=2):
        more: int = 0

        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            assert data["day"] == "2026-01-02", "as JSON"
            assert sorted(data["tags"]) == ["all", "w", "x"]
            assert data["pair"] == [1, 7, 1, 7]
            return data | {"more": len(data["items"])}

    await walk(chain(Shelf, fn=fill), store, 2)
    migrated = await walk(chain(Shelf2, fn=fill), store)
    whole = await walk(chain(Shelf, fn=fill), MemoryCheckpointer())
    assert migrated == Shelf2(**whole.model_dump(by_alias=True), more=2)


async def test_a_saved_sum_that_is_no_number_cannot_be_folded(store: MemoryCheckpointer) -> None:
    class Money(State):
        sum: Annotated[Decimal, add] = Decimal(0)

    class Money2(Money, version=2):
        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            return data

    @node(writes="sum")
    async def pay() -> Decimal:
        return Decimal("0.10")

    await walk(chain(Money, fn=pay), store, 2)
    with pytest.raises(GraphChangedError, match='field "sum" was reduced by "add"'):
        await walk(chain(Money2, fn=pay), store)


def longest(old: str, new: str) -> str:
    return max(old, new, key=len)


class Long(State):
    word: Annotated[str, Reducer(longest)] = ""
    log: Annotated[list[str], append] = []


class Long2(Long, version=2):
    @staticmethod
    def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return {**data, "log": []}


@node(writes="word")
async def speak(ctx: Context) -> str:
    return ctx.node * ctx.visit


@node(writes="log")
async def fill_log(ctx: Context) -> list[str]:
    return [ctx.node * 20_000]


async def test_a_reducer_of_ones_own_needs_a_snapshot(store: MemoryCheckpointer) -> None:
    await walk(chain(Long, fn=speak), store, 2)
    before = await store.read("r")
    with pytest.raises(GraphChangedError, match='field "word" was reduced by "custom') as caught:
        await walk(chain(Long2, fn=speak), store)
    assert [(change.node, change.what) for change in caught.value.changes] == [("word", "state")]
    assert await store.read("r") == before


def spoken(state: type[State], speakers: str = "a") -> CompiledGraph[Any]:
    graph = Graph("g", state)
    for name in "abcd":
        graph.node(name, speak if name in speakers else fill_log)
    graph.edge(START, *"abcd", END)
    return graph.compile()


async def test_after_a_snapshot_it_is_fine_unless_the_field_is_written_again(tmp_path: Path) -> None:
    for speakers, is_fine in (("a", True), ("ac", False)):
        store = SqliteCheckpointer(tmp_path / f"{speakers}.db")
        await walk(spoken(Long, speakers), store, 3)
        journal = await store.read("r", from_snapshot=True)
        assert journal.snapshot
        assert (journal.start, len(journal.records)) == (3, 2), "the third step and the end"
        if is_fine:
            state = await walk(spoken(Long2, speakers), store)
            assert (state.word, len(state.log)) == ("a", 1)
        else:
            with pytest.raises(GraphChangedError, match='field "word" was reduced'):
                await walk(spoken(Long2, speakers), store)
        await store.close()


async def test_a_snapshot_after_the_migration_is_of_the_newer_version(tmp_path: Path) -> None:
    store = SqliteCheckpointer(tmp_path / "loom.db")
    await walk(spoken(Long), store, 2)
    await walk(spoken(Long2), store, 3)
    journal = await store.read("r", from_snapshot=True)
    assert journal.snapshot
    assert b'"version":2' in journal.snapshot
    state = await walk(spoken(Long2), store)
    assert (state.word, [word[0] for word in state.log]) == ("a", ["c", "d"])
    await store.close()


# What cannot be migrated


async def test_inside_a_fan_out_or_an_inner_graph_nothing_is_migrated(store: MemoryCheckpointer) -> None:
    class Log(State):
        log: Annotated[list[str], append] = []

    class Log2(Log, version=2):
        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            return data

    @node(writes="log")
    async def tell(ctx: Context) -> list[str]:
        return [ctx.node]

    def fan(state: type[State]) -> CompiledGraph[Any]:
        graph = Graph("g", state)
        for name in "abj":
            graph.node(name, tell)
        graph.edge(START, ["a", "b"], "j", END)
        return graph.compile()

    def outer(state: type[State]) -> CompiledGraph[Any]:
        graph = Graph("g", state)
        graph.node("in", chain(Log, "ab", tell).as_node(reads={"log": "log"}, writes={"log": "log"}))
        graph.edge(START, "in", END)
        return graph.compile()

    for build in (fan, outer):
        store = MemoryCheckpointer()
        await walk(build(Log), store, 1)
        with pytest.raises(GraphChangedError, match="inside a fan-out or an inner graph") as caught:
            await walk(build(Log2), store)
        assert [(change.node, change.what) for change in caught.value.changes] == [("Log2", "state")]
        assert await migrations(store) == 0
    await walk(fan(Log), store := MemoryCheckpointer(), 2)
    assert (await walk(fan(Log2), store)).log == ["a", "b", "j"], "once it is over it can"


def raising(data: dict[str, Any], from_version: int) -> dict[str, Any]:
    return {"i": data["missing"]}


def wrong(data: dict[str, Any], from_version: int) -> dict[str, Any]:
    return {"i": "many"}


def stray(data: dict[str, Any], from_version: int) -> dict[str, Any]:
    return data | {"stray": 1}


def nothing(data: dict[str, Any], from_version: int) -> Any:
    return None


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (raising, "KeyError: 'missing'"),
        (wrong, "unable to parse string as an integer"),
        (stray, 'it gave "stray", which is no field'),
        (nothing, "AttributeError"),
    ],
)
async def test_a_migration_that_fails_is_told_and_changes_nothing(
    store: MemoryCheckpointer, how: Callable[..., Any], message: str
) -> None:
    class Bad(Old, version=2):
        migrate = staticmethod(how)

    await walk(chain(Old), store, 1)
    before = await store.read("r")
    with pytest.raises(GraphChangedError, match=r'run "r": Bad.migrate from version 1 failed: ') as caught:
        await walk(chain(Bad, fn=count_i), store)
    assert message in str(caught.value)
    assert await store.read("r") == before


async def test_a_version_without_a_way_to_it_is_a_change(store: MemoryCheckpointer) -> None:
    class Raised(Old, version=2):
        pass

    await walk(chain(Old), store, 1)
    with pytest.raises(GraphChangedError) as caught:
        await walk(chain(Raised, fn=count_i), store)
    assert [(change.node, change.what) for change in caught.value.changes] == [("Raised", "state")]
    assert (await walk(chain(Raised, fn=count_i), store, on_change="continue")).i == 4


async def test_an_older_program_does_not_migrate_back(store: MemoryCheckpointer) -> None:
    class Older(Newest, version=2):
        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            raise AssertionError("never")

    await walk(chain(Newest), store, 1)
    with pytest.raises(GraphChangedError) as caught:
        await walk(chain(Older, fn=count_cents), store)
    assert [(change.node, change.what) for change in caught.value.changes] == [("Older", "state")]


async def test_what_was_saved_is_not_touched_by_a_migration_that_changes_its_argument(
    store: MemoryCheckpointer,
) -> None:
    class Log(State):
        log: Annotated[list[str], append] = []

    class Log2(Log, version=2):
        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            data["log"].append("migrated")
            return data

    @node(writes="log")
    async def tell(ctx: Context) -> list[str]:
        return [ctx.node]

    await walk(chain(Log, "ab", tell), store, 1)
    app, runtime = chain(Log2, "ab", tell), Runtime(checkpointer=store)
    for _ in range(2):
        assert (await app.state("r", runtime=runtime)).log == ["a", "migrated"]
    assert (await walk(app, store)).log == ["a", "migrated", "b"]


async def test_a_failure_between_is_kept(store: MemoryCheckpointer) -> None:
    trouble = [ValueError("once")]

    class Log(State):
        log: Annotated[list[str], append] = []

    class Log2(Log, version=2):
        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            return {"log": [f"old {word}" for word in data["log"]]}

    @node(writes="log")
    async def tell(ctx: Context) -> list[str]:
        if ctx.node == "c" and trouble:
            raise trouble.pop()
        return [ctx.node]

    old, new = chain(Log, "abcd", tell), chain(Log2, "abcd", tell)
    assert old.fingerprint != new.fingerprint
    await walk(old, store, 1)
    with pytest.raises(NodeError):
        await walk(new, store)
    assert (await walk(new, store)).log == ["old a", "b", "c", "d"]


async def test_a_run_under_a_newer_version_is_refused_by_an_older_graph(store: MemoryCheckpointer) -> None:
    def loop(state: type[State], field: str, *, fails_at: int = 0) -> CompiledGraph[Any]:
        @node(writes=field)
        async def count(ctx: Context) -> int:
            if ctx.visit == fails_at:
                raise ValueError("stop")
            return ctx.visit

        graph = Graph("g", state)
        graph.node("count", count)
        graph.edge(START, "count")
        graph.switch("count", {f"{field} < 9": "count"}, otherwise=END)
        return graph.compile()

    runtime = Runtime(checkpointer=store)
    with pytest.raises(NodeError):
        await loop(Old, "i", fails_at=2).run(run_id="r", runtime=runtime)
    with pytest.raises(NodeError):
        await loop(New, "n", fails_at=3).resume("r", on_change="continue", runtime=runtime)
    older = loop(Old, "i")
    said = r'run "r" is under version 2 of its state, but Old of graph "g" is of version 1; run it with the newer graph'
    for look in (older.state, older.history, older.fork, partial(older.resume, on_change="continue")):
        with pytest.raises(GraphChangedError, match=said):
            await look("r", runtime=runtime)
    assert (await loop(New, "n").resume("r", on_change="continue", runtime=runtime)).status == "completed"


async def test_a_replay_after_a_field_was_renamed_is_the_same(store: MemoryCheckpointer) -> None:
    runtime = Runtime(checkpointer=store)

    def stepped(state: type[State], field: str) -> CompiledGraph[Any]:
        @node(writes=field)
        async def step(ctx: Context) -> int:
            return ctx.visit

        graph = Graph("g", state)
        graph.node("step", step)
        graph.edge(START, "step")
        graph.switch("step", {f"{field} < 5": "step"}, otherwise=END)
        return graph.compile()

    class Renamed(State, version=2):
        n: int = 0

        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            return {"n": data["i"]}

    await stepped(Old, "i").run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=2)))
    newer = stepped(Renamed, "n")
    assert (await newer.resume("r", on_change="continue", runtime=runtime)).steps == 5
    assert (await newer.replay("r", runtime=runtime)).differences == ()
