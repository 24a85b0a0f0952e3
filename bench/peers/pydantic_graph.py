"""pydantic-graph: steps of a GraphBuilder over one mutable dataclass, which is its own form of state."""

import asyncio
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from pydantic_graph import GraphBuilder, StepContext, reduce_list_append

from bench.cold import importing
from bench.lap import CHOICES, FANS, NAP_S, NAPS, PER_RUN


@dataclass
class Count:
    i: int = 0


async def step(context: StepContext[Count, None, object]) -> int:
    context.state.i += 1
    return context.state.i


async def nap(context: StepContext[Count, None, object]) -> int:
    await asyncio.sleep(NAP_S)
    context.state.i += 1
    return context.state.i


def chain(length, work):
    graph = GraphBuilder(name="chain", state_type=Count, output_type=int)
    steps = [graph.start_node, *(graph.step(work, node_id=f"n{k}") for k in range(length)), graph.end_node]
    graph.add(*(graph.edge_from(here).to(there) for here, there in pairwise(steps)))
    return graph.build()


ready_chain = cache(chain)


async def chains(lap):
    graph = ready_chain(PER_RUN, step)
    for _ in range(lap.size):
        assert await graph.run(state=Count()) == PER_RUN


async def loop(lap):
    graph = GraphBuilder(name="loop", state_type=Count, output_type=int)
    again = graph.step(step, node_id="n")
    ways = graph.decision().branch(graph.match(int, matches=lambda i: i < lap.size).to(again))
    ways = ways.branch(graph.match(int).to(graph.end_node))
    graph.add(graph.edge_from(graph.start_node).to(again), graph.edge_from(again).to(ways))
    assert await graph.build().run(state=Count()) == lap.size


@cache
def wide():
    async def tasks(context: StepContext[None, None, int]) -> list[int]:
        return list(range(context.inputs))

    async def work(context: StepContext[None, None, int]) -> int:
        return context.inputs + 1

    graph = GraphBuilder(name="wide", input_type=int, output_type=list)
    source, worker = graph.step(tasks), graph.step(work)
    join = graph.join(reduce_list_append, initial_factory=list)
    graph.add(
        graph.edge_from(graph.start_node).to(source),
        graph.edge_from(source).map().to(worker),
        graph.edge_from(worker).to(join),
        graph.edge_from(join).to(graph.end_node),
    )
    return graph.build()


async def fan_out(lap):
    for _ in range(FANS):
        assert sorted(await wide().run(inputs=lap.size)) == list(range(1, lap.size + 1))


async def at_once(lap):
    graph = ready_chain(NAPS, nap)
    assert set(await asyncio.gather(*[graph.run(state=Count()) for _ in range(lap.size)])) == {NAPS}


async def compile_chain(lap):
    chain(lap.size, step)


async def compile_choices(lap):
    count = lap.size // CHOICES
    graph = GraphBuilder(name="choices", state_type=Count, output_type=int)
    steps = [graph.step(step, node_id=f"n{k}") for k in range(count)]
    graph.add(graph.edge_from(graph.start_node).to(steps[0]))
    for k, here in enumerate(steps):
        ways = graph.decision()
        for j in range(CHOICES):
            # It wants a way to the end: the last choice of the last node is that.
            last = (k, j) == (count - 1, CHOICES - 1)
            there = graph.end_node if last else steps[(k + j + 1) % count]
            ways = ways.branch(graph.match(int, matches=lambda i, j=j: i % CHOICES == j).to(there))
        graph.add(graph.edge_from(here).to(ways))
    graph.build()


WORK = {
    "W1": chains,
    "W2": loop,
    "W5": fan_out,
    "W6": at_once,
    "W7a": compile_chain,
    "W7b": compile_choices,
    "W8": importing("from pydantic_graph import GraphBuilder, StepContext", "pydantic-graph"),
}
