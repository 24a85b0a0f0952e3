"""Loom. The adapter for an outside driver, bench/peer_loom.py, uses these workloads too."""

import asyncio
from functools import cache
from typing import Annotated, TypeVar

from bench.cold import importing
from bench.lap import CALLS, CHOICES, FANS, NAP_S, NAPS, PER_RUN, Lap, message
from loom import END, START, Graph, Limits, ModelRef, Runtime, SqliteCheckpointer, State, append, node
from loom.core.node import AnyNode
from loom.graphs.agent import AgentState, agent
from loom.runs.app import CompiledGraph
from loom.tools.door import Door
from loom.tools.tool import tool
from loom.types.messages import ToolCall
from loom.types.models import Emit, ModelReply, ModelRequest
from loom.types.policy import PolicyConfig, ToolPolicy, ToolRateLimitPolicy

ENDLESS = 10**9
S = TypeVar("S", bound=State)


class Count(State):
    i: int = 0


class Messages(State):
    messages: Annotated[list[str], append] = []


class Wide(State):
    tasks: list[int] = []
    out: Annotated[list[int], append] = []


@node(writes="i")
async def step(i: int) -> int:
    return i + 1


@node(writes="i")
async def nap(i: int) -> int:
    await asyncio.sleep(NAP_S)
    return i + 1


@node(writes="messages")
async def grow(messages: list[str]) -> list[str]:
    return [message(len(messages))]


@node(writes="out")
async def work(task: int) -> list[int]:
    return [task + 1]


def chain(length: int, work: AnyNode) -> CompiledGraph[Count]:
    graph = Graph("chain", Count)
    names = [f"n{k}" for k in range(length)]
    for name in names:
        graph.node(name, work)
    graph.edge(START, *names, END)
    return graph.compile()


def looped(state: type[S], work: AnyNode, condition: str) -> CompiledGraph[S]:
    graph = Graph("loop", state)
    graph.node("n", work)
    graph.edge(START, "n")
    graph.switch("n", {condition: "n"}, otherwise=END)
    return graph.compile()


@cache
def wide() -> CompiledGraph[Wide]:
    graph = Graph("wide", Wide)
    graph.node("work", work)
    graph.each(START, "work", over="tasks", bind="task", max_concurrency=1000)
    graph.edge("work", END)
    return graph.compile()


ready_chain = cache(chain)


def store_of(lap: Lap) -> SqliteCheckpointer:
    return SqliteCheckpointer(lap.store, durability="power" if lap.flush else "process")


async def chains(lap: Lap) -> None:
    app = ready_chain(PER_RUN, step)
    for _ in range(lap.size):
        assert (await app.run({"i": 0})).state.i == PER_RUN


async def loop(lap: Lap) -> None:
    app = looped(Count, step, f"i < {lap.size}")
    assert (await app.run({"i": 0})).state.i == lap.size


async def durable_chains(lap: Lap) -> None:
    app, store = ready_chain(PER_RUN, step), store_of(lap)
    for run in range(lap.size):
        result = await app.run({"i": 0}, run_id=f"run{run}", runtime=Runtime(checkpointer=store))
        assert result.state.i == PER_RUN
    lap.weigh()
    await store.close()


async def durable_list(lap: Lap) -> None:
    app, store = looped(Messages, grow, f"len(messages) < {lap.size}"), store_of(lap)
    result = await app.run(run_id="run", runtime=Runtime(checkpointer=store))
    assert len(result.state.messages) == lap.size
    lap.weigh()
    await store.close()


async def fan_out(lap: Lap) -> None:
    app = wide()
    for _ in range(FANS):
        result = await app.run({"tasks": list(range(lap.size))})
        assert result.state.out == list(range(1, lap.size + 1))


async def at_once(lap: Lap) -> None:
    app = ready_chain(NAPS, nap)
    results = await asyncio.gather(*[app.run({"i": 0}) for _ in range(lap.size)])
    assert all(result.state.i == NAPS for result in results)


async def compile_chain(lap: Lap) -> None:
    chain(lap.size, step)


async def compile_choices(lap: Lap) -> None:
    count = lap.size // CHOICES
    graph = Graph("choices", Count)
    for k in range(count):
        graph.node(f"n{k}", step)
    graph.edge(START, "n0")
    for k in range(count):
        ways = {f"i % {CHOICES} == {j}": f"n{(k + j + 1) % count}" for j in range(CHOICES)}
        graph.switch(f"n{k}", ways, otherwise=END)
    graph.compile()


@tool(read_only=True)
async def add_one(x: int) -> str:
    return str(x + 1)


class Caller:
    """A model that wishes for the next tool call, or gives the answer."""

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        made = sum(message.role == "tool" for message in request.messages)
        if made == CALLS:
            return ModelReply(text="done")
        return ModelReply(tool_calls=(ToolCall(id=f"call_{made}", name="add_one", arguments={"x": made}),))


@cache
def caller() -> CompiledGraph[AgentState]:
    return agent(ModelRef("scripted", "caller")).compile()


async def agents(lap: Lap) -> None:
    policy = PolicyConfig(tools=ToolPolicy(rate_limits=ToolRateLimitPolicy(max_calls_per_minute=10**6)))
    app, runtime = caller(), Runtime(models=Caller(), tools=Door([add_one], policy=policy))
    for _ in range(lap.size):
        state = (await app.run({"prompt": "go"}, runtime=runtime)).state
        told = [message.content for message in state.messages if message.role == "tool"]
        assert told == [str(k + 1) for k in range(CALLS)]
        assert state.output == "done"


def endless_count(lap: Lap) -> CompiledGraph[Count]:
    """Return a loop whose node stops the clock of the lap."""

    @node(writes="i")
    async def step(i: int) -> int:
        lap.stop()
        return i + 1

    return looped(Count, step, f"i < {ENDLESS}")


def endless_list(lap: Lap) -> CompiledGraph[Messages]:
    @node(writes="messages")
    async def grow(messages: list[str]) -> list[str]:
        lap.stop()
        return [message(len(messages))]

    return looped(Messages, grow, f"len(messages) < {ENDLESS}")


async def write_records(app: CompiledGraph[S], lap: Lap) -> SqliteCheckpointer:
    """Run for as many steps as the lap is large, and return the store."""
    store = store_of(lap)
    result = await app.run(run_id="run", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=lap.size)))
    assert result.stop_reason == "max_steps"
    return store


async def go_on(app: CompiledGraph[S], lap: Lap, steps: int) -> SqliteCheckpointer:
    """Resume from a newly opened store, for one step more than the run has."""
    store = store_of(lap)
    result = await app.resume("run", runtime=Runtime(checkpointer=store, limits=Limits(max_steps=steps + 1)))
    assert result.steps == steps + 1
    return store


async def resumed(app: CompiledGraph[S], lap: Lap) -> None:
    before = await write_records(app, lap)
    lap.crash()
    await before.close()
    lap.start()
    await (await go_on(app, lap, lap.size)).close()


async def resume(lap: Lap) -> None:
    await resumed(endless_count(lap), lap)


async def resume_list(lap: Lap) -> None:
    await resumed(endless_list(lap), lap)


WORK = {
    "W1": chains,
    "W2": loop,
    "W3": durable_chains,
    "W4": durable_list,
    "W5": fan_out,
    "W6": at_once,
    "W7a": compile_chain,
    "W7b": compile_choices,
    "W8": importing("from loom import END, START, Graph, State, node", "loom-agent"),
    "W9": agents,
    "W10": resume,
    "W10b": resume_list,
}
