"""Following a run: its saved records as events, and in between what its nodes emit right now."""

from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import anyio
from pydantic_core import from_json

from loom.core.journal import Checkpointer, decode
from loom.runs.story import Story
from loom.types.events import Event

_POLL_S = 0.2


_RECENT = 4096  # events


def _recent() -> deque[tuple[int, Event | bytes]]:
    return deque(maxlen=_RECENT)


@dataclass(slots=True)
class Live:
    """What a run shows to readers in its own process. `head` is the index its next record gets.

    `first` is the index of the first record of this walk: what ends before that ended an earlier one.
    `emitted` are the events that wait to be saved with the next record, as its JSON; `recent` the last that were
    shown, each with the head at that time: a reader that comes a little late misses nothing. Those that are saved are
    parsed only where there is a reader. A reader has a queue of its own, so a slow one holds nothing up.
    """

    head: int = 0
    first: int = 0
    emitted: list[bytes] = field(default_factory=list[bytes])
    recent: deque[tuple[int, Event | bytes]] = field(default_factory=_recent)
    readers: list["Reader"] = field(default_factory=list["Reader"])
    is_closed: bool = False

    def emit(self, saved: bytes) -> None:
        """Show an event and keep it for the next record."""
        self.emitted.append(saved)
        self.show(saved)

    def show(self, event: Event | bytes) -> None:
        """Show an event without keeping it for the next record."""
        self.recent.append((self.head, event))
        for reader in self.readers:
            reader.queue.append((self.head, event))
            reader.changed.set()

    def wake(self) -> None:
        """Say that a record was committed."""
        for reader in self.readers:
            reader.changed.set()

    def close(self) -> None:
        """Say that nothing more will come."""
        self.is_closed = True
        self.wake()


class Reader:
    """One reader of a live run."""

    def __init__(self, live: Live) -> None:
        self.queue: deque[tuple[int, Event | bytes]] = deque(live.recent)
        self.changed = anyio.Event()

    def take(self, index: int, story: Story) -> list[Event]:
        """Take what was emitted before record `index` was saved, numbered; drop what earlier records already told."""
        taken: list[Event] = []
        while self.queue and self.queue[0][0] <= index:
            head, event = self.queue.popleft()
            if head == index:
                taken.append(story.number(Event(**from_json(event)) if isinstance(event, bytes) else event))
        return taken


async def follow(
    story: Story, store: Checkpointer, run_id: str, *, after: int | None, live: Live
) -> AsyncGenerator[Event, None]:
    """Yield the events of a run of this process with offsets above `after`, up to the end of this walk of it.

    None leaves out what earlier walks told.
    """
    reader = Reader(live)
    live.readers.append(reader)
    index = told = offset = 0

    def is_wanted(event: Event) -> bool:
        nonlocal offset
        offset = event.offset or offset
        if after is None:
            return index >= live.first
        return offset > after or (offset == after and not event.offset)  # what has no number stands after the last

    try:
        while True:
            was_closed = live.is_closed
            journal = await store.read(run_id, index)
            if index == 0:
                story.under(journal)
            for record in journal.records:
                parsed = decode(record, run_id)
                shown = reader.take(index, story)
                told += sum(event.offset > 0 for event in shown)
                for event in (*shown, *story.tell(parsed, told)):
                    if is_wanted(event):
                        yield event
                index, told = index + 1, 0
                if parsed["kind"] == "end" and index > live.first:
                    return
            for event in reader.take(index, story):
                told += event.offset > 0
                if is_wanted(event):
                    yield event
            if was_closed:
                return
            await reader.changed.wait()
            reader.changed = anyio.Event()
    finally:
        live.readers.remove(reader)


async def follow_stored(
    story: Story, store: Checkpointer, run_id: str, *, after: int, waits: bool
) -> AsyncGenerator[Event, None]:
    """Yield the events of a run of any process with offsets above `after`, up to the newest end that it has.

    Without an end it goes on for as long as nobody saves one, unless it `waits` for nothing.
    """
    index = 0
    while True:
        journal = await store.read(run_id, index)
        if index == 0:
            story.under(journal)
        for record in journal.records:
            for event in story.tell(decode(record, run_id)):
                if event.offset > after:
                    yield event
        index = journal.head
        if journal.status != "running" or not waits:
            return
        await anyio.sleep(_POLL_S)
