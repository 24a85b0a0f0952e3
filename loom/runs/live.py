"""Following a run: its saved records as events, and in between what its nodes emit right now."""

from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from pydantic_core import from_json

from loom.core.journal import Checkpointer, decode
from loom.runs.story import Story
from loom.types.events import Event

# Any, in this module: parsed JSON.

_POLL_S = 0.2
_DELTAS = 4096

# An event for record `head`, after the `place` events that are saved before it: itself, or the JSON that is saved.
_Shown = tuple[int, int, Event | bytes]


def _deltas() -> deque[_Shown]:
    return deque(maxlen=_DELTAS)


@dataclass(slots=True)
class Live:
    """What a run shows to readers in its own process. `head` is the index its next record gets.

    `first` is the index of the first record of this walk: what ends before that ended an earlier one.
    `emitted` are the events that wait to be saved with the next record, as its JSON; `deltas` the last of those that
    are not saved. So a reader that comes late misses at most old deltas: what was saved before, the records tell.
    JSON is parsed only where there is a reader. A reader has a queue of its own, so a slow one holds nothing up.
    """

    head: int = 0
    first: int = 0
    emitted: list[bytes] = field(default_factory=list[bytes])
    deltas: deque[_Shown] = field(default_factory=_deltas)
    readers: list["Reader"] = field(default_factory=list["Reader"])
    is_closed: bool = False

    def emit(self, saved: bytes) -> None:
        """Show an event and keep it for the next record."""
        if self.readers:
            self._tell((self.head, len(self.emitted), saved))
        self.emitted.append(saved)

    def show(self, event: Event) -> None:
        """Show an event that is not saved."""
        shown = (self.head, len(self.emitted), event)
        self.deltas.append(shown)
        self._tell(shown)

    def _tell(self, shown: _Shown) -> None:
        for reader in self.readers:
            reader.queue.append(shown)
            reader.changed.set()

    def recent(self) -> list[_Shown]:
        """Return what waits for the next record and the last deltas, in order."""
        waiting = ((self.head, place, saved) for place, saved in enumerate(self.emitted))
        return sorted((*self.deltas, *waiting), key=lambda shown: (shown[0], shown[1], isinstance(shown[2], bytes)))

    def wake(self) -> None:
        """Say that a record was committed."""
        for reader in self.readers:
            reader.changed.set()

    def close(self) -> None:
        """Say that nothing more will come."""
        self.is_closed = True
        self.wake()


class Reader:
    """One reader of a live run. `told` counts the saved events of the record at hand that it was told."""

    def __init__(self, live: Live) -> None:
        self.queue = deque(live.recent())
        self.changed = anyio.Event()
        self.told = 0

    def take(self, index: int, story: Story, saved: Sequence[Mapping[str, Any]] = ()) -> Iterator[Event]:
        """Yield what was shown for record `index`, numbered; drop what is of earlier ones.

        `saved` are the record's events, once it is there: those that came before the reader are told from it. What
        comes after them waits until then.
        """
        queue = self.queue
        while queue and queue[0][0] < index:
            queue.popleft()
        while queue and queue[0][0] == index:
            _, place, event = queue[0]
            if place > max(self.told, len(saved)):
                return
            for one in saved[self.told : place]:
                self.told += 1
                yield story.number(one)
            queue.popleft()
            if isinstance(event, bytes):
                self.told += 1
                yield story.number(from_json(event))
            else:
                yield event

    def tell(self, index: int, story: Story, record: Mapping[str, Any]) -> Iterator[Event]:
        """Yield what is left to tell of record `index`, now that it is there."""
        yield from self.take(index, story, record.get("events", ()))
        yield from story.tell(record, self.told)
        self.told = 0


async def follow(
    story: Story, store: Checkpointer, run_id: str, *, after: int | None, live: Live
) -> AsyncGenerator[Event, None]:
    """Yield the events of a run of this process with offsets above `after`, up to the end of this walk of it.

    None leaves out what earlier walks told.
    """
    reader = Reader(live)
    live.readers.append(reader)
    index = offset = 0

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
                for event in reader.tell(index, story, parsed):
                    if is_wanted(event):
                        yield event
                index += 1
                if parsed["kind"] == "end" and index > live.first:
                    return
            for event in reader.take(index, story):
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
