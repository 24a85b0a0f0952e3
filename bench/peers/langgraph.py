"""LangGraph: a StateGraph over a TypedDict; AsyncSqliteSaver with durability="sync", a commit before the next node."""

import asyncio
import operator
from contextlib import asynccontextmanager
from functools import cache
from typing import Annotated, TypedDict

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from bench.cold import importing
from bench.lap import CHOICES, FANS, NAP_S, NAPS, PER_RUN, message

DURABLE = {"durability": "sync"}


class Count(TypedDict):
    i: int


class Messages(TypedDict):
    messages: Annotated[list, operator.add]


class Wide(TypedDict):
    width: int
    out: Annotated[list, operator.add]


async def step(state):
    return {"i": state["i"] + 1}


async def nap(state):
    await asyncio.sleep(NAP_S)
    return {"i": state["i"] + 1}


async def grow(state):
    return {"messages": [message(len(state["messages"]))]}


def chain(length, work):
    graph = StateGraph(Count)
    graph.add_sequence([(f"n{k}", work) for k in range(length)])
    graph.add_edge(START, "n0")
    graph.add_edge(f"n{length - 1}", END)
    return graph


@cache
def ready_chain(length, work):
    return chain(length, work).compile()


def looped(schema, work, again):
    graph = StateGraph(schema)
    graph.add_node("n", work)
    graph.add_edge(START, "n")
    graph.add_conditional_edges("n", lambda state: "n" if again(state) else END, ["n", END])
    return graph


@cache
def wide():
    async def work(task):
        return {"out": [task + 1]}

    graph = StateGraph(Wide)
    graph.add_node("work", work)
    graph.add_conditional_edges(START, lambda state: [Send("work", k) for k in range(state["width"])], ["work"])
    graph.add_edge("work", END)
    return graph.compile()


@asynccontextmanager
async def saver(lap):
    async with aiosqlite.connect(lap.store) as db:  # the saver sets WAL itself
        await db.execute(f"PRAGMA synchronous = {'FULL' if lap.flush else 'NORMAL'}")
        yield AsyncSqliteSaver(db)


def thread(name, **settings):
    return {"configurable": {"thread_id": name}, **settings}


async def chains(lap):
    app = ready_chain(PER_RUN, step)
    for _ in range(lap.size):
        assert (await app.ainvoke({"i": 0}))["i"] == PER_RUN


async def loop(lap):
    app = looped(Count, step, lambda state: state["i"] < lap.size).compile()
    assert (await app.ainvoke({"i": 0}, {"recursion_limit": lap.size + 1}))["i"] == lap.size


async def durable_chains(lap):
    async with saver(lap) as checkpointer:
        app = chain(PER_RUN, step).compile(checkpointer=checkpointer)
        for run in range(lap.size):
            assert (await app.ainvoke({"i": 0}, thread(f"run{run}"), **DURABLE))["i"] == PER_RUN
        lap.weigh()


async def durable_list(lap, schema=Messages):
    async with saver(lap) as checkpointer:
        graph = looped(schema, grow, lambda state: len(state["messages"]) < lap.size)
        app = graph.compile(checkpointer=checkpointer)
        state = await app.ainvoke({"messages": []}, thread("run", recursion_limit=lap.size + 1), **DURABLE)
        assert len(state["messages"]) == lap.size
        lap.weigh()


async def fan_out(lap):
    for _ in range(FANS):
        state = await wide().ainvoke({"width": lap.size, "out": []})
        assert state["out"] == list(range(1, lap.size + 1))


async def at_once(lap):
    app = ready_chain(NAPS, nap)
    states = await asyncio.gather(*[app.ainvoke({"i": 0}) for _ in range(lap.size)])
    assert all(state["i"] == NAPS for state in states)


async def compile_chain(lap):
    chain(lap.size, step).compile()


async def compile_choices(lap):
    count = lap.size // CHOICES
    graph = StateGraph(Count)
    for k in range(count):
        ways = [f"n{(k + j + 1) % count}" for j in range(CHOICES)]
        graph.add_node(f"n{k}", step)
        graph.add_conditional_edges(f"n{k}", lambda state, ways=ways: ways[state["i"] % CHOICES], ways)
    graph.add_edge(START, "n0")
    graph.compile()


async def resumed(lap, schema, work, first):
    """Stop by the limit of steps, go on from a copy of the store; the node stops the clock."""

    async def stopping(state):
        lap.stop()
        return await work(state)

    graph = looped(schema, stopping, lambda state: True)
    async with saver(lap) as checkpointer:
        app = graph.compile(checkpointer=checkpointer)
        try:
            await app.ainvoke(first, thread("run", recursion_limit=lap.size), **DURABLE)
        except GraphRecursionError:
            lap.crash()
    lap.start()
    async with saver(lap) as checkpointer:
        app = graph.compile(checkpointer=checkpointer)
        return await app.ainvoke(None, thread("run"), interrupt_after=["n"], **DURABLE)


async def resume(lap):
    assert (await resumed(lap, Count, step, {"i": 0}))["i"] == lap.size + 1


async def resume_list(lap, schema=Messages):
    assert len((await resumed(lap, schema, grow, {"messages": []}))["messages"]) == lap.size + 1


WORK = {
    "W1": chains,
    "W2": loop,
    "W3": durable_chains,
    "W4": durable_list,
    "W5": fan_out,
    "W6": at_once,
    "W7a": compile_chain,
    "W7b": compile_choices,
    "W8": importing("from langgraph.graph import END, START, StateGraph", "langgraph", "langgraph-checkpoint-sqlite"),
    "W10": resume,
    "W10b": resume_list,
}
