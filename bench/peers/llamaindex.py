"""LlamaIndex workflows: a step per node; the number travels in the events, which is their own form of state."""

import asyncio
from functools import cache

from workflows import Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from bench.cold import importing
from bench.lap import FANS, NAP_S, NAPS, PER_RUN


class Counted(Event):
    i: int


class Task(Event):
    number: int


class Result(Event):
    number: int


def chain(length, nap_s=None):
    """Make a workflow class of so many steps, each with an event type of its own: edges are types here."""
    events = [StartEvent, *(type(f"Event{k}", (Counted,), {}) for k in range(1, length)), StopEvent]

    def made(k):
        async def work(self, event):
            if nap_s is not None:
                await asyncio.sleep(nap_s)
            count = 1 + (event.i if k else 0)
            return StopEvent(result=count) if k == length - 1 else events[k + 1](i=count)

        work.__name__, work.__qualname__ = f"n{k}", f"Chain.n{k}"
        work.__annotations__ = {"event": events[k], "return": events[k + 1]}
        return step(work)

    return type("Chain", (Workflow,), {f"n{k}": made(k) for k in range(length)})(timeout=None)


ready_chain = cache(chain)


class Loop(Workflow):
    @step
    async def n(self, event: StartEvent | Counted) -> Counted | StopEvent:
        count = 1 + (event.i if isinstance(event, Counted) else 0)
        return Counted(i=count) if count < self.limit else StopEvent(result=count)


class Wide(Workflow):
    @step
    async def tasks(self, event: StartEvent) -> list[Task]:
        return [Task(number=number) for number in range(event.width)]

    @step(num_workers=1000)
    async def work(self, event: Task) -> Result:
        return Result(number=event.number + 1)

    @step
    async def join(self, events: list[Result]) -> StopEvent:
        return StopEvent(result=[event.number for event in events])


async def chains(lap):
    workflow = ready_chain(PER_RUN)
    for _ in range(lap.size):
        assert await workflow.run() == PER_RUN


async def loop(lap):
    workflow = Loop(timeout=None)
    workflow.limit = lap.size
    assert await workflow.run() == lap.size


async def fan_out(lap):
    workflow = Wide(timeout=None)
    for _ in range(FANS):
        assert sorted(await workflow.run(width=lap.size)) == list(range(1, lap.size + 1))


async def at_once(lap):
    workflow = ready_chain(NAPS, NAP_S)

    async def one():
        return await workflow.run()

    assert set(await asyncio.gather(*[one() for _ in range(lap.size)])) == {NAPS}


async def compile_chain(lap):
    chain(lap.size)


WORK = {
    "W1": chains,
    "W2": loop,
    "W5": fan_out,
    "W6": at_once,
    "W7a": compile_chain,
    "W8": importing("from workflows import Workflow, step", "llama-index-workflows"),
}
