"""Running and resuming with events as they come, until the end or a signal."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from loom.cli.options import OnChange
from loom.cli.store import CommandStore
from loom.core.journal import decode
from loom.core.runtime import Runtime
from loom.errors import LoomError
from loom.runs.app import CompiledGraph
from loom.types.events import Event

# Any, in this module: the state and the inputs of a graph, and answers, are the user's.
Hear = Callable[[Event], None]

_POLL_S = 0.02
_LAST_WORDS_S = 1.0


async def run(app: CompiledGraph[Any], inputs: Mapping[str, Any], run_id: str, runtime: Runtime, hear: Hear) -> int:
    """Run to the end; return the signal that cancelled it, else 0. Raises what `app.run` raises."""
    handle = app.start(inputs, run_id=run_id, runtime=runtime)
    with _cancelled_by_signal(handle.cancel) as caught:
        try:
            async for event in handle.events():
                hear(event)
        except BaseException:  # the story cannot be told: no run goes on unseen
            handle.cancel()
            with suppress(LoomError):
                await handle.wait()
            raise
        await handle.wait()
    return caught[0] if caught else 0


async def resume(
    app: CompiledGraph[Any],
    run_id: str,
    answers: Mapping[str, Any],
    on_change: OnChange,
    store: CommandStore,
    runtime: Runtime,
    hear: Hear,
) -> int:
    """Go on with a run to its end; return the signal that cancelled it, else 0.

    A resumed run has no handle, so its events are read back from the store. Raises what `app.resume`
    raises.
    """
    journal = await store.read(run_id)
    head, resumes = len(journal.records), sum(decode(record, run_id)["kind"] == "resume" for record in journal.records)
    going = asyncio.create_task(app.resume(run_id, answers=answers, on_change=on_change.value, runtime=runtime))
    with _cancelled_by_signal(going.cancel) as caught:
        while not going.done() and not (await store.read(run_id, head)).records:  # noqa: ASYNC110 - see there
            await asyncio.sleep(_POLL_S)  # a store tells nobody that it has grown
        if (await store.read(run_id, head)).records:
            follower = asyncio.create_task(_follow(app, run_id, runtime, hear, resumes))
            await asyncio.wait([going])
            # It ends with the run, unless the run was taken over and goes on elsewhere.
            await asyncio.wait([follower], timeout=_LAST_WORDS_S)
            follower.cancel()
    if not going.cancelled():
        await going
    return caught[0] if caught else 0


async def _follow(app: CompiledGraph[Any], run_id: str, runtime: Runtime, hear: Hear, resumes: int) -> None:
    """Hear the events from the one on that says that the run was taken up once more than before."""
    async for event in app.events(run_id, runtime=runtime):
        resumes -= event.type == "run.started" and event.payload["resumed"]
        if resumes < 0:
            hear(event)


@contextmanager
def _cancelled_by_signal(cancel: Callable[[], object]) -> Generator[list[int], None, None]:
    """Cancel at the first Ctrl-C or SIGTERM, which is then in the list; a second one ends the process.

    Handlers of the process, not of the loop: those do not exist on Windows.
    """
    loop = asyncio.get_running_loop()
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        for each in before:
            signal.signal(each, _end_now)
        loop.call_soon_threadsafe(cancel)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_now(number: int, _frame: FrameType | None) -> None:
    """End the process as kill -9 would; what was finished is saved. Only the cursor is given back."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")
        sys.stderr.flush()
    os._exit(128 + number)
