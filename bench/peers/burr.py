"""Burr: an Application over a Graph of actions; AsyncSQLitePersister, with WAL, which it leaves to its user."""

import asyncio
from contextlib import asynccontextmanager
from functools import cache
from itertools import pairwise

import aiosqlite
from burr.core import ApplicationBuilder, Condition, GraphBuilder, action
from burr.core.parallelism import MapStates
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from bench.cold import importing
from bench.lap import CHOICES, FANS, NAP_S, NAPS, PER_RUN, message

# It takes up pydantic where there is one; here it is for the floor alone, and Burr does not require it.
COLD = "import sys; sys.modules['pydantic'] = None; from burr.core import ApplicationBuilder, State, action"


async def counted(state):
    return state.update(i=state["i"] + 1)


async def grown(state):
    return state.append(messages=message(len(state["messages"])))


counting = action(reads=["i"], writes=["i"])
growing = action(reads=["messages"], writes=["messages"])
step = counting(counted)
grow = growing(grown)


@counting
async def nap(state):
    await asyncio.sleep(NAP_S)
    return state.update(i=state["i"] + 1)


@action(reads=[], writes=[])
async def end(state):
    return state


@action(reads=["task"], writes=["result"])
async def work(state):
    return state.update(result=state["task"] + 1)


class Wide(MapStates):
    reads = ("width",)
    writes = ("out",)

    def is_async(self):
        return True

    def action(self, state, inputs):
        return work

    async def states(self, state, context, inputs):
        for task in range(state["width"]):
            yield state.update(task=task)

    async def reduce(self, state, states):
        return state.update(out=[one["result"] async for one in states])


def chain(length, work):
    names = [f"n{k}" for k in range(length)]
    graph = GraphBuilder().with_actions(**dict.fromkeys(names, work))
    return graph.with_transitions(*pairwise(names)).build()


ready_chain = cache(chain)


def looped(work, condition):
    graph = GraphBuilder().with_actions(n=work, end=end)
    return graph.with_transitions(("n", "n", Condition.expr(condition)), ("n", "end")).build()


def app_of(graph, entry, **state):
    return ApplicationBuilder().with_graph(graph).with_entrypoint(entry).with_state(**state)


@asynccontextmanager
async def persister(lap):
    async with aiosqlite.connect(lap.store) as db:
        await db.execute("PRAGMA journal_mode = WAL")
        await db.execute(f"PRAGMA synchronous = {'FULL' if lap.flush else 'NORMAL'}")
        store = AsyncSQLitePersister(db)
        await store.initialize()
        yield store


async def run_chain(builder, length):
    app = await builder.abuild()
    _, _, state = await app.arun(halt_after=[f"n{length - 1}"])
    assert state["i"] == length


async def chains(lap):
    graph = ready_chain(PER_RUN, step)
    for _ in range(lap.size):
        await run_chain(app_of(graph, "n0", i=0), PER_RUN)


async def loop(lap):
    app = await app_of(looped(step, f"i < {lap.size}"), "n", i=0).abuild()
    _, _, state = await app.arun(halt_before=["end"])
    assert state["i"] == lap.size


async def durable_chains(lap):
    graph = ready_chain(PER_RUN, step)
    async with persister(lap) as store:
        for run in range(lap.size):
            builder = app_of(graph, "n0", i=0).with_identifiers(app_id=f"run{run}").with_state_persister(store)
            await run_chain(builder, PER_RUN)
        lap.weigh()


async def durable_list(lap):
    async with persister(lap) as store:
        builder = app_of(looped(grow, f"len(messages) < {lap.size}"), "n", messages=[])
        app = await builder.with_identifiers(app_id="run").with_state_persister(store).abuild()
        _, _, state = await app.arun(halt_before=["end"])
        assert len(state["messages"]) == lap.size
        lap.weigh()


async def fan_out(lap):
    graph = GraphBuilder().with_actions(wide=Wide()).with_transitions().build()
    for _ in range(FANS):
        app = await app_of(graph, "wide", width=lap.size).abuild()
        _, _, state = await app.arun(halt_after=["wide"])
        assert state["out"] == list(range(1, lap.size + 1))


async def at_once(lap):
    graph = ready_chain(NAPS, nap)
    await asyncio.gather(*[run_chain(app_of(graph, "n0", i=0), NAPS) for _ in range(lap.size)])


async def compile_chain(lap):
    chain(lap.size, step)


async def compile_choices(lap):
    count = lap.size // CHOICES
    ways = [
        (f"n{k}", f"n{(k + j + 1) % count}", Condition.expr(f"i % {CHOICES} == {j}"))
        for k in range(count)
        for j in range(CHOICES)
    ]
    GraphBuilder().with_actions(**{f"n{k}": step for k in range(count)}).with_transitions(*ways).build()


async def resumed(lap, declared, work, first):
    """Take so many steps, go on from a copy of the store; the action stops the clock."""

    @declared
    async def stopping(state):
        lap.stop()
        return await work(state)

    graph = looped(stopping, "True")
    async with persister(lap) as store:
        builder = app_of(graph, "n", **first).with_identifiers(app_id="run").with_state_persister(store)
        app = await builder.abuild()
        for _ in range(lap.size):
            await app.astep()
        lap.crash()
    lap.start()
    async with persister(lap) as store:
        builder = ApplicationBuilder().with_graph(graph).with_identifiers(app_id="run").with_state_persister(store)
        app = await builder.initialize_from(
            store, resume_at_next_action=True, default_state=first, default_entrypoint="n"
        ).abuild()
        _, _, state = await app.astep()
        return state


async def resume(lap):
    assert (await resumed(lap, counting, counted, {"i": 0}))["i"] == lap.size + 1


async def resume_list(lap):
    assert len((await resumed(lap, growing, grown, {"messages": []}))["messages"]) == lap.size + 1


WORK = {
    "W1": chains,
    "W2": loop,
    "W3": durable_chains,
    "W4": durable_list,
    "W5": fan_out,
    "W6": at_once,
    "W7a": compile_chain,
    "W7b": compile_choices,
    "W8": importing(COLD, "apache-burr", "aiosqlite"),
    "W10": resume,
    "W10b": resume_list,
}
