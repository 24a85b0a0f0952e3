"""What a session remembers: the completed runs whose ids begin with its own, in the order they were begun."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from threading import Lock

from loom.core.journal import Checkpointer
from loom.core.runtime import Runtime
from loom.graphs.agent import AgentState
from loom.runs.app import CompiledGraph
from loom.runs.inputs import new_run_id
from loom.runtime.records import FALLBACK
from loom.types.messages import Message

REMEMBERED_RUNS = 1000  # what was said in more is read from the store again


@dataclass(frozen=True, slots=True)
class Opening:
    """How a new run finds its session: which number it has there, since when the session goes, what was said in it."""

    number: int
    began_at: float
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class _Said:
    """What was said in one run of a session: its place in it, by number and id, and when it began.

    One that `began_anew` tells by a handoff what was said before it.
    """

    place: tuple[int, str]
    at: float
    messages: tuple[Message, ...]
    began_anew: bool


class Memory:
    """The sessions of an agent in its store. Any number of threads may ask at once.

    A session begins with the first run that it remembers. The first run that is begun more than `ttl_s` later begins
    it anew, and remembers nothing from before. Where `is_on` is false nothing is remembered.
    """

    def __init__(self, app: CompiledGraph[AgentState], *, is_on: bool, namespace: str | None, ttl_s: float) -> None:
        self.is_on = is_on
        self._app = app
        self._namespace = namespace
        self._ttl_s = ttl_s
        self._said: dict[str, _Said] = {}
        self._guard = Lock()

    def run_id(self, session_id: str | None) -> str:
        """Return an id for a new run."""
        return new_run_id() if session_id is None else f"{self._prefix(session_id)}:{new_run_id()}"

    def _prefix(self, session_id: str) -> str:
        # A "/" in a name is written otherwise, so that no two pairs of names look alike.
        names = [self._namespace, session_id] if self._namespace else [session_id]
        return "/".join(name.replace("%", "%25").replace("/", "%2F") for name in names)

    async def opening(self, store: Checkpointer, session_id: str | None, now: float) -> Opening:
        """Return how a run that is begun now finds its session."""
        said = await self._remembered(store, session_id or "")
        began_at, messages = self._as_of(said, now)
        return Opening(said[-1].place[0] + 1 if said else 1, began_at, messages)

    async def before(self, store: Checkpointer, session_id: str, run_id: str) -> list[Message]:
        """Return what was said in the session before this run of it."""
        this = await self._said_in(store, run_id)
        said = [one for one in await self._remembered(store, session_id) if one.place < this.place]
        return self._as_of(said, this.at)[1]

    def is_over(self, began_at: float, now: float) -> bool:
        """Tell whether a session that began then is too old to go on."""
        return now - began_at > self._ttl_s

    def _as_of(self, said: Sequence[_Said], now: float) -> tuple[float, list[Message]]:
        """Return since when the session goes that a run of this time belongs to, and what was said in it."""
        began_at, messages = now, list[Message]()
        for number, one in enumerate(said):
            if not number or self.is_over(began_at, one.at):
                began_at, messages = one.at, []
            if one.began_anew:
                messages = []
            messages += one.messages
        return (now, []) if self.is_over(began_at, now) else (began_at, messages)

    async def _remembered(self, store: Checkpointer, session_id: str) -> list[_Said]:
        """Return what was said in the completed runs of a session, in their order, where a model replied."""
        if not session_id or not self.is_on:
            return []
        prefix, found = self._prefix(session_id), list[_Said]()
        for run in await store.runs(graph=self._app.name, status="completed"):
            if run.run_id.rpartition(":")[0] == prefix:
                with self._guard:
                    said = self._said.get(run.run_id)
                found.append(said or await self._said_in(store, run.run_id))
        with self._guard:
            self._said |= {one.place[1]: one for one in found}
            while len(self._said) > REMEMBERED_RUNS:
                del self._said[next(iter(self._said))]
        return sorted((one for one in found if one.messages), key=attrgetter("place"))

    async def _said_in(self, store: Checkpointer, run_id: str) -> _Said:
        reading = Runtime(checkpointer=store)
        (begin, *_) = await self._app.history(run_id, runtime=reading)
        state = await self._app.state(run_id, runtime=reading)
        # As the model saw it last: what was put aside for want of room stays aside.
        messages = () if state.finish_reason == FALLBACK else state.edits.view((), state.messages)
        return _Said((state.number, run_id), begin.at, messages, began_anew=state.edits.handoff is not None)
