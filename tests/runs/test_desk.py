import asyncio
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Any

import anyio
import anyio.from_thread
import pytest
from pydantic import AfterValidator, BaseModel

from loom import (
    END,
    START,
    AnswerError,
    Context,
    EffectError,
    Graph,
    GraphResult,
    Limits,
    LoomError,
    MemoryCheckpointer,
    ModelRef,
    NodeError,
    ProviderError,
    Result,
    Retry,
    Runtime,
    State,
    append,
    node,
)
from loom.core.journal import decode
from loom.errors import ProviderUnavailableError
from loom.runs.app import CompiledGraph
from loom.testing import ScriptedModel
from loom.types.messages import Message
from loom.types.models import Emit, ModelReply, ModelRequest
from loom.types.usage import Usage
from tests.core.letters import graph_of
from tests.runs.errands import Command, Errands, Kind, ledger, program

pytestmark = pytest.mark.anyio

# Any, in this module: what effects give and asks are answered.

Body = Callable[[Context], Awaitable[Any]]


class Seen(State):
    seen: Annotated[list[Any], append] = []
    rounds: int = 1


def acting(*bodies: Body, effect: Any = "write", **policies: Any) -> CompiledGraph[Seen]:
    """Return a chain of nodes, `n0` and so on, each of which appends what its body gives."""
    graph = Graph("acting", Seen)
    for number, body in enumerate(bodies):
        graph.node(f"n{number}", node_of(body, effect), ungated="a test", **policies)
    graph.edge(START, *(f"n{number}" for number in range(len(bodies))), END)
    return graph.compile()


def node_of(body: Body, effect: Any = "write") -> Any:
    @node(writes="seen", effect=effect)
    async def act(ctx: Context) -> list[Any]:
        return [await body(ctx)]

    return act


class World:
    """What effects do. Its own type counts in a fingerprint, not what it holds."""

    def __init__(self, *errors: BaseException) -> None:
        self.calls: list[Any] = []
        self._errors = list(errors)

    async def act(self, value: Any = None) -> Any:
        self.calls.append(value)
        if self._errors:
            raise self._errors.pop(0)
        return len(self.calls)

    async def hang(self) -> None:
        self.calls.append("begun")
        await anyio.sleep(60)


class Trouble:
    """Raises what it was given, once each."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)

    def strike(self) -> None:
        if self._errors:
            raise self._errors.pop(0)


async def records(store: MemoryCheckpointer, run_id: str = "r") -> list[dict[str, Any]]:
    return [decode(line, run_id) for line in (await store.read(run_id)).records]


async def cut(store: MemoryCheckpointer, after: str, run_id: str = "r") -> Runtime:
    """Return a runtime with what a process leaves that dies right after its newest record of a kind."""
    journal = await store.read(run_id)
    kinds = [decode(line, run_id)["kind"] for line in journal.records]
    count = len(kinds) - kinds[::-1].index(after)
    left = MemoryCheckpointer()
    await left.release(await left.create(run_id, "acting", journal.header, journal.records[:count]))
    return Runtime(checkpointer=left)


async def in_doubt(app: CompiledGraph[Seen], after: str = "intent") -> tuple[Runtime, GraphResult[Seen]]:
    """Run an app, cut it off after its newest intent, and take it up again."""
    store = MemoryCheckpointer()
    await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    runtime = await cut(store, after)
    return runtime, await app.resume("r", runtime=runtime)


# once


async def test_a_finished_effect_is_not_repeated_when_its_step_runs_again() -> None:
    world, trouble = World(), Trouble(ValueError("after the effect"))

    async def body(ctx: Context) -> Any:
        got = await ctx.once("act", world.act, "a")
        trouble.strike()
        return got

    app = acting(body)
    with pytest.raises(NodeError, match="after the effect"):
        await app.run(run_id="r")
    result = await app.resume("r")
    assert (result.state.seen, world.calls) == ([1], ["a"])


class Receipt(BaseModel):
    number: int
    paid: tuple[int, ...] = ()


def untyped() -> Any:
    return (1, 2)


def typed() -> tuple[int, ...]:
    return (1, 2)


async def receipt() -> Receipt:
    return Receipt(number=7, paid=(1, 2))


@pytest.mark.parametrize(
    ("fn", "result_type", "expected"),
    [
        (untyped, None, [1, 2]),
        (typed, None, (1, 2)),
        (typed, list[int], [1, 2]),
        (typed, Any, [1, 2]),
        (receipt, None, Receipt(number=7, paid=(1, 2))),
        (receipt, Any, {"number": 7, "paid": [1, 2]}),
        (lambda: float("inf"), float, float("inf")),
        (partial(typed), None, [1, 2]),
    ],
)
async def test_the_first_call_gives_what_a_later_one_reads_back(fn: Any, result_type: Any, expected: Any) -> None:
    seen: list[Any] = []
    trouble = Trouble(ValueError("again"))

    async def body(ctx: Context) -> None:
        seen.append(await ctx.once("act", fn, result_type=result_type))
        trouble.strike()

    app = acting(body)
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    await app.resume("r")
    assert seen == [expected, expected]
    assert {type(one) for one in seen} == {type(expected)}


async def test_a_plain_function_runs_in_a_thread_and_an_awaitable_is_awaited() -> None:
    def later(value: str) -> Any:
        return asyncio.sleep(0, value)

    async def body(ctx: Context) -> Any:
        thread = await ctx.once("plain", threading.get_ident)
        loop = await ctx.once("async", World().act)
        waited = await ctx.once("made", later, "slept")
        return [thread != threading.get_ident(), loop, waited]

    result = await acting(body).run()
    assert result.state.seen == [[True, 1, "slept"]]


async def test_one_key_twice_in_a_visit_is_an_error_and_an_ask_may_have_it_too() -> None:
    world = World()

    async def twice(ctx: Context) -> None:
        await ctx.once("act", world.act)
        await ctx.once("act", world.act)

    with pytest.raises(NodeError, match='uses the key "act" twice in one visit; give each once its own'):
        await acting(twice).run()
    assert len(world.calls) == 1

    async def both(ctx: Context) -> Any:
        await ctx.once("act", world.act)
        return await ctx.ask("Which?", key="act")

    assert (await acting(both).run()).status == "paused"


async def test_a_key_is_one_of_its_visit_so_a_loop_acts_each_time() -> None:
    world = World()

    @node(writes="seen", effect="write")
    async def act(ctx: Context) -> list[Any]:
        await ctx.once("act", world.act, ctx.idempotency_key("act"))
        return [ctx.visit]

    graph = Graph("loop", Seen)
    graph.node("act", act, ungated="a test")
    graph.edge(START, "act")
    graph.switch("act", {"len(seen) >= 3": END}, otherwise="act")
    result = await graph.compile().run()
    assert result.state.seen == [1, 2, 3]
    assert len(set(world.calls)) == 3


async def test_an_exception_is_a_failed_attempt_and_a_retry_calls_again_with_the_same_key() -> None:
    world, store = World(OSError("no line")), MemoryCheckpointer()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act, ctx.idempotency_key("act"))

    app = acting(body, retry=Retry(max_attempts=2, backoff_s=0))
    result = await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    assert result.state.seen == [2]
    assert len(world.calls) == 2
    assert len(set(world.calls)) == 1
    kinds = [record["kind"] for record in await records(store)]
    assert kinds == ["input", "intent", "effect", "attempt", "intent", "effect", "step", "end"]
    assert (await records(store))[2]["error"] == "OSError: no line"


async def test_a_failed_effect_is_not_in_doubt_when_the_run_is_resumed() -> None:
    world = World(OSError("no line"))

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act)

    app = acting(body)
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    assert (await app.resume("r")).state.seen == [2]


@pytest.mark.parametrize(("declared", "greater"), [("pure", "read"), ("read", "model"), ("model", "write")])
async def test_an_effect_greater_than_declared_is_refused_and_never_tried_again(declared: Any, greater: Any) -> None:
    world, store = World(), MemoryCheckpointer()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act, effect=greater)

    app = acting(body, effect=declared, retry=Retry(max_attempts=3, backoff_s=0))
    with pytest.raises(NodeError) as caught:
        await app.run(run_id="r", runtime=Runtime(checkpointer=store))
    assert isinstance(caught.value.__cause__, EffectError)
    assert f'declares the effect "{declared}", but its once("act") has "{greater}"' in str(caught.value)
    assert caught.value.attempt == 1
    assert world.calls == []
    assert [record["kind"] for record in await records(store)] == ["input", "end"]


@pytest.mark.parametrize("effect", ["pure", "read", "model", "write"])
async def test_a_lesser_effect_is_fine(effect: Any) -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.once("act", World().act, effect=effect)

    assert (await acting(body).run()).state.seen == [1]


async def test_a_result_type_that_cannot_be_saved_is_told_before_the_call() -> None:
    world = World()

    async def act() -> threading.Event:
        await world.act()
        return threading.Event()

    async def body(ctx: Context) -> None:
        await ctx.once("act", act)

    with pytest.raises(NodeError, match=r'once\("act"\) of node "n0" gives Event, which cannot be saved'):
        await acting(body).run()
    assert world.calls == []


async def test_a_result_that_cannot_be_saved_leaves_its_effect_in_doubt() -> None:
    async def act() -> Any:
        return threading.Event()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", act)

    app = acting(body)
    with pytest.raises(NodeError, match="say result_type=, or return plain data"):
        await app.run(run_id="r")
    result = await app.resume("r")
    assert [ask.kind for ask in result.asks] == ["in_doubt"]
    result = await app.resume("r", answers={result.asks[0].id: "done"})
    assert result.state.seen == ["done"]


# In doubt


@pytest.mark.parametrize(
    ("answer", "expected", "calls"),
    [
        ("retry", 2, 2),
        ("skip", None, 1),
        (Result(7), 7, 1),
        (7, 7, 1),
        (Result("retry"), "retry", 1),
        (None, None, 1),
        ({"paid": [1]}, {"paid": [1]}, 1),
    ],
)
async def test_what_is_in_doubt_is_asked_and_done_as_answered(answer: Any, expected: Any, calls: int) -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act, ctx.idempotency_key("act"))

    app = acting(body)
    runtime, paused = await in_doubt(app)
    (ask,) = paused.asks
    assert (paused.status, ask.kind, ask.node, ask.payload) == ("paused", "in_doubt", "n0", {"effect": "act"})
    assert len(world.calls) == 1
    result = await app.resume("r", answers={ask.id: answer}, runtime=runtime)
    assert (result.status, result.state.seen, len(world.calls)) == ("completed", [expected], calls)
    assert len(set(world.calls)) == 1, "with the same idempotency key"


async def test_an_answer_in_doubt_holds_also_when_the_step_runs_again() -> None:
    world, trouble = World(), Trouble()

    async def body(ctx: Context) -> Any:
        got = await ctx.once("act", world.act)
        trouble.strike()
        return got

    app = acting(body)
    runtime, paused = await in_doubt(app)
    trouble.__init__(ValueError("after"))  # type: ignore[misc]  # this body raises from now on
    with pytest.raises(NodeError):
        await app.resume("r", answers={paused.asks[0].id: Result("so")}, runtime=runtime)
    assert (await app.resume("r", runtime=runtime)).state.seen == ["so"]
    assert len(world.calls) == 1


async def test_what_was_tried_again_and_cut_off_again_is_asked_again() -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act)

    app = acting(body)
    runtime, first = await in_doubt(app)
    assert isinstance(runtime.checkpointer, MemoryCheckpointer)
    await app.resume("r", answers={first.asks[0].id: "retry"}, runtime=runtime)
    again = await cut(runtime.checkpointer, "intent")
    second = await app.resume("r", runtime=again)
    assert second.asks[0].id != first.asks[0].id
    result = await app.resume("r", answers={second.asks[0].id: "skip"}, runtime=again)
    assert (result.state.seen, len(world.calls)) == ([None], 2)


@pytest.mark.parametrize(
    ("declared", "settings", "last"),
    [
        ("write", {"idempotent": True}, "intent"),
        ("write", {"effect": "read"}, "input"),  # what writes nothing has no intent
        ("read", {}, "input"),
        ("model", {}, "input"),
        ("pure", {}, "input"),
    ],
)
async def test_what_may_be_repeated_is_called_again_with_the_same_key(declared: Any, settings: Any, last: str) -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act, ctx.idempotency_key("act"), **settings)

    _, result = await in_doubt(acting(body, effect=declared), after=last)
    assert (result.status, result.state.seen) == ("completed", [2])
    assert world.calls[0] == world.calls[1]


async def test_an_answer_in_doubt_of_the_wrong_type_is_refused_and_changes_nothing() -> None:
    async def body(ctx: Context) -> Any:
        return await ctx.once("act", receipt)

    app = acting(body)
    runtime, paused = await in_doubt(app)
    assert isinstance(runtime.checkpointer, MemoryCheckpointer)
    before = await runtime.checkpointer.read("r")
    wrongs: list[Any] = [5, Result({"number": "seven"}), {"paid": []}]
    for wrong in wrongs:
        with pytest.raises(AnswerError, match='or answer "retry" or "skip"'):
            await app.resume("r", answers={paused.asks[0].id: wrong}, runtime=runtime)
    assert await runtime.checkpointer.read("r") == before
    result = await app.resume("r", answers={paused.asks[0].id: Receipt(number=8)}, runtime=runtime)
    assert result.state.seen == [Receipt(number=8).model_dump(mode="json")]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_timeout_leaves_a_write_in_doubt(in_thread: bool) -> None:
    world, release = World(), threading.Event()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", release.wait if in_thread else world.hang, *([10] if in_thread else []))

    app = acting(body, timeout_s=0.05)
    with pytest.raises(NodeError, match="TimeoutError"):
        await app.run(run_id="r")
    release.set()
    result = await app.resume("r")
    assert [ask.kind for ask in result.asks] == ["in_doubt"]


async def test_a_timeout_is_tried_again_but_a_write_is_asked_about_first() -> None:
    world = World()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.hang)

    result = await acting(body, timeout_s=0.02, retry=Retry(max_attempts=3, backoff_s=0)).run()
    assert ([ask.kind for ask in result.asks], len(world.calls)) == (["in_doubt"], 1)


async def test_a_thread_that_reads_holds_up_no_timeout_and_reads_again() -> None:
    release, calls = threading.Event(), list[int]()

    def look() -> bool:
        calls.append(1)
        return release.wait(10 if len(calls) == 1 else 0)

    async def body(ctx: Context) -> Any:
        return await ctx.once("look", look)

    app = acting(body, effect="read", timeout_s=0.05)
    with anyio.fail_after(5):
        with pytest.raises(NodeError, match="TimeoutError"):
            await app.run(run_id="r")
        release.set()
        assert (await app.resume("r")).state.seen == [True]
    assert len(calls) == 2


async def cancelled(app: CompiledGraph[Seen], store: MemoryCheckpointer, grace_s: float) -> GraphResult[Seen]:
    """Cancel a run while its effect is under way."""
    run = app.start(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(grace_s=grace_s)))
    await anyio.sleep(0.05)
    run.cancel()
    return await run.wait()


async def test_a_running_write_gets_its_grace_when_the_run_is_cancelled() -> None:
    world, store = World(), MemoryCheckpointer()

    async def slow() -> str:
        world.calls.append("begun")
        await anyio.sleep(0.15)
        return "ended"

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", slow)

    app = acting(body, World().act)
    result = await cancelled(app, store, grace_s=5)
    assert (result.status, result.steps) == ("cancelled", 0)
    assert [record["kind"] for record in await records(store)] == ["input", "intent", "effect", "end"]
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert (result.state.seen[0], world.calls) == ("ended", ["begun"])


async def test_a_write_that_outlasts_its_grace_is_cancelled_and_in_doubt_and_leaves_no_task() -> None:
    world, store = World(), MemoryCheckpointer()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.hang)

    app = acting(body)
    before = asyncio.all_tasks()
    result = await cancelled(app, store, grace_s=0.05)
    assert result.status == "cancelled"
    assert asyncio.all_tasks() == before
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert [ask.kind for ask in result.asks] == ["in_doubt"]


async def test_a_write_that_fails_in_its_grace_has_failed_and_the_run_is_cancelled() -> None:
    world, store = World(), MemoryCheckpointer()

    async def slow() -> None:
        await anyio.sleep(0.15)
        raise OSError("no line")

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.act if world.calls else slow)

    app = acting(body)
    assert (await cancelled(app, store, grace_s=5)).status == "cancelled"
    world.calls.append("")
    result = await app.resume("r", runtime=Runtime(checkpointer=store))
    assert result.state.seen == [2], "called again without being asked"


async def test_a_read_gets_no_grace() -> None:
    world, store = World(), MemoryCheckpointer()

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", world.hang, effect="read")

    with anyio.fail_after(2):
        assert (await cancelled(acting(body), store, grace_s=60)).status == "cancelled"


async def test_a_write_gets_its_grace_when_a_sibling_fails() -> None:
    world = World()

    async def slow() -> str:
        await anyio.sleep(0.1)
        world.calls.append("ended")
        return "ended"

    async def acts(ctx: Context) -> Any:
        return await ctx.once("act", slow)

    async def fails(_ctx: Context) -> None:
        await anyio.sleep(0.02)
        if not world.calls:
            raise ValueError("a sibling")

    graph = Graph("siblings", Seen)
    graph.node("acts", node_of(acts), ungated="a test")
    graph.node("fails", node_of(fails, "pure"))
    graph.node("join", node_of(World().act, "pure"))
    graph.edge(START, ["acts", "fails"], "join", END)
    app = graph.compile()
    with pytest.raises(NodeError, match="a sibling"):
        await app.run(run_id="r")
    result = await app.resume("r")
    assert (result.state.seen[0], world.calls) == ("ended", ["ended"])


# Killed


@pytest.fixture(scope="module")
def running() -> "Iterator[subprocess.Popen[str]]":
    with program() as running:
        yield running


@pytest.fixture
def errands(running: "subprocess.Popen[str]", tmp_path: Path) -> Errands:
    return Errands(running, tmp_path)


def killed(errands: Errands, kind: Kind, dies: str) -> dict[str, Any]:
    """Have a process die at an effect; return what came of the run in a new one."""
    assert errands.do(Command(kind, dies=dies)) is None
    again = errands.do(Command(kind))
    assert again is not None
    return again


@pytest.mark.parametrize("dies", ["before act0", "after act0"])
def test_a_write_that_was_killed_pauses_with_an_ask(errands: Errands, tmp_path: Path, dies: str) -> None:
    paused = killed(errands, "write", dies)
    (ask,) = paused["asks"]
    assert (paused["status"], ask["kind"], ask["node"]) == ("paused", "in_doubt", "act0")
    assert len(ledger(tmp_path)) == (dies == "after act0")
    assert errands.do(Command("write")) == paused, "with the same id"


@pytest.mark.parametrize(
    ("answer", "first", "times"),
    [("retry", "act0 ", 2), ("skip", "skipped", 1), ({"result": "paid"}, "paid", 1), ("found", "found", 1)],
)
def test_a_killed_write_goes_on_as_it_is_answered(
    errands: Errands, tmp_path: Path, answer: Any, first: str, times: int
) -> None:
    paused = killed(errands, "write", "after act0")
    result = errands.do(Command("write", answers={paused["asks"][0]["id"]: answer}))
    assert result is not None
    assert result["status"] == "completed"
    assert result["log"][0].startswith(first)
    acts = [line for line in ledger(tmp_path) if line.startswith("act0")]
    assert (len(acts), len(set(acts))) == (times, 1)


@pytest.mark.parametrize("kind", ["idempotent", "read"])
@pytest.mark.parametrize("dies", ["before act0", "after act0"])
def test_what_may_be_repeated_is_done_again_with_its_key_after_a_kill(
    errands: Errands, tmp_path: Path, kind: Kind, dies: str
) -> None:
    result = killed(errands, kind, dies)
    assert result["status"] == "completed"
    acts = [line for line in ledger(tmp_path) if line.startswith("act0")]
    assert (len(acts), len(set(acts))) == (2 if dies == "after act0" else 1, 1)


def as_one_who_looked(asks: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Answer asks in doubt by what the ledger tells."""
    happened = {line.partition(" ")[0]: line for line in ledger(folder)}
    return {ask["id"]: {"result": happened[ask["node"]]} if ask["node"] in happened else "retry" for ask in asks}


@pytest.mark.slow
def test_no_effect_is_doubled_or_lost_over_random_kills(running: "subprocess.Popen[str]", tmp_path: Path) -> None:
    random, kills, runs = Random(20), 0, 0
    while kills < 20:
        runs += 1
        folder = tmp_path / str(runs)
        folder.mkdir()
        errands, longest_s = Errands(running, folder), 0.05
        answers, result = dict[str, Any](), dict[str, Any]()
        while result.get("status") != "completed":
            ended = errands.kill(Command("write", answers=answers, length=8), random.uniform(0, longest_s))
            result, kills, longest_s = ended or {}, kills + (ended is None), longest_s * 1.1
            answers = as_one_who_looked(result["asks"], folder) if result.get("asks") else answers
        acts = [line for line in ledger(folder) if line != "last"]
        assert [line.partition(" ")[0] for line in acts] == [f"act{number}" for number in range(8)]
        assert result["log"] == [*acts, "last"]


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


async def test_what_a_type_refuses_that_a_schema_cannot_tell_is_asked_again_with_the_same_id() -> None:
    def even(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number

    async def body(ctx: Context) -> Any:
        return await ctx.ask("How many?", answer_type=Annotated[int, AfterValidator(even)], key="many")

    app = acting(body)
    (ask,) = (await app.run(run_id="r")).asks
    with pytest.raises(NodeError, match="3 is odd; it is open again") as caught:
        await app.resume("r", answers={ask.id: 3})
    assert isinstance(caught.value.__cause__, AnswerError)
    assert [one.id for one in (await app.resume("r")).asks] == [ask.id]
    assert (await app.resume("r", answers={ask.id: 4})).state.seen == [4]


async def test_a_result_in_doubt_that_its_type_refuses_is_asked_again() -> None:
    def even(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number

    async def body(ctx: Context) -> Any:
        return await ctx.once("act", lambda: 2, result_type=Annotated[int, AfterValidator(even)])

    app = acting(body)
    runtime, paused = await in_doubt(app)
    with pytest.raises(NodeError, match="3 is odd; it is open again"):
        await app.resume("r", answers={paused.asks[0].id: 3}, runtime=runtime)
    assert (await app.resume("r", runtime=runtime)).asks == paused.asks
    assert (await app.resume("r", answers={paused.asks[0].id: 4}, runtime=runtime)).state.seen == [4]


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


async def test_a_node_that_swallows_exceptions_still_pauses() -> None:
    async def body(ctx: Context) -> Any:
        try:
            return await ctx.ask("Go on?")
        except Exception:  # noqa: BLE001 - what is to be shown
            return "swallowed"

    assert (await acting(body).run()).status == "paused"


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


def inside(body: Body) -> Graph[Item]:
    graph = Graph("inside", Item)

    @node(writes="seen", effect="write")
    async def act(item: str, ctx: Context) -> list[Any]:
        return [item, await body(ctx)]

    graph.node("act", act, ungated="a test")
    graph.edge(START, "act", END)
    return graph


class Items(State):
    items: list[str]
    seen: Annotated[list[Any], append] = []


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

        @node(writes="seen", effect="write")
        async def act(item: str, ctx: Context) -> list[Any]:
            return [item, await body(ctx)]

        graph.node("each", act, ungated="a test")
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

    graph = Graph("outer", Items)
    graph.node("in", inside(body).compile().as_node(reads={"item": "name"}, writes={"seen": "seen"}))

    class Named(Items):
        name: str = "x"

    named = Graph("outer", Named)
    named.node("in", inside(body).compile().as_node(reads={"item": "name"}, writes={"seen": "seen"}))
    named.edge(START, "in", END)
    app, store = named.compile(), MemoryCheckpointer()
    await app.run({"items": []}, run_id="r", runtime=Runtime(checkpointer=store))
    runtime = await cut(store, "intent")
    (ask,) = (await app.resume("r", runtime=runtime)).asks
    assert (ask.kind, ask.node) == ("in_doubt", "in/act")
    result = await app.resume("r", answers={ask.id: Result("so")}, runtime=runtime)
    assert (result.state.seen, len(world.calls)) == (["x", "so"], 1)


def test_the_program_that_is_killed_is_the_one_that_is_resumed_here(errands: Errands, tmp_path: Path) -> None:
    process = errands.begin(Command("write", dies="after act0"))
    assert errands.end() is None
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert len(ledger(tmp_path)) == 1


async def test_an_effect_that_is_not_known_is_told_with_those_that_are() -> None:
    async def body(ctx: Context) -> None:
        await ctx.once("act", len, "x", effect="wirte")  # type: ignore[arg-type]  # what is seen to be refused

    with pytest.raises(NodeError) as caught:
        await graph_of((START, "a", END), bodies={"a": body}).compile().run(run_id="r")
    assert 'once("act") of node "a" has the effect \'wirte\'; expected one of "pure", "read"' in str(caught.value)


# A model that is cut off at the deadline.


class Provider:
    """A model that takes the time it is told to, and no longer than it is given, as clients of providers do."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.asked = 0

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        self.asked += 1
        with anyio.move_on_after(request.timeout_s):
            await anyio.sleep(self.seconds.pop(0))
            return ModelReply(text="said", usage=Usage(input_tokens=3, output_tokens=1))
        raise ProviderUnavailableError(f"it did not finish in the {request.timeout_s} s that it had")


REF = ModelRef("test", "one")


async def talk(ctx: Context) -> str:
    return (await ctx.model(REF).complete([Message(role="user", content="Hello")])).text


async def talk_twice(ctx: Context) -> str:
    return await talk(ctx) + await talk(ctx)


def hurried(model: Provider, store: MemoryCheckpointer, deadline_s: float = 0.05, **more: Any) -> Runtime:
    return Runtime(checkpointer=store, models=model, limits=Limits(deadline_s=deadline_s), **more)


async def test_a_model_that_is_cut_off_at_the_deadline_stops_the_run_and_its_step_is_run_again() -> None:
    app, model, store = acting(talk, talk_twice), Provider(0, 0, 60, 0, 0), MemoryCheckpointer()
    result = await app.run(run_id="r", runtime=hurried(model, store))
    assert (result.status, result.stop_reason, result.state.seen) == ("stopped", "deadline", ["said"])
    assert (result.steps, result.usage.input_tokens, model.asked) == (1, 6, 3)
    *_, last = [event async for event in app.events("r", runtime=Runtime(checkpointer=store))]
    assert (last.type, last.payload["reason"]) == ("run.stopped", "deadline")
    again = await app.resume("r", runtime=hurried(model, store, 60))
    assert (again.status, again.state.seen) == ("completed", ["said", "saidsaid"])
    assert (again.usage.input_tokens, model.asked) == (12, 5)


async def test_a_model_that_is_cut_off_is_not_asked_again_by_a_retry() -> None:
    app, model = acting(talk, retry=Retry(max_attempts=3, backoff_s=0)), Provider(60)
    result = await app.run(runtime=hurried(model, MemoryCheckpointer()))
    assert (result.stop_reason, model.asked) == ("deadline", 1)


async def test_models_asked_beside_each_other_are_cut_off_together_and_finished_branches_are_kept() -> None:
    async def talk_beside(ctx: Context) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(talk, ctx)
            group.start_soon(talk, ctx)

    model, store = Provider(60, 60), MemoryCheckpointer()
    app = graph_of((START, ["a", "b"], "c", END), bodies={"a": talk_beside}).compile()
    result = await app.run(run_id="r", runtime=hurried(model, store))
    assert (result.status, result.stop_reason, result.steps, model.asked) == ("stopped", "deadline", 1, 2)
    model.seconds = [0.0, 0.0]
    assert (await app.resume("r", runtime=hurried(model, store, 60))).state.log == ["a", "b", "c"]


async def test_a_provider_that_is_gone_before_the_deadline_is_a_failure() -> None:
    model = ScriptedModel([ProviderUnavailableError("no network")])
    with pytest.raises(NodeError, match="no network"):
        await acting(talk).run(runtime=Runtime(models=model, limits=Limits(deadline_s=60)))


async def test_a_call_cut_off_before_the_clock_of_the_run_says_so_is_a_failure() -> None:
    with pytest.raises(NodeError, match="did not finish in"):
        await acting(talk).run(runtime=hurried(Provider(60), MemoryCheckpointer(), clock=lambda: 1000.0))


async def test_a_model_that_fails_in_another_way_after_the_deadline_is_a_failure() -> None:
    async def refuse(ctx: Context) -> None:
        await anyio.sleep(0.06)
        await ctx.model(REF).complete([Message(role="user", content="Hello")])

    runtime = Runtime(models=ScriptedModel([ProviderError("the key was revoked")]), limits=Limits(deadline_s=0.05))
    with pytest.raises(NodeError, match="the key was revoked"):
        await acting(refuse).run(runtime=runtime)


async def test_an_effect_whose_model_is_cut_off_has_failed_and_is_not_in_doubt() -> None:
    async def once(ctx: Context) -> Any:
        return await ctx.once("talk", partial(talk, ctx), result_type=str)

    app, model, store = acting(once), Provider(60, 0), MemoryCheckpointer()
    result = await app.run(run_id="r", runtime=hurried(model, store))
    assert (result.stop_reason, result.asks) == ("deadline", ())
    assert (await app.resume("r", runtime=hurried(model, store, 60))).state.seen == ["said"]
