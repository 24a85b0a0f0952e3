"""Runs that are cut off in an effect, and taken up again."""

from loom import GraphResult, MemoryCheckpointer, Runtime
from loom.core.journal import decode
from loom.runs.app import CompiledGraph
from tests.runs.effects import Seen


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
