from typing import Annotated

import pytest

from loom import (
    END,
    START,
    Context,
    Graph,
    MemoryCheckpointer,
    NodeError,
    Retry,
    Runtime,
    State,
    append,
    node,
)
from loom.core.node import AnyNode
from loom.runs.app import CompiledGraph
from loom.types.events import Event

pytestmark = pytest.mark.anyio

CANARY = 'canary-"7"\\ß'
HIDDEN = "[redacted]"


class Talk(State):
    said: Annotated[list[str], append] = []
    heard: str = ""
    names: dict[str, list[str]] = {}


class Kept:
    """A store, a runtime that knows the secret, and a look at everything that was saved."""

    def __init__(self, *secrets: str) -> None:
        self.store = MemoryCheckpointer()
        self.runtime = Runtime(checkpointer=self.store, secrets=secrets or (CANARY,))

    async def text(self, run_id: str = "r") -> str:
        """Return all records of a run, their quotes and backslashes undone."""
        journal = await self.store.read(run_id)
        saved = b"\n".join([journal.header, *journal.records, journal.snapshot or b""]).decode()
        return saved.replace("\\", "").replace('"', "")

    async def is_clean(self, run_id: str = "r") -> bool:
        text = await self.text(run_id)
        return "canary" not in text and HIDDEN in text


def chained(**nodes: AnyNode) -> CompiledGraph[Talk]:
    graph = Graph("talk", Talk)
    for name, work in nodes.items():
        graph.node(name, work, ungated="a test", retry=Retry(max_attempts=2, backoff_s=0))
    graph.edge(START, *nodes, END)
    return graph.compile()


@node(writes="heard")
async def echo(said: list[str]) -> str:
    return "|".join(said)


async def test_a_secret_in_an_input_is_saved_and_seen_redacted() -> None:
    kept = Kept()
    names = {"deep": ["x", f"<{CANARY}>"]}
    result = await chained(echo=echo).run({"said": [f"a {CANARY} b"], "names": names}, run_id="r", runtime=kept.runtime)
    assert result.state.said == [f"a {HIDDEN} b"]
    assert result.state.names == {"deep": ["x", f"<{HIDDEN}>"]}
    assert result.state.heard == f"a {HIDDEN} b"
    assert await kept.is_clean()


async def test_a_secret_in_a_write_is_saved_and_seen_redacted() -> None:
    @node(writes="said")
    async def say() -> list[str]:
        return [CANARY, f"{CANARY}{CANARY}"]

    kept = Kept()
    result = await chained(say=say, echo=echo).run(run_id="r", runtime=kept.runtime)
    assert result.state.said == [HIDDEN, HIDDEN * 2]
    assert result.state.heard == "|".join(result.state.said)
    assert await chained(say=say, echo=echo).state("r", runtime=kept.runtime) == result.state
    assert await kept.is_clean()


async def test_a_secret_in_an_event_is_shown_and_saved_redacted() -> None:
    @node(writes="said")
    async def say(ctx: Context) -> list[str]:
        ctx.emit(Event(type="note", payload={"text": f"it is {CANARY}", "list": [CANARY]}))
        return []

    kept = Kept()
    run = chained(say=say).start(run_id="r", runtime=kept.runtime)
    live = [event.payload async for event in run.events() if event.type == "note"]
    again = [event.payload async for event in run.events() if event.type == "note"]
    assert live == again == [{"text": f"it is {HIDDEN}", "list": [HIDDEN]}]
    assert await kept.is_clean()


async def test_a_secret_in_an_error_is_saved_redacted() -> None:
    @node(writes="said")
    async def say() -> list[str]:
        raise ValueError(f"cannot log in with {CANARY}")

    kept = Kept()
    with pytest.raises(NodeError):
        await chained(say=say).run(run_id="r", runtime=kept.runtime)
    kinds = [event.type async for event in chained(say=say).events("r", runtime=kept.runtime)]
    assert {"step.retried", "run.failed"} <= set(kinds)
    assert await kept.is_clean()


async def test_a_secret_in_an_ask_and_in_its_answer_is_saved_and_seen_redacted() -> None:
    @node(writes="said")
    async def say(ctx: Context) -> list[str]:
        return [await ctx.ask(f"Is it {CANARY}?", key="is", payload={"guess": [CANARY]})]

    kept, app = Kept(), chained(say=say, echo=echo)
    await app.run(run_id="r", runtime=kept.runtime)
    (ask,) = (await app.resume("r", runtime=kept.runtime)).asks
    assert (ask.question, ask.payload) == (f"Is it {HIDDEN}?", {"guess": [HIDDEN]})
    result = await app.resume("r", answers={ask.id: f"no, {CANARY}!"}, runtime=kept.runtime)
    assert result.state.said == [f"no, {HIDDEN}!"]
    assert await kept.is_clean()


async def test_the_ask_of_a_result_is_the_one_that_is_read_back() -> None:
    @node(writes="said")
    async def say(ctx: Context) -> list[str]:
        return [await ctx.ask(f"Is it {CANARY}?", key="is", payload={"guess": CANARY})]

    kept, app = Kept(), chained(say=say, echo=echo)
    first = await app.run(run_id="r", runtime=kept.runtime)
    assert (await app.resume("r", runtime=kept.runtime)).asks == first.asks


async def test_an_ask_whose_question_holds_a_secret_can_be_answered() -> None:
    @node(writes="said")
    async def say(ctx: Context) -> list[str]:
        return [await ctx.ask(f"Is it {CANARY}?")]

    kept, app = Kept(), chained(say=say)
    (ask,) = (await app.run(run_id="r", runtime=kept.runtime)).asks
    assert (await app.resume("r", answers={ask.id: "yes"}, runtime=kept.runtime)).state.said == ["yes"]
    assert await kept.is_clean()


async def test_an_effect_whose_key_holds_a_secret_is_not_repeated() -> None:
    calls: list[str] = []

    @node(writes="said", effect="write")
    async def say(ctx: Context) -> list[str]:
        await ctx.once(f"pay with {CANARY}", calls.append, "paid", result_type=None)
        return [await ctx.ask("Go on?", key="on")]

    kept, app = Kept(), chained(say=say)
    (ask,) = (await app.run(run_id="r", runtime=kept.runtime)).asks
    assert (await app.resume("r", answers={ask.id: "yes"}, runtime=kept.runtime)).status == "completed"
    assert calls == ["paid"]
    assert await kept.is_clean()


async def test_a_secret_in_what_an_effect_gave_is_saved_and_seen_redacted() -> None:
    seen: list[str] = []

    async def fetch() -> str:
        return f"token {CANARY}"

    @node(writes="said", effect="write")
    async def say(ctx: Context) -> list[str]:
        seen.append(await ctx.once("fetch", fetch))
        return seen[-1:]

    kept = Kept()
    result = await chained(say=say).run(run_id="r", runtime=kept.runtime)
    assert seen == result.state.said == [f"token {HIDDEN}"]
    assert await kept.is_clean()


async def test_a_secret_in_the_error_of_an_effect_is_saved_redacted() -> None:
    async def fetch() -> str:
        raise ValueError(CANARY)

    @node(writes="said", effect="write")
    async def say(ctx: Context) -> list[str]:
        return [await ctx.once("fetch", fetch)]

    kept = Kept()
    with pytest.raises(NodeError):
        await chained(say=say).run(run_id="r", runtime=kept.runtime)
    assert await kept.is_clean()


async def test_a_secret_in_a_graph_inside_is_saved_and_seen_redacted() -> None:
    @node(writes="said")
    async def say() -> list[str]:
        return [CANARY]

    inner = chained(say=say, echo=echo)
    graph = Graph("outer", Talk)
    graph.node("inner", inner.as_node(reads={}, writes={"heard": "heard"}))
    graph.edge(START, "inner", END)
    kept = Kept()
    assert (await graph.compile().run(run_id="r", runtime=kept.runtime)).state.heard == HIDDEN
    assert await kept.is_clean()


async def test_a_secret_in_fields_that_a_fork_sets_is_saved_and_seen_redacted() -> None:
    kept, app = Kept(), chained(echo=echo)
    await app.run({"said": ["x"]}, run_id="r", runtime=kept.runtime)
    new_id = await app.fork("r", at=0, set={"said": [CANARY]}, runtime=kept.runtime)
    assert (await app.resume(new_id, runtime=kept.runtime)).state.heard == HIDDEN
    assert await kept.is_clean(new_id)


async def test_a_secret_in_branches_is_saved_and_seen_redacted() -> None:
    @node(writes="said")
    async def say() -> list[str]:
        return [CANARY]

    graph = Graph("fan", Talk)
    for name in ("left", "right"):
        graph.node(name, say)
    graph.node("echo", echo)
    graph.edge(START, ["left", "right"], "echo", END)
    kept = Kept()
    result = await graph.compile().run(run_id="r", runtime=kept.runtime)
    assert result.state.heard == f"{HIDDEN}|{HIDDEN}"
    assert await kept.is_clean()


async def test_of_two_secrets_the_longer_is_redacted_whole() -> None:
    kept = Kept("canary", "canary-bird")
    result = await chained(echo=echo).run({"said": ["canary-bird", "canary"]}, run_id="r", runtime=kept.runtime)
    assert result.state.heard == f"{HIDDEN}|{HIDDEN}"


async def test_an_empty_secret_hides_nothing() -> None:
    kept = Kept("", CANARY)
    assert (await chained(echo=echo).run({"said": ["ab"]}, runtime=kept.runtime)).state.heard == "ab"


@pytest.mark.parametrize("secret", ["1", "0.", "step", "kind", "said", "echo", "input", "a", "completed", "r"])
async def test_a_secret_that_the_journal_is_made_of_harms_no_run(secret: str) -> None:
    kept, app = Kept(secret), chained(echo=echo)
    result = await app.run({"said": [f"<{secret}>"]}, run_id="r", runtime=kept.runtime)
    assert result.state.said == [f"<{HIDDEN}>"]
    again = await app.resume("r", runtime=kept.runtime)
    assert (again.status, again.state) == ("completed", result.state)
    assert [point.node for point in await app.history("r", runtime=kept.runtime)] == [START, "echo"]


async def test_without_secrets_everything_is_saved_as_it_is() -> None:
    store = MemoryCheckpointer()
    result = await chained(echo=echo).run({"said": [CANARY]}, run_id="r", runtime=Runtime(checkpointer=store))
    assert result.state.heard == CANARY
