from collections.abc import AsyncIterator
from typing import Any

import pytest

from loom import END, START, Context, Graph, Limits, NodeError, Retry, Runtime, State, node
from loom.runs.app import CompiledGraph
from loom.types.events import Event
from tests.core.letters import Log, chain, failing, fan, graph_of

pytestmark = pytest.mark.anyio

# Any, in this file: payloads of events, which are JSON.


async def told(events: AsyncIterator[Event], *types: str) -> list[tuple[str, dict[str, Any]]]:
    """Return types and payloads of the events of these types, or of all, without durations and ids."""
    untold = ("duration_s", "id")
    return [
        (event.type, {name: value for name, value in event.payload.items() if name not in untold})
        async for event in events
        if not types or event.type in types
    ]


async def of(app: CompiledGraph[Log], *types: str) -> list[tuple[str, dict[str, Any]]]:
    await app.run(run_id="r")
    return await told(app.events("r"), *types)


async def test_a_run_is_told_from_its_start_over_its_steps_to_its_end() -> None:
    assert await of(chain("ab")) == [
        ("run.started", {"graph": "letters", "resumed": False}),
        ("edge.taken", {"source": "START", "target": "a", "branch": ""}),
        ("step.started", {"node": "a", "branch": ""}),
        ("step.finished", {"node": "a", "branch": "", "attempt": 1, "writes": {"log": ["a"]}}),
        ("edge.taken", {"source": "a", "target": "b", "branch": ""}),
        ("step.started", {"node": "b", "branch": ""}),
        ("step.finished", {"node": "b", "branch": "", "attempt": 1, "writes": {"log": ["b"]}}),
        ("edge.taken", {"source": "b", "target": "END", "branch": ""}),
        ("run.completed", {}),
    ]


async def test_events_tell_run_step_and_time() -> None:
    app, clock = chain("ab"), iter(range(100))
    await app.run(run_id="r", runtime=Runtime(clock=lambda: float(next(clock))))
    events = [event async for event in app.events("r")]
    assert {event.run_id for event in events} == {"r"}
    assert [event.seq for event in events] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert [event.offset for event in events] == list(range(1, 10))


async def test_a_fan_out_is_told_branch_by_branch() -> None:
    started = await of(fan("abc"), "step.started")
    assert [(payload["node"], payload["branch"]) for _, payload in started] == [("a", "0"), ("b", "1"), ("c", "")]
    edges = await of(fan("abc"), "edge.taken")
    assert {(payload["source"], payload["target"]) for _, payload in edges} == {
        ("START", "a"),
        ("START", "b"),
        ("a", "c"),
        ("b", "c"),
        ("c", "END"),
    }


async def test_a_failed_attempt_is_told_with_its_error() -> None:
    graph = graph_of(
        (START, "a", END), bodies={"a": failing(ValueError("not yet"))}, retry={"a": Retry(max_attempts=2, backoff_s=0)}
    )
    assert await of(graph.compile(), "step.retried", "step.finished") == [
        ("step.retried", {"node": "a", "branch": "", "attempt": 1, "error": "ValueError: not yet"}),
        ("step.finished", {"node": "a", "branch": "", "attempt": 2, "writes": {"log": ["a"]}}),
    ]


async def test_a_failure_is_told_with_the_node_and_its_error() -> None:
    app = chain("ab", b=failing(ValueError("no")))
    with pytest.raises(NodeError) as caught:
        await app.run(run_id="r")
    assert await told(app.events("r"), "run.failed") == [("run.failed", {"node": "b", "error": str(caught.value)})]


async def test_a_stop_is_told_with_its_reason_and_what_was_held_starts_after_the_resume() -> None:
    app = chain("ab")
    await app.run(run_id="r", runtime=Runtime(limits=Limits(max_steps=1)))
    assert await told(app.events("r"), "run.stopped", "step.started") == [
        ("step.started", {"node": "a", "branch": ""}),
        ("run.stopped", {"reason": "max_steps"}),
    ]
    await app.resume("r")
    assert await told(app.events("r"), "run.started", "step.started", "run.completed") == [
        ("run.started", {"graph": "letters", "resumed": False}),
        ("step.started", {"node": "a", "branch": ""}),
        ("run.started", {"graph": "letters", "resumed": True}),
        ("step.started", {"node": "b", "branch": ""}),
        ("run.completed", {}),
    ]


async def test_an_ask_is_told_when_it_opens_and_when_it_is_answered() -> None:
    class Asked(State):
        answer: int = 0

    @node(writes="answer")
    async def ask(ctx: Context) -> int:
        return int(await ctx.ask("How many?", answer_type=int, key="many", payload={"of": ["them"]}))

    graph = Graph("asks", Asked)
    graph.node("ask", ask)
    graph.edge(START, "ask", END)
    app = graph.compile()
    (opened,) = (await app.run(run_id="r")).asks
    await app.resume("r", answers={opened.id: 3})
    assert await told(app.events("r"), "ask.opened", "ask.answered", "run.paused") == [
        (
            "ask.opened",
            {
                "node": "ask",
                "branch": "",
                "kind": "ask",
                "key": "many",
                "question": "How many?",
                "answer_type": {"type": "integer"},
                "payload": {"of": ["them"]},
            },
        ),
        ("run.paused", {"asks": [opened.id]}),
        ("ask.answered", {"value": 3}),
    ]


async def test_a_graph_inside_is_told_under_its_name() -> None:
    graph = Graph("outer", Log)
    graph.node("inner", chain("ab").as_node(reads={}, writes={"log": "log"}))
    graph.edge(START, "inner", END)
    app = graph.compile()
    await app.run(run_id="r")
    assert [
        (kind, payload["node"]) for kind, payload in await told(app.events("r"), "step.started", "step.finished")
    ] == [
        ("step.started", "inner"),
        ("step.started", "inner/a"),
        ("step.finished", "inner/a"),
        ("step.started", "inner/b"),
        ("step.finished", "inner/b"),
        ("step.finished", "inner"),
    ]
    edges = [(payload["source"], payload["target"]) for _, payload in await told(app.events("r"), "edge.taken")]
    assert edges == [
        ("START", "inner"),
        ("inner/START", "inner/a"),
        ("inner/a", "inner/b"),
        ("inner/b", "inner/END"),
        ("inner", "END"),
    ]


async def test_what_nodes_emit_is_told_before_the_end_of_their_step() -> None:
    async def say(ctx: Context) -> None:
        ctx.emit(Event(type="artifact.created", payload={"path": "a.txt"}))

    assert await of(chain("a", a=say), "artifact.created", "step.started", "step.finished") == [
        ("step.started", {"node": "a", "branch": ""}),
        ("artifact.created", {"path": "a.txt"}),
        ("step.finished", {"node": "a", "branch": "", "attempt": 1, "writes": {"log": ["a"]}}),
    ]
