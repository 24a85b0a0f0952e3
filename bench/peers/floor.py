"""The floor: the useful work of each workload in bare asyncio, pydantic and sqlite3, with no framework."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from bench.cold import importing
from bench.lap import CALLS, CHOICES, FANS, NAP_S, NAPS, PER_RUN, Lap, message


class Count(BaseModel):
    i: int = 0


Step = Callable[[Count], Awaitable[dict[str, int]]]


async def step(state: Count) -> dict[str, int]:
    return {"i": state.i + 1}


async def nap(state: Count) -> dict[str, int]:
    await asyncio.sleep(NAP_S)
    return {"i": state.i + 1}


async def through(state: Count, nodes: list[Step]) -> Count:
    for node in nodes:
        state = state.model_copy(update=await node(state))
    return state


async def chains(lap: Lap) -> None:
    nodes: list[Step] = [step] * PER_RUN
    for _ in range(lap.size):
        assert (await through(Count(), nodes)).i == PER_RUN


async def loop(lap: Lap) -> None:
    state = Count()
    while state.i < lap.size:
        state = state.model_copy(update=await step(state))
    assert state.i == lap.size


class Records:
    """An append-only table of (run, number, body), a commit for each record."""

    def __init__(self, lap: Lap) -> None:
        self.db = sqlite3.connect(lap.store)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute(f"PRAGMA synchronous = {'FULL' if lap.flush else 'NORMAL'}")
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS records (run TEXT, number INT, body TEXT, PRIMARY KEY (run, number))"
        )

    def add(self, run: str, number: int, body: str) -> None:
        self.db.execute("INSERT INTO records VALUES (?, ?, ?)", (run, number, body))
        self.db.commit()


async def durable_chains(lap: Lap) -> None:
    records = Records(lap)
    for run in range(lap.size):
        state = Count()
        for number in range(PER_RUN):
            state = state.model_copy(update=await step(state))
            records.add(f"run{run}", number, state.model_dump_json())
        assert state.i == PER_RUN
    lap.weigh()
    records.db.close()


async def durable_list(lap: Lap) -> None:
    records, messages = Records(lap), list[str]()
    while len(messages) < lap.size:
        messages.append(message(len(messages)))
        records.add("run", len(messages), json.dumps(messages[-1]))
    lap.weigh()
    records.db.close()


async def fan_out(lap: Lap) -> None:
    async def work(task: int) -> int:
        return task + 1

    for _ in range(FANS):
        done = await asyncio.gather(*[asyncio.create_task(work(task)) for task in range(lap.size)])
        assert list(done) == list(range(1, lap.size + 1))


async def at_once(lap: Lap) -> None:
    nodes: list[Step] = [nap] * NAPS
    done = await asyncio.gather(*[through(Count(), nodes) for _ in range(lap.size)])
    assert all(state.i == NAPS for state in done)


def reachable(edges: dict[str, list[str]], start: str) -> set[str]:
    seen, todo = {start}, [start]
    while todo:
        for name in edges[todo.pop()]:
            if name not in seen:
                seen.add(name)
                todo.append(name)
    return seen


async def compile_chain(lap: Lap) -> None:
    nodes = {f"n{k}": step for k in range(lap.size)}
    edges = {f"n{k}": [f"n{k + 1}"] for k in range(lap.size - 1)} | {f"n{lap.size - 1}": []}
    assert reachable(edges, "n0") == nodes.keys()


async def compile_choices(lap: Lap) -> None:
    count = lap.size // CHOICES
    nodes = {f"n{k}": step for k in range(count)}
    edges = {f"n{k}": [f"n{(k + j + 1) % count}" for j in range(CHOICES)] for k in range(count)}
    assert reachable(edges, "n0") == nodes.keys()


class Turn(BaseModel):
    role: str
    content: str = ""
    tool: str | None = None
    arguments: str = ""


class Add(BaseModel):
    x: int


async def add_one(x: int) -> str:
    return str(x + 1)


async def reply_to(turns: list[Turn]) -> Turn:
    """Wish for the next tool call, as the JSON that a model writes, or give the answer."""
    made = sum(turn.role == "tool" for turn in turns)
    if made == CALLS:
        return Turn(role="assistant", content="done")
    return Turn(role="assistant", tool="add_one", arguments=json.dumps({"x": made}))


async def agents(lap: Lap) -> None:
    tools = {"add_one": add_one}
    for _ in range(lap.size):
        turns = [Turn(role="user", content="go")]
        while (reply := await reply_to(turns)).tool:
            arguments = Add.model_validate_json(reply.arguments)
            turns += [reply, Turn(role="tool", content=await tools[reply.tool](arguments.x))]
        turns.append(reply)
        assert [turn.content for turn in turns if turn.role == "tool"] == [str(k + 1) for k in range(CALLS)]
        assert turns[-1].content == "done"


async def resume(lap: Lap) -> None:
    before = Records(lap)
    for number in range(lap.size):
        before.add("run", number, Count(i=number + 1).model_dump_json())
    lap.crash()
    before.db.close()
    lap.start()
    records = Records(lap)
    query = "SELECT body FROM records WHERE run = 'run' ORDER BY number DESC LIMIT 1"
    state = Count.model_validate_json(records.db.execute(query).fetchone()[0])
    lap.stop()
    assert state.i == lap.size
    records.db.close()


async def resume_list(lap: Lap) -> None:
    before = Records(lap)
    for number in range(lap.size):
        before.add("run", number, json.dumps(message(number)))
    lap.crash()
    before.db.close()
    lap.start()
    records = Records(lap)
    rows = records.db.execute("SELECT body FROM records WHERE run = 'run' ORDER BY number").fetchall()
    messages = [json.loads(body) for (body,) in rows]
    lap.stop()
    assert messages == [message(number) for number in range(lap.size)]
    records.db.close()


WORK = {
    "W1": chains,
    "W2": loop,
    "W3": durable_chains,
    "W4": durable_list,
    "W5": fan_out,
    "W6": at_once,
    "W7a": compile_chain,
    "W7b": compile_choices,
    "W8": importing("from pydantic import BaseModel", "pydantic"),
    "W9": agents,
    "W10": resume,
    "W10b": resume_list,
}
