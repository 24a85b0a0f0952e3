"""Tests of going on under a graph that has changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from loom import (
    END,
    START,
    CheckpointError,
    ConfigError,
    Context,
    Graph,
    GraphChangedError,
    Limits,
    MemoryCheckpointer,
    Node,
    NodeError,
    Retry,
    Runtime,
    SqliteCheckpointer,
    State,
    add,
    append,
    node,
)
from loom.core.node import AnyNode
from loom.errors import Change
from loom.runs.app import CompiledGraph

pytestmark = pytest.mark.anyio

# Any, in this module: graphs of any state.


class Count(State):
    i: int = 0


@node(writes="i")
async def one(i: int) -> int:
    return i + 1


@node(writes="i")
async def two(i: int) -> int:
    return i + 2


def chain(names: Sequence[str], fn: AnyNode = one) -> CompiledGraph[Count]:
    graph = Graph("g", Count)
    for name in names:
        graph.node(name, fn)
    graph.edge(START, *names, END)
    return graph.compile()


async def begun(app: CompiledGraph[Any] | None = None, steps: int = 1) -> Runtime:
    """Begin a run, of two nodes unless told otherwise, and stop it after some steps."""
    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store, limits=Limits(max_steps=steps))
    result = await (app or chain(["x", "y"])).run(run_id="r", runtime=runtime)
    assert (result.status, result.steps) == ("stopped", steps)
    return Runtime(checkpointer=store)


async def changes(app: CompiledGraph[Any], runtime: Runtime, **settings: Any) -> list[tuple[str, str]]:
    """Return what a resume complains of."""
    with pytest.raises(GraphChangedError) as caught:
        await app.resume("r", runtime=runtime, **settings)
    return [(change.node, change.what) for change in caught.value.changes]


# What is a change


async def test_a_changed_body_is_told_and_can_be_gone_on_with() -> None:
    runtime, changed = await begun(), chain(["x", "y"], two)
    assert await changes(changed, runtime) == [("x", "body"), ("y", "body")]
    assert (await changed.resume("r", on_change="continue", runtime=runtime)).state.i == 3


async def test_the_message_says_what_to_do() -> None:
    runtime = await begun()
    with pytest.raises(GraphChangedError) as caught:
        await chain(["x", "y"], two).resume("r", runtime=runtime)
    assert str(caught.value) == (
        'run "r" was begun with another form of graph "g" ("x": body; "y": body). Run it with the graph it was begun '
        'with, or go on with resume(on_change="continue"), rename={"old": "new"} for nodes'
    )
    assert caught.value.changes == (Change("x", "body"), Change("y", "body"))


async def test_what_is_refused_changes_nothing() -> None:
    runtime = await begun()
    assert isinstance(runtime.checkpointer, MemoryCheckpointer)
    before = await runtime.checkpointer.read("r")
    await changes(chain(["x", "y"], two), runtime)
    await changes(chain(["x", "w"], two), runtime, on_change="continue")
    assert await runtime.checkpointer.read("r") == before


async def test_what_was_only_declared_in_another_order_or_with_other_policies_is_no_change() -> None:
    graph = Graph("g", Count)
    graph.node("y", one, retry=Retry(max_attempts=5))
    graph.node("x", one, timeout_s=10)
    graph.edge(START, "x", "y", END)
    assert (await graph.compile().resume("r", runtime=await begun())).state.i == 2


class In(BaseModel):
    i: int


class Out(BaseModel):
    i: int


class Adds(Node[In, Out]):
    by: int

    async def run(self, inputs: In, ctx: Context) -> Out:
        return Out(i=inputs.i + self.by)


class Fields(State):
    i: int = 0
    j: int = 0


def drawn(
    by: int = 1, reads: str = "i", limit: int = 5, state: type[State] = Fields, names: str = "xy", **extra: AnyNode
) -> CompiledGraph[Any]:
    graph = Graph("g", state)
    first, second = list(names)
    graph.node(first, Adds(by=by), reads={"i": reads})
    graph.node(second, one)
    graph.edge(START, first)
    graph.switch(first, {f"i >= {limit}": END}, otherwise=second)
    last = second
    for name, added in extra.items():
        graph.node(name, added)
        graph.edge(last, name)
        last = name
    graph.edge(last, END)
    return graph.compile()


class OtherType(State):
    i: int = 0
    j: float = 0


class OtherDefault(State):
    i: int = 0
    j: int = 1


class OtherReducer(State):
    i: int = 0
    j: Annotated[int, add] = 0


class NewField(Fields):
    k: int = 0


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"by": 2}, [("x", "config")]),
        ({"reads": "j"}, [("x", "ports")]),
        ({"limit": 6}, [("x", "edges")]),
        ({"z": one}, [("y", "edges"), ("z", "added")]),
        ({"state": OtherType}, [("j", "state")]),
        ({"state": OtherDefault}, [("j", "state")]),
        ({"state": OtherReducer}, [("j", "state")]),
        ({"state": NewField}, [("k", "state")]),
        ({"by": 2, "limit": 6}, [("x", "config"), ("x", "edges")]),
        ({"names": "xz"}, [("y -> z", "renamed")]),
    ],
)
async def test_each_kind_of_change_is_told(changed: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    runtime = await begun(drawn())
    assert await changes(drawn(**changed), runtime) == expected


async def test_a_removed_node_is_told() -> None:
    runtime = await begun(drawn(z=two))
    assert await changes(drawn(), runtime) == [("y", "edges"), ("z", "removed")]


async def test_a_changed_inner_graph_is_a_changed_body() -> None:
    def outer(fn: AnyNode) -> CompiledGraph[Count]:
        graph = Graph("g", Count)
        graph.node("x", one)
        graph.node("in", chain(["a", "b"], fn).as_node(reads={"i": "i"}, writes={"i": "i"}))
        graph.edge(START, "x", "in", END)
        return graph.compile()

    runtime = await begun(outer(one), steps=2)
    assert await changes(outer(two), runtime) == [("in", "body")]
    result = await outer(two).resume("r", on_change="continue", runtime=runtime)
    assert (result.state.i, result.steps) == (4, 4)


async def test_a_run_of_another_graph_is_refused() -> None:
    runtime = await begun()
    graph = Graph("other", Count)
    graph.node("x", one)
    graph.edge(START, "x", END)
    with pytest.raises(GraphChangedError, match='belongs to graph "g", not to "other"'):
        await graph.compile().resume("r", on_change="continue", runtime=runtime)


async def test_a_setting_that_is_unknown_is_refused() -> None:
    wrong: Any = "ignore"
    with pytest.raises(ConfigError, match=r'must be "raise" or "continue"; got \'ignore\''):
        await chain(["x", "y"]).resume("r", on_change=wrong, runtime=await begun())


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{", "has a header that cannot be read"),
        (b"[]", "has a header that cannot be read"),
        (b'{"format":1,"graph":"g","nodes":{}}', "has a header that cannot be read: 'state'"),
        (b'{"format":99,"graph":"g","nodes":{},"state":{}}', "format 99"),
    ],
)
async def test_a_header_that_cannot_be_read_is_damage(header: bytes, message: str) -> None:
    store = MemoryCheckpointer()
    await store.release(await store.create("r", "g", header, []))
    app, runtime = chain(["x", "y"]), Runtime(checkpointer=store)
    for asked in (app.resume("r", runtime=runtime), app.replay("r", runtime=runtime)):
        with pytest.raises(CheckpointError, match=message):
            await asked


async def test_damage_stays_damage_under_a_changed_graph() -> None:
    runtime = await begun()
    assert runtime.checkpointer
    journal = await runtime.checkpointer.read("r")
    for broken in (b"{", b'{"kind":"unknown"}'):
        store = MemoryCheckpointer()
        await store.release(await store.create("r", "g", journal.header, [*journal.records, broken]))
        with pytest.raises(CheckpointError):
            await chain(["x", "y"], two).resume("r", on_change="continue", runtime=Runtime(checkpointer=store))


# Going on


async def test_nodes_that_are_passed_may_be_gone_and_new_ones_are_run() -> None:
    runtime = await begun(chain("xyz"), steps=2)
    result = await chain("wzv").resume("r", on_change="continue", runtime=runtime)
    assert (result.state.i, result.steps) == (4, 4)


async def test_a_node_that_is_due_must_exist() -> None:
    runtime = await begun()
    expected = [("y", "removed")]
    assert await changes(chain("xw", two), runtime, on_change="continue") == expected
    with pytest.raises(GraphChangedError, match='it knew the node "y", which is due'):
        await chain("xw", two).resume("r", on_change="continue", runtime=runtime)


class Log(State):
    log: Annotated[list[str], append] = []


@node(writes="log")
async def tell(ctx: Context) -> list[str]:
    return [ctx.node]


def fan(names: Sequence[str], join: str = "j") -> CompiledGraph[Log]:
    graph = Graph("fan", Log)
    for name in ("a", *names, join):
        graph.node(name, tell)
    graph.edge(START, "a", [*names], join, END)
    return graph.compile()


async def test_a_join_that_is_waited_at_must_exist() -> None:
    runtime = await begun(fan("bc"), steps=2)
    graph = Graph("fan", Log)
    for name in "abc":
        graph.node(name, tell)
    for name in "kl":  # two that are like the old join, so that it is not taken for a rename
        graph.node(name, tell)
    graph.edge(START, "a", ["b", "c"], "k", "l", END)
    assert await changes(graph.compile(), runtime, on_change="continue") == [("j", "removed")]


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_an_open_fan_out_that_was_drawn_otherwise_goes_on_with_the_branches_it_has(steps: int) -> None:
    runtime = await begun(fan("bc"), steps=steps)
    result = await fan("bcd").resume("r", on_change="continue", runtime=runtime)
    assert result.state.log == ["a", "b", "c", "j"]


async def test_an_open_fan_out_that_cannot_be_walked_any_more_is_refused() -> None:
    graph = Graph("fan", Log)
    for name in "abcj":
        graph.node(name, tell)
    graph.edge(START, *"abcj", END)
    runtime = await begun(fan("bc"))
    assert await changes(graph.compile(), runtime, on_change="continue") == [("a", "edges")]
    runtime = await begun(fan("bc"), steps=2)
    assert await changes(graph.compile(), runtime, on_change="continue") == [("a", "edges")]


async def test_a_fan_out_that_is_over_may_be_another() -> None:
    def longer(names: Sequence[str]) -> CompiledGraph[Log]:
        graph = Graph("fan", Log)
        for name in (*names, "a", "j", "z"):
            graph.node(name, tell)
        graph.edge(START, "a", [*names], "j", "z", END)
        return graph.compile()

    for names in ("bcd", "dc"):
        runtime = await begun(longer("bc"), steps=4)
        result = await longer(names).resume("r", on_change="continue", runtime=runtime)
        assert result.state.log == ["a", "b", "c", "j", "z"]


async def test_a_journal_that_a_graph_cannot_follow_is_a_change() -> None:
    def longer(*, joins: bool) -> CompiledGraph[Log]:
        graph = Graph("fan", Log)
        for name in "abcjz":
            graph.node(name, tell)
        graph.edge(START, "a", ["b", "c"], "j", "z", END) if joins else graph.edge(START, *"abcjz", END)
        return graph.compile()

    runtime = await begun(longer(joins=True), steps=4)
    with pytest.raises(GraphChangedError, match='holds step 4 of node "j" where'):
        await longer(joins=False).resume("r", on_change="continue", runtime=runtime)


async def test_a_node_that_is_due_in_an_inner_graph_must_exist() -> None:
    def outer(names: Sequence[str]) -> CompiledGraph[Count]:
        graph = Graph("g", Count)
        graph.node("in", chain(names).as_node(reads={"i": "i"}, writes={"i": "i"}))
        graph.edge(START, "in", END)
        return graph.compile()

    runtime = await begun(outer("ab"))
    assert await changes(outer("ac"), runtime, on_change="continue") == [("b", "removed")]
    result = await outer("ac").resume("r", on_change="continue", rename={"in/b": "in/c"}, runtime=runtime)
    assert (result.status, result.state.i) == ("completed", 2)


async def test_a_field_that_is_gone_is_left_out_and_one_that_holds_what_does_not_fit_is_a_change() -> None:
    class Words(State):
        i: list[str] = []
        j: int = 0

    @node(writes="i")
    async def word(i: list[str]) -> list[str]:
        return [*i, "w"]

    def other(state: type[State], fn: AnyNode) -> CompiledGraph[Any]:
        graph = Graph("g", state)
        for name in "xy":
            graph.node(name, fn)
        graph.edge(START, "x", "y", END)
        return graph.compile()

    runtime = await begun(other(Fields, one))
    assert await changes(other(Words, word), runtime, on_change="continue") == [("i", "state")]
    assert await changes(other(Count, one), runtime) == [("j", "state")]


async def test_of_several_fields_the_one_that_does_not_fit_is_named_with_what_it_holds() -> None:
    class Words(State):
        i: list[str] = []
        j: int = 0

    @node(writes="i")
    async def word(i: list[str]) -> list[str]:
        return [*i, "w"]

    def other(state: type[State], fn: AnyNode) -> CompiledGraph[Any]:
        graph = Graph("g", state)
        graph.node("x", fn)
        graph.node("y", fn)
        graph.edge(START, "x", "y", END)
        return graph.compile()

    runtime = await begun(other(Fields, one))
    with pytest.raises(GraphChangedError) as caught:
        await other(Words, word).resume("r", on_change="continue", runtime=runtime)
    assert str(caught.value) == 'run "r" holds a write of "i" that does not fit: Input should be a valid list; got 0'
    assert caught.value.changes == (Change("i", "state"),)
    result = await other(Count, one).resume("r", on_change="continue", runtime=runtime)
    assert (result.status, vars(result.state)) == ("completed", {"i": 2})


# New fields


class Grown(State):
    log: Annotated[list[str], append] = []
    more: Annotated[list[str], append] = ["given"]


@node(writes="more")
async def see(log: list[str], more: list[str], ctx: Context) -> list[str]:
    return [f"{ctx.node} saw {len(log)} and {len(more)}"]


def grown(shape: str) -> CompiledGraph[Any]:
    graph = Graph("fan", Grown)
    for name in ("a", *shape):
        graph.node(name, tell)
    graph.node("j", see)
    graph.edge(START, "a", [*shape], "j", END)
    return graph.compile()


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_a_new_field_has_its_default_on_every_branch_and_after_the_join(steps: int) -> None:
    runtime = await begun(fan("bc"), steps=steps)
    result = await grown("bc").resume("r", on_change="continue", runtime=runtime)
    assert result.state.more == ["given", "j saw 3 and 1"]


async def test_a_new_field_keeps_its_default_over_a_second_resume() -> None:
    trouble = [ValueError("once")]

    @node(writes="more")
    async def fails(log: list[str]) -> list[str]:
        if trouble:
            raise trouble.pop()
        return ["fixed"]

    graph = Graph("fan", Grown)
    for name, fn in (("a", tell), ("b", see), ("c", fails)):
        graph.node(name, fn)
    graph.edge(START, "a", "b", "c", END)
    app = graph.compile()
    old = Graph("fan", Log)
    for name in "abc":
        old.node(name, tell)
    old.edge(START, "a", "b", "c", END)
    runtime = await begun(old.compile())
    with pytest.raises(NodeError):
        await app.resume("r", on_change="continue", runtime=runtime)
    result = await app.resume("r", on_change="continue", runtime=runtime)
    assert result.state.more == ["given", "b saw 1 and 1", "fixed"]
    assert (await app.state("r", at=1, runtime=runtime)).more == ["given"]


async def test_a_new_field_is_there_after_a_snapshot_too(tmp_path: Path) -> None:
    class Big(State):
        log: Annotated[list[str], append] = []

    class Bigger(Big):
        more: Annotated[list[str], append] = ["given"]

    @node(writes="log")
    async def much(log: list[str]) -> list[str]:
        return ["x" * 5000]

    def line(state: type[State], last: AnyNode) -> CompiledGraph[Any]:
        graph = Graph("big", state)
        for name in "abcd":
            graph.node(name, much)
        graph.node("z", last)
        graph.edge(START, *"abcd", "z", END)
        return graph.compile()

    store = SqliteCheckpointer(tmp_path / "loom.db")
    await line(Big, much).run(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=4)))
    assert (await store.read("r", from_snapshot=True)).snapshot
    result = await line(Bigger, see).resume("r", on_change="continue", runtime=Runtime(checkpointer=store))
    assert result.state.more == ["given", "z saw 4 and 1"]
    await store.close()


# Renames


async def test_a_rename_is_enough_for_a_node_that_was_only_renamed() -> None:
    for names in ("xz", "zy"):
        runtime, changed = await begun(), chain(names)
        (change,) = await changes(changed, runtime)
        old, _, new = change[0].partition(" -> ")
        assert (old, new, change[1]) in {("y", "z", "renamed"), ("x", "z", "renamed")}
        assert (await changed.resume("r", rename={old: new}, runtime=runtime)).state.i == 2


async def test_a_renamed_node_may_be_a_branch_or_the_join_or_what_opened_the_fan_out() -> None:
    for old, new, app in (("b", "q", fan("qc")), ("j", "q", fan("bc", "q"))):
        for steps in range(1, 4):
            runtime = await begun(fan("bc"), steps=steps)
            result = await app.resume("r", rename={old: new}, runtime=runtime)
            assert [word if word != new else old for word in result.state.log] == ["a", "b", "c", "j"]


async def test_two_nodes_that_were_alike_need_a_rename_by_name() -> None:
    runtime, changed = await begun(chain("xyz")), chain("xvw")
    assert ("y", "removed") in await changes(changed, runtime)
    assert await changes(changed, runtime, rename={"y": "v"}) == [("z -> w", "renamed")]
    assert (await changed.resume("r", rename={"y": "v", "z": "w"}, runtime=runtime)).state.i == 3


async def test_names_may_change_places() -> None:
    def line(first: str, second: str) -> CompiledGraph[Count]:
        graph = Graph("g", Count)
        graph.node(first, one)
        graph.node(second, two)
        graph.edge(START, first, second, END)
        return graph.compile()

    runtime = await begun(line("x", "y"))
    assert ("x", "body") in await changes(line("y", "x"), runtime)
    assert (await line("y", "x").resume("r", rename={"x": "y", "y": "x"}, runtime=runtime)).state.i == 3


async def test_a_rename_hides_no_other_change() -> None:
    runtime = await begun(drawn())
    assert await changes(drawn(names="xz", limit=9), runtime, rename={"y": "z"}) == [("x", "edges")]
    assert await changes(drawn(names="xz", by=2), runtime, rename={"y": "z"}) == [("x", "config")]
    changed = drawn(names="xz", state=OtherDefault)
    assert await changes(changed, runtime, rename={"y": "z"}) == [("j", "state")]


async def test_a_renamed_node_that_is_also_another_is_told_with_what() -> None:
    def line(last: str, fn: AnyNode) -> CompiledGraph[Count]:
        graph = Graph("g", Count)
        graph.node("x", one)
        graph.node(last, fn)
        graph.edge(START, "x", last, END)
        return graph.compile()

    runtime = await begun(line("y", one))
    assert await changes(line("z", two), runtime, rename={"y": "z"}) == [("z", "body")]
    result = await line("z", two).resume("r", rename={"y": "z"}, on_change="continue", runtime=runtime)
    assert result.state.i == 3


async def renamed(steps: int | None = None) -> tuple[CompiledGraph[Count], Runtime]:
    """Begin a run of x, y, z, and go on with it in a graph that calls y v."""
    runtime, app = await begun(chain("xyz")), chain("xvz")
    limited = Runtime(checkpointer=runtime.checkpointer, limits=Limits(max_steps=steps))
    await app.resume("r", rename={"y": "v"}, runtime=limited)
    return app, runtime


async def test_a_run_that_went_on_under_new_names_can_be_looked_at_under_these() -> None:
    app, runtime = await renamed()
    assert (await app.state("r", runtime=runtime)).i == 3
    assert (await app.state("r", at=1, runtime=runtime)).i == 1
    points = await app.history("r", runtime=runtime)
    assert [(point.node, point.next) for point in points] == [
        (START, ("x",)), ("x", ("v",)), ("v", ("z",)), ("z", ()),
    ]  # fmt: skip
    told = [event async for event in app.events("r", runtime=runtime)]
    assert [event.payload["node"] for event in told if event.type == "step.finished"] == ["x", "v", "z"]
    assert (await app.replay("r", runtime=runtime)).same


async def test_a_run_that_went_on_under_new_names_goes_on_again_without_saying_them() -> None:
    app, runtime = await renamed(steps=2)
    assert (await app.resume("r", runtime=runtime)).state.i == 3
    assert (await app.resume("r", runtime=runtime)).status == "completed"


async def test_nodes_may_be_renamed_again() -> None:
    _, runtime = await renamed(steps=2)
    last = chain("xwz")
    assert await changes(last, runtime) == [("y -> w", "renamed")]
    assert (await last.resume("r", rename={"v": "w"}, runtime=runtime)).state.i == 3
    assert [point.node for point in await last.history("r", runtime=runtime)] == [START, "x", "v", "z"]


async def test_a_fork_of_a_run_under_new_names_has_these_too() -> None:
    app, runtime = await renamed()
    for at in (0, 1, 2, 3):
        forked = await app.fork("r", at=at, set={"i": 10}, runtime=runtime)
        assert (await app.resume(forked, runtime=runtime)).state.i == 13 - at


async def test_a_run_that_went_on_although_a_body_changed_goes_on_again_with_it() -> None:
    runtime, app = await begun(chain("xyz")), chain("xyz", two)
    limited = Runtime(checkpointer=runtime.checkpointer, limits=Limits(max_steps=2))
    await app.resume("r", on_change="continue", runtime=limited)
    assert (await app.resume("r", runtime=runtime)).state.i == 5


async def test_new_names_outlast_a_snapshot(tmp_path: Path) -> None:
    class Much(State):
        i: int = 0
        blob: str = ""

    @node(writes="blob")
    async def fill(i: int) -> str:
        return "x" * 9000

    def line(names: str) -> CompiledGraph[Much]:
        graph = Graph("much", Much)
        for name in names:
            graph.node(name, fill)
        graph.edge(START, *names, END)
        return graph.compile()

    store = SqliteCheckpointer(tmp_path / "loom.db")

    def limited(steps: int) -> Runtime:
        return Runtime(checkpointer=store, limits=Limits(max_steps=steps))

    await line("abcdef").run(run_id="r", runtime=limited(1))
    app = line("avcdef")
    await app.resume("r", rename={"b": "v"}, runtime=limited(5))
    assert (await store.read("r", from_snapshot=True)).snapshot
    assert (await app.resume("r", runtime=limited(9))).status == "completed"
    await store.close()


async def test_names_that_are_nowhere_are_refused() -> None:
    runtime = await begun()
    with pytest.raises(ConfigError, match=r'"yy" is no node of the run\. Did you mean "y"\?'):
        await chain("xz").resume("r", rename={"yy": "z"}, runtime=runtime)
    with pytest.raises(ConfigError, match=r'"zz" is no node of the graph\. Did you mean "z"\?'):
        await chain("xz").resume("r", rename={"y": "zz"}, runtime=runtime)


@pytest.mark.parametrize("rename", [5, 0, "yz", "", [("y", "z")], [], {"y": 5}, {"y": ["z"]}, {5: "z"}, {"y": None}])
async def test_a_rename_that_maps_no_names_is_refused_whether_the_graph_has_changed_or_not(rename: Any) -> None:
    for app in (chain("xz"), chain("xy")):
        with pytest.raises(ConfigError, match=r"resume\(rename=…\) must map old names of nodes to new ones; got "):
            await app.resume("r", rename=rename, runtime=await begun())


async def test_where_the_graph_has_not_changed_a_rename_is_refused() -> None:
    for rename, said in (
        ({"yy": "y"}, '"yy" is no node of the run. Did you mean "y"?'),
        ({"y": "yy"}, '"yy" is no node of the graph. Did you mean "y"?'),
        ({"z": "z"}, '"z" is no node of the run.'),
        ({"START": "x"}, '"START" is no node of the run.'),
        ({"x": "y", "y": "x"}, 'run "r" was begun with this very form of graph "g", or last went on under it, so no'),
    ):
        runtime = await begun()
        with pytest.raises(ConfigError) as caught:
            await chain("xy").resume("r", rename=rename, runtime=runtime)
        assert said in str(caught.value)
        assert (await chain("xy").resume("r", rename={"x": "x"}, runtime=runtime)).status == "completed"


async def test_a_rename_may_be_said_again_and_again() -> None:
    app, runtime = await renamed(steps=2)
    for rename in ({"y": "v"}, {"y": "v", "x": "x"}):
        limited = Runtime(checkpointer=runtime.checkpointer, limits=Limits(max_steps=2))
        assert (await app.resume("r", rename=rename, runtime=limited)).steps == 2
    with pytest.raises(ConfigError, match="last went on under it, so no node has another name; leave it out"):
        await app.resume("r", rename={"x": "z"}, runtime=runtime)
    assert (await app.resume("r", rename={"y": "v"}, runtime=runtime)).state.i == 3
    assert (await app.resume("r", rename={"y": "v"}, runtime=runtime)).status == "completed"


async def test_a_rename_may_be_said_again_of_a_node_that_has_yet_another_name() -> None:
    _, runtime = await renamed(steps=2)
    last = chain("xwz")
    limited = Runtime(checkpointer=runtime.checkpointer, limits=Limits(max_steps=2))
    await last.resume("r", rename={"v": "w"}, runtime=limited)
    for rename in ({"v": "w"}, {"y": "w"}, {"y": "v", "v": "w"}, {"y": "v"}):
        assert (await last.resume("r", rename=rename, runtime=limited)).steps == 2
    assert (await last.resume("r", rename={"y": "v"}, runtime=runtime)).state.i == 3


async def test_a_node_may_get_its_third_name_by_its_first() -> None:
    _, runtime = await renamed(steps=2)
    assert (await chain("xwz").resume("r", rename={"y": "w"}, runtime=runtime)).state.i == 3
    assert [point.node for point in await chain("xwz").history("r", runtime=runtime)] == [START, "x", "v", "z"]


async def test_a_node_may_get_its_old_name_back() -> None:
    _, runtime = await renamed(steps=2)
    limited = Runtime(checkpointer=runtime.checkpointer, limits=Limits(max_steps=2))
    for _ in range(2):
        assert (await chain("xyz").resume("r", rename={"v": "y"}, runtime=limited)).steps == 2
    assert (await chain("xyz").resume("r", rename={"v": "y"}, runtime=runtime)).state.i == 3


def nested(names: Sequence[str], fn: AnyNode = one) -> CompiledGraph[Count]:
    graph = Graph("g", Count)
    graph.node("in", chain(names, fn).as_node(reads={"i": "i"}, writes={"i": "i"}))
    graph.node("z", one)
    graph.edge(START, "in", "z", END)
    return graph.compile()


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        ({"out/b": "in/c"}, '"out/b" is no node of the run.'),
        ({"in/b": "in/d"}, '"in/d" is no node of the graph.'),
        ({"in/b": "z/c"}, '"z/c" is no node of the graph.'),
        ({"in/b": "in/"}, '"in/" is no node of the graph.'),
    ],
)
async def test_a_path_that_leads_nowhere_is_refused(rename: dict[str, str], said: str) -> None:
    runtime = await begun(nested("ab"))
    with pytest.raises(ConfigError) as caught:
        await nested("ac").resume("r", rename=rename, on_change="continue", runtime=runtime)
    assert said in str(caught.value)


async def test_a_rename_does_not_reach_into_inner_graphs() -> None:
    def outer(name: str) -> CompiledGraph[Count]:
        graph = Graph("g", Count)
        graph.node(name, one)
        graph.node("in", chain("xy").as_node(reads={"i": "i"}, writes={"i": "i"}))
        graph.edge(START, name, "in", END)
        return graph.compile()

    runtime = await begun(outer("x"), steps=2)
    assert (await outer("z").resume("r", rename={"x": "z"}, runtime=runtime)).state.i == 3


async def test_an_inner_graph_may_be_renamed_and_nodes_in_it_too() -> None:
    def outer(name: str, names: Sequence[str]) -> CompiledGraph[Count]:
        graph = Graph("g", Count)
        graph.node(name, chain(names).as_node(reads={"i": "i"}, writes={"i": "i"}))
        graph.edge(START, name, END)
        return graph.compile()

    runtime = await begun(outer("in", "ab"))
    assert await changes(outer("inner", "ab"), runtime) == [("in -> inner", "renamed")]
    assert await changes(outer("inner", "ac"), runtime, rename={"in": "inner"}) == [("inner", "body")]
    rename = {"in": "inner", "in/b": "inner/c"}
    result = await outer("inner", "ac").resume("r", rename=rename, on_change="continue", runtime=runtime)
    assert (result.state.i, result.steps) == (2, 3)


async def test_an_effect_of_a_renamed_node_keeps_its_idempotency_key() -> None:
    class Seen(State):
        seen: Annotated[list[str], append] = []

    keys: list[str] = []
    errors: list[Exception] = [OSError("no line")]

    async def charge(key: str) -> str:
        keys.append(key)
        if errors:
            raise errors.pop()
        return key

    @node(writes="seen", effect="write")
    async def pay(ctx: Context) -> list[str]:
        return [await ctx.once("pay", charge, ctx.idempotency_key("pay"))]

    def paying(name: str) -> CompiledGraph[Seen]:
        graph = Graph("paying", Seen)
        graph.node(name, pay, ungated="a test")
        graph.edge(START, name, END)
        return graph.compile()

    # What `charge` closes over counts by its value as it is when the graph is first run or asked for its fingerprint.
    app, renamed = paying("pay"), paying("charge")
    assert app.fingerprint != renamed.fingerprint
    store = MemoryCheckpointer()
    with pytest.raises(NodeError):
        await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    await renamed.resume("r", rename={"pay": "charge"}, runtime=Runtime(checkpointer=store))
    assert len(keys) == 2
    assert keys[0] == keys[1]


# What is no change.


def at_once(most: int) -> CompiledGraph[Any]:
    class Items(State):
        items: list[int] = [0, 1, 2, 3]
        log: Annotated[list[str], append] = []

    @node(writes="log", effect="write")
    async def work(item: int, ctx: Context) -> list[str]:
        async def effect() -> None:
            ctx.resources["ran"].append(item)

        await ctx.once("effect", effect)
        return [f"{item} {await ctx.ask('Well?', answer_type=bool) if item != 1 else ''}"]

    graph = Graph("each", Items)
    graph.node("work", work, ungated="a test")
    graph.each(START, "work", over="items", bind="item", max_concurrency=most)
    graph.edge("work", END)
    return graph.compile()


@pytest.mark.parametrize("now", [1, 2, 8])
async def test_fewer_or_more_items_at_once_read_what_was_saved_and_go_on_with_it(now: int) -> None:
    ran: list[int] = []
    runtime = Runtime(checkpointer=MemoryCheckpointer(), resources={"ran": ran})
    paused = await at_once(4).run(run_id="r", runtime=runtime)
    app = at_once(now)
    assert [point.branch for point in await app.history("r", runtime=runtime)] == ["", "1"]
    assert (await app.replay("r", runtime=runtime)).same
    result = await app.resume("r", answers={ask.id: True for ask in paused.asks}, runtime=runtime)
    assert result.state.log == ["0 True", "1 ", "2 True", "3 True"]
    assert sorted(ran) == [0, 1, 2, 3]
    assert await app.state("r", runtime=runtime) == result.state


async def test_a_new_field_of_an_inner_state_has_its_default() -> None:
    class Inner(State):
        i: int = 0
        extra: int = 7

    @node(writes="i")
    async def more(i: int, extra: int) -> int:
        return i + extra

    def outer(inner: CompiledGraph[Any]) -> CompiledGraph[Count]:
        graph = Graph("g", Count)
        graph.node("in", inner.as_node(reads={"i": "i"}, writes={"i": "i"}))
        graph.edge(START, "in", END)
        return graph.compile()

    grown = Graph("chain", Inner)
    grown.node("a", one)
    grown.node("b", more)
    grown.edge(START, "a", "b", END)
    runtime = await begun(outer(chain("ab")))
    result = await outer(grown.compile()).resume("r", on_change="continue", runtime=runtime)
    assert result.state.i == 8
