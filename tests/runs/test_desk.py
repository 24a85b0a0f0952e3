import asyncio
import contextlib
import datetime
import threading
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from annotated_types import Predicate
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from loom import (
    END,
    START,
    AnswerError,
    Context,
    Graph,
    Limits,
    LoomError,
    MemoryCheckpointer,
    NodeError,
    Result,
    Retry,
    Runtime,
    SqliteCheckpointer,
    State,
    append,
    node,
)
from loom.core.node import AnyNode
from loom.runs.app import CompiledGraph
from tests.runs.doubt import cut
from tests.runs.effects import Body, Even, Seen, World, acting, node_of
from tests.runs.failures import Trouble

pytestmark = pytest.mark.anyio

# Any, in this module: what effects give and asks are answered.


# Asks


class Choice(BaseModel):
    ship: bool
    note: str = ""


async def test_an_answer_has_the_type_that_was_asked_for() -> None:
    async def body(ctx: Context) -> Any:
        choice = await ctx.ask("Ship it?", answer_type=Choice, key="ship")
        return [type(choice).__name__, choice.ship]

    app = acting(body)
    (ask,) = (await app.run(run_id="r")).asks
    assert (ask.question, ask.key, ask.kind, ask.node, ask.branch) == ("Ship it?", "ship", "ask", "n0", "")
    assert ask.answer_type["properties"]["ship"] == {"title": "Ship", "type": "boolean"}
    assert (await app.resume("r", answers={ask.id: {"ship": True}})).state.seen == [["Choice", True]]


async def test_an_ask_of_its_own_kind_shows_what_is_asked_about() -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.ask(
            "May I?", answer_type=bool, kind="approve", payload={"tool": "rm", "at": Choice(ship=True)}
        )

    (ask,) = (await acting(body).run()).asks
    assert (ask.kind, ask.payload) == ("approve", {"tool": "rm", "at": {"ship": True, "note": ""}})


async def test_a_payload_that_is_no_json_fails_its_node() -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.ask("May I?", payload={"lock": threading.Lock()})

    with pytest.raises(NodeError, match='the payload of ask "May I\\?" of node "n0" is no JSON'):
        await acting(body).run()


async def test_effects_before_an_ask_are_not_repeated() -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        draft = await ctx.once("draft", world.act)
        return [draft, await ctx.ask("Good?", answer_type=bool), await ctx.once("send", world.act)]

    app = acting(body)
    (ask,) = (await app.run(run_id="r")).asks
    assert world.calls == [None]
    assert (await app.resume("r", answers={ask.id: False})).state.seen == [[1, False, 2]]


async def test_asks_of_one_node_are_open_together_and_answered_one_by_one() -> None:
    async def body(ctx: Context) -> Any:
        found: dict[str, Any] = {}

        async def one(key: str) -> None:
            found[key] = await ctx.ask(f"{key}?", answer_type=int, key=key)

        async with anyio.create_task_group() as group:
            for key in "abc":
                group.start_soon(one, key)
        return found

    app = acting(body)
    paused = await app.run(run_id="r")
    by_key = {ask.key: ask for ask in paused.asks}
    assert sorted(by_key) == ["a", "b", "c"]
    assert (await app.resume("r")).asks == paused.asks
    after_b = await app.resume("r", answers={by_key["b"].id: 2})
    assert after_b.asks == tuple(ask for ask in paused.asks if ask.key != "b")
    result = await app.resume("r", answers={by_key["a"].id: 1, by_key["c"].id: 3})
    assert result.state.seen == [{"a": 1, "b": 2, "c": 3}]


async def test_asks_by_gather_are_answered_one_by_one_too() -> None:
    async def body(ctx: Context) -> Any:
        return list(await asyncio.gather(*(ctx.ask(f"{key}?", key=key) for key in "ab")))

    app = acting(body)
    result = await app.run(run_id="r")
    while result.asks:
        ask = result.asks[0]
        result = await app.resume("r", answers={ask.id: ask.key.upper()})
    assert result.state.seen == [["A", "B"]]


EVEN = Annotated[int, Predicate(lambda number: number % 2 == 0)]
NAME = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=3, to_lower=True)]
LATE = datetime.date(2020, 1, 1)


def raises(_: int) -> int:
    raise KeyError("of a validator")


@pytest.mark.parametrize(
    ("answer_type", "wrong", "finding", "right", "seen"),
    [
        (Even, 3, "wants int, got 3: Value error, 3 is odd", 4, 4),
        (EVEN, 3, "wants int, got 3: Predicate '", 4, 4),
        (list[EVEN], [2, 3], "got [2, 3]: 1: Predicate '", [2], [2]),
        (NAME, "   ", "wants str, got '   ': String should have at least 1 character", "  ADA ", "ada"),
        (Decimal, "x", "wants Decimal, got 'x': Input should be a valid decimal", "1.5", "1.5"),
        (Annotated[datetime.date, Field(ge=LATE)], "2019-01-01", "should be greater than", "2020-01-02", "2020-01-02"),
        (dict[int, str], {"x": "a"}, "x.[key]: Input should be a valid integer", {"1": "a"}, {"1": "a"}),
        (Annotated[float, Field(allow_inf_nan=False)], "NaN", "Input should be a finite number", 0.5, 0.5),
        (Annotated[int, AfterValidator(raises)] | str, 3, "wants int | str, got 3: KeyError: 'of a val", "x", "x"),
    ],
)
async def test_what_only_the_type_itself_refuses_is_asked_again_under_the_same_id(
    answer_type: Any, wrong: Any, finding: str, right: Any, seen: Any
) -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.ask("How many?", answer_type=answer_type, key="many")

    app, runtime = acting(body), Runtime(checkpointer=MemoryCheckpointer())
    paused = await app.run(run_id="r", runtime=runtime)
    (ask,) = paused.asks
    for _ in range(2):
        with pytest.raises(AnswerError) as caught:
            await app.resume("r", answers={ask.id: wrong}, runtime=runtime)
        assert str(caught.value).startswith(f'ask "{ask.id}" ("How many?") of node "n0" wants ')
        assert finding in str(caught.value)
        assert str(caught.value).endswith("; it is open again")
        again = await app.resume("r", runtime=runtime)
        assert (again.status, again.state, again.asks) == ("paused", paused.state, paused.asks)
    assert [event.type async for event in app.events("r", runtime=runtime)][-1] == "run.paused"
    assert (await app.resume("r", answers={ask.id: right}, runtime=runtime)).state.seen == [seen]


async def test_a_handle_raises_that_an_answer_was_refused_and_the_run_waits() -> None:
    async def body(ctx: Context) -> Any:
        with contextlib.suppress(BaseException):
            return await ctx.ask("How many?", answer_type=Even)
        return 0

    app = acting(body)
    (ask,) = (await app.run(run_id="r")).asks
    run = app.start_resume("r", answers={ask.id: 3})
    assert [event.type async for event in run.events(after=None)][-2:] == ["ask.opened", "run.paused"]
    with pytest.raises(AnswerError, match="3 is odd"):
        await run.wait()
    assert (await app.resume("r", answers={ask.id: 4})).state.seen == [4]


async def asks_how_many(ctx: Context) -> Any:
    return await ctx.ask("How many?", answer_type=Even)


async def its_name(ctx: Context) -> Any:
    return ctx.node


def fan_of_asks() -> CompiledGraph[Seen]:
    graph = Graph("fan", Seen)
    for name, body in {**dict.fromkeys("abc", asks_how_many), "d": its_name, "join": its_name}.items():
        graph.node(name, node_of(body), ungated="a test")
    graph.edge(START, ["a", "b", "c"])
    graph.edge("c", "d")
    graph.edge(["a", "b", "d"], "join", END)
    return graph.compile()


async def test_answers_refused_in_several_branches_are_told_together_and_the_others_go_on() -> None:
    app = fan_of_asks()
    ids = {ask.node: ask.id for ask in (await app.run(run_id="r")).asks}
    with pytest.raises(AnswerError, match='of node "a" wants int, got 1') as caught:
        await app.resume("r", answers={ids["a"]: 1, ids["b"]: 3, ids["c"]: 4})
    (note,) = caught.value.__notes__
    assert note.startswith(f'So was another answer: ask "{ids["b"]}"')
    paused = await app.resume("r")
    assert (paused.status, {ask.node for ask in paused.asks}) == ("paused", {"a", "b"})
    done = await app.resume("r", answers={ids["a"]: 2, ids["b"]: 6})
    assert done.state.seen == [2, 6, 4, "d", "join"]


async def test_an_answer_that_is_refused_is_told_also_where_the_run_stops() -> None:
    app, store = fan_of_asks(), MemoryCheckpointer()
    ids = {ask.node: ask.id for ask in (await app.run(run_id="r", runtime=Runtime(checkpointer=store))).asks}
    one_step = Runtime(checkpointer=store, limits=Limits(max_steps=1))
    with pytest.raises(AnswerError, match='of node "a" wants int, got 1'):
        await app.resume("r", answers={ids["a"]: 1, ids["b"]: 2, ids["c"]: 4}, runtime=one_step)
    assert (await store.read("r")).status == "stopped"
    done = await app.resume("r", answers={ids["a"]: 6}, runtime=Runtime(checkpointer=store))
    assert done.state.seen == [6, 2, 4, "d", "join"]


async def test_an_answer_refused_beside_a_branch_that_fails_is_told_with_its_failure() -> None:
    trouble = Trouble(ValueError("not now"))

    async def asks(ctx: Context) -> Any:
        return await ctx.ask("How many?", answer_type=Even)

    async def fails(ctx: Context) -> Any:
        await ctx.ask("Well?")
        await anyio.sleep(0.02)
        trouble.strike()

    graph = Graph("fan", Seen)
    for name, body in (("a", asks), ("b", fails), ("join", fails)):
        graph.node(name, node_of(body), ungated="a test")
    graph.edge(START, ["a", "b"], "join", END)
    app = graph.compile()
    ids = {ask.node: ask.id for ask in (await app.run(run_id="r")).asks}
    with pytest.raises(NodeError, match="not now") as caught:
        await app.resume("r", answers={ids["a"]: 1, ids["b"]: "yes"})
    assert any(note.startswith(f'An answer was refused: ask "{ids["a"]}"') for note in caught.value.__notes__)


async def test_a_node_in_a_thread_can_ask_and_act() -> None:
    world = World()

    @node(writes="seen", effect="write")
    def work(ctx: Context) -> list[Any]:
        acted = anyio.from_thread.run(partial(ctx.once, "act", world.act))
        return [acted, anyio.from_thread.run(ctx.ask, "Go on?")]

    graph = Graph("thread", Seen)
    graph.node("work", work, ungated="a test")
    graph.edge(START, "work", END)
    app = graph.compile()
    (ask,) = (await app.run(run_id="r")).asks
    assert (await app.resume("r", answers={ask.id: "yes"})).state.seen == [1, "yes"]
    assert len(world.calls) == 1


async def swallows_exceptions(ctx: Context) -> Any:
    try:
        return await ctx.ask("Go on?")
    except Exception:  # noqa: BLE001 - what is to be shown
        return "swallowed"


async def swallows_all(ctx: Context) -> Any:
    with contextlib.suppress(BaseException):
        return await ctx.ask("Go on?")
    return "swallowed"


async def gathers_pauses(ctx: Context) -> Any:
    asks = [ctx.ask("Go on?")]
    answers = await asyncio.gather(*asks, return_exceptions=True)
    return str(answers[0])


async def swallows_in_its_first_attempt(ctx: Context) -> Any:
    if ctx.attempt == 1:
        with contextlib.suppress(BaseException):
            return await ctx.ask("Go on?")
        raise ValueError("no answer")
    return "yes"


async def begins_and_awaits_nothing(ctx: Context) -> Any:
    asking = asyncio.create_task(ctx.ask("Go on?"))
    asking.add_done_callback(lambda over: over.cancelled() or over.exception())
    await anyio.lowlevel.checkpoint()
    return asking.result() if asking.done() and not asking.exception() else "swallowed"


@pytest.mark.parametrize("is_durable", [False, True])
@pytest.mark.parametrize(
    "body",
    [swallows_exceptions, swallows_all, gathers_pauses, swallows_in_its_first_attempt, begins_and_awaits_nothing],
)
async def test_a_node_that_returns_without_its_answer_waits_all_the_same(
    body: Body, is_durable: bool, tmp_path: Path
) -> None:
    store = SqliteCheckpointer(tmp_path / "x.db", durability="power") if is_durable else MemoryCheckpointer()
    app, runtime = acting(body, retry=Retry(backoff_s=0)), Runtime(checkpointer=store)
    paused = await app.run(run_id="r", runtime=runtime)
    assert (paused.status, paused.state.seen, [ask.question for ask in paused.asks]) == ("paused", [], ["Go on?"])
    done = await app.resume("r", answers={paused.asks[0].id: "yes"}, runtime=runtime)
    assert (done.status, done.state.seen) == ("completed", ["yes"])


async def test_a_gate_that_swallows_its_pause_lets_nothing_through() -> None:
    class Order(State):
        ok: bool = False
        shipped: bool = False

    @node(writes="ok", kind="approve")
    async def gate(ctx: Context) -> bool:
        try:
            return bool(await ctx.ask("Ship it?", answer_type=bool, kind="approve"))
        except BaseException:  # noqa: BLE001 - what is to be shown
            return True

    @node(writes="shipped", effect="write")
    async def ship() -> bool:
        return True

    graph = Graph("order", Order)
    graph.node("gate", gate)
    graph.node("ship", ship)
    graph.edge(START, "gate")
    graph.switch("gate", {"ok": "ship"}, otherwise=END)
    graph.edge("ship", END)
    app = graph.compile()
    paused = await app.run(run_id="r")
    assert (paused.status, paused.state) == ("paused", Order())
    assert (await app.resume("r", answers={paused.asks[0].id: False})).state == Order()


async def test_of_several_asks_a_node_may_swallow_one_and_gets_all_answers() -> None:
    async def body(ctx: Context) -> Any:
        first = None
        with contextlib.suppress(BaseException):
            first = await ctx.ask("First?")
        return [first, await ctx.ask("Second?")]

    app = acting(body)
    paused = await app.run(run_id="r")
    assert sorted(ask.key for ask in paused.asks) == ["First?", "Second?"]
    result = await app.resume("r", answers={ask.id: ask.key for ask in paused.asks})
    assert result.state.seen == [["First?", "Second?"]]


async def test_what_fails_beside_an_ask_is_the_failure_of_its_node_and_the_ask_stays_open() -> None:
    trouble = Trouble(ValueError("the other one"))

    async def other() -> None:
        trouble.strike()

    async def body(ctx: Context) -> Any:
        async with anyio.create_task_group() as group:
            group.start_soon(ctx.ask, "Go on?")
            group.start_soon(other)

    app = acting(body)
    with pytest.raises(NodeError, match="ExceptionGroup"):
        await app.run(run_id="r")
    (ask,) = (await app.resume("r")).asks
    assert (await app.resume("r", answers={ask.id: "yes"})).status == "completed"


# The same when run again


async def test_a_step_that_runs_again_sees_the_same_times_and_chances() -> None:
    seen: list[Any] = []
    clock = iter(range(1000, 2000))

    async def body(ctx: Context) -> Any:
        seen.append([ctx.now(), ctx.now(), ctx.random.random(), ctx.random.choice("abcdef")])
        await ctx.ask("Go on?")

    app = acting(body)
    runtime = Runtime(clock=lambda: float(next(clock)))
    (ask,) = (await app.run(run_id="r", runtime=runtime)).asks
    await app.resume("r", answers={ask.id: "yes"}, runtime=runtime)
    assert seen[0] == seen[1]
    assert seen[0][0] < seen[0][1]


async def test_times_are_saved_with_the_record_of_a_failed_attempt() -> None:
    seen: list[list[float]] = []
    clock = iter(range(1000, 2000))
    trouble = Trouble(ValueError("once"))

    async def body(ctx: Context) -> Any:
        seen.append([ctx.now()])
        trouble.strike()
        seen[-1].append(ctx.now())

    app, store = acting(body, retry=Retry(max_attempts=2, backoff_s=0)), MemoryCheckpointer()
    clock_s = lambda: float(next(clock))  # noqa: E731 - two runtimes, one clock
    await app.run(run_id="r", runtime=Runtime(checkpointer=store, clock=clock_s))
    left = await cut(store, "attempt")
    await app.resume("r", runtime=Runtime(checkpointer=left.checkpointer, clock=clock_s))
    first, second, third = seen
    assert first[0] == second[0] == third[0]
    assert second[1] != third[1], "never saved"


async def test_visits_branches_and_runs_have_chances_and_keys_of_their_own() -> None:
    async def body(ctx: Context) -> Any:
        return [ctx.random.random(), ctx.idempotency_key("act")]

    graph = Graph("fan", Seen)
    for name in ("a", "b", "join"):
        graph.node(name, node_of(body))
    graph.edge(START, ["a", "b"], "join")
    graph.switch("join", {"len(seen) >= 6": END}, otherwise="join")
    with pytest.raises(LoomError):  # nodes that write
        graph.compile()
    graph = Graph("fan", Seen)
    for name in ("a", "b", "join"):
        graph.node(name, node_of(body), ungated="a test")
    graph.edge(START, ["a", "b"], "join")
    graph.switch("join", {"len(seen) >= 6": END}, otherwise="join")
    app = graph.compile()
    seen = [*(await app.run(run_id="one")).state.seen, *(await app.run(run_id="two")).state.seen]
    assert len({chance for chance, _ in seen}) == len({key for _, key in seen}) == 12


async def test_a_key_does_not_depend_on_the_attempt_or_on_when_it_is_asked_for() -> None:
    keys: list[str] = []
    trouble = Trouble(ValueError("once"))

    async def body(ctx: Context) -> None:
        keys.append(ctx.idempotency_key("act"))
        await ctx.once("act", World().act)
        keys.append(ctx.idempotency_key("act"))
        trouble.strike()

    await acting(body, retry=Retry(max_attempts=2, backoff_s=0)).run()
    assert len(keys) == 4
    assert len(set(keys)) == 1


# Inside


class Item(State):
    item: str
    seen: Annotated[list[Any], append] = []


class Items(State):
    items: list[str]
    seen: Annotated[list[Any], append] = []


def item_node(body: Body) -> AnyNode:
    @node(writes="seen", effect="write")
    async def act(item: str, ctx: Context) -> list[Any]:
        return [item, await body(ctx)]

    return act


def inside(body: Body) -> Graph[Item]:
    graph = Graph("inside", Item)
    graph.node("act", item_node(body), ungated="a test")
    graph.edge(START, "act", END)
    return graph


@pytest.mark.parametrize("is_nested", [False, True])
async def test_effects_and_asks_of_items_and_inner_graphs_are_their_own(is_nested: bool) -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        acted = await ctx.once("act", world.act, ctx.idempotency_key("act"))
        return [acted, await ctx.ask("Good?", key="good")]

    inner = inside(body).compile()
    graph = Graph("outer", Items)
    if is_nested:
        graph.node("each", inner.as_node(reads={"item": "item"}, writes={"seen": "seen"}))
    else:
        graph.node("each", item_node(body), ungated="a test")
    graph.each(START, "each", over="items", bind="item", max_concurrency=1)
    graph.edge("each", END)
    app = graph.compile()
    result = await app.run({"items": ["a", "a", "b"]}, run_id="r")
    asked: list[tuple[str, str]] = []
    while result.asks:
        (ask,) = result.asks
        asked.append((ask.node, ask.branch))
        result = await app.resume("r", answers={ask.id: f"good {len(asked)}"})
    assert result.state.seen == ["a", [1, "good 1"], "a", [2, "good 2"], "b", [3, "good 3"]]
    assert len(set(world.calls)) == 3
    assert asked == [("each/act" if is_nested else "each", branch) for branch in "012"]


async def test_an_effect_of_an_inner_graph_that_was_cut_off_is_in_doubt() -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act)

    class Named(State):
        name: str = "x"
        seen: Annotated[list[Any], append] = []

    graph = Graph("outer", Named)
    graph.node("in", inside(body).compile().as_node(reads={"item": "name"}, writes={"seen": "seen"}))
    graph.edge(START, "in", END)
    app, store = graph.compile(), MemoryCheckpointer()
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    runtime = await cut(store, "intent")
    (ask,) = (await app.resume("r", runtime=runtime)).asks
    assert (ask.kind, ask.node) == ("in_doubt", "in/act")
    result = await app.resume("r", answers={ask.id: Result("so")}, runtime=runtime)
    assert (result.state.seen, len(world.calls)) == (["x", "so"], 1)
