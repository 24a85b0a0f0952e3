"""What a running step asks of its run: effects at most once, answers, times that stay as they were."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Literal, NoReturn

import anyio
from pydantic_core import from_json

from loom.core.context import Context, Effect
from loom.core.node import EFFECTS
from loom.core.plan import Task
from loom.core.result import Ask
from loom.core.values import Values
from loom.core.walk import Branch
from loom.errors import AnswerError, ConfigError, EffectError, LoomError, ProviderUnavailableError, error_text, short
from loom.runs.notes import Effect as Saved
from loom.runs.notes import Notes, branch_of, path_of
from loom.runs.past import Past
from loom.runs.run import Run
from loom.runs.wanted import Question, event_of, question_of, result_of, text_of
from loom.types.annotations import type_name
from loom.types.calling import call_off_loop
from loom.types.events import Event
from loom.types.models import Emit, Model, ModelRef, ModelReply, ModelRequest
from loom.types.saving import first_finding

# Any, in this module: what effects return and asks are answered, whose types are the node's own.


# By how much the clock of the run may be behind that which cut the call off.
_CLOCKS_DIFFER_S = 0.01


class Paused(BaseException):
    """Unwinds a node that waits for an answer, or that a limit stops.

    Not an Exception, so that a node does not catch it by accident.
    """


class OutOfTime(Paused):
    """Unwinds a node whose call of a model was cut off at the run's deadline."""


class UntilDeadline:
    """A model in a run with a deadline: a call that is cut off once it has passed ends the run as planned."""

    def __init__(self, model: Model, run: Run, desk: "Desk") -> None:
        self._model = model
        self._run = run
        self._desk = desk

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Return the model's reply. Raises what the model raises; once the deadline has passed, `OutOfTime`."""
        try:
            return await self._model.complete(request, emit)
        except ProviderUnavailableError as error:
            if (self._desk.remaining_s() or 0) > _CLOCKS_DIFFER_S:
                raise
            self._run.stop_reason = self._run.stop_reason or "deadline"
            self._desk.is_stopped = True
            raise OutOfTime(str(error)) from error


class Desk(Context):
    """The context of one visit of one node, at one attempt, until the node has returned: then it `is_over`.

    `timeout_scope` is there if the node has a timeout. The node `is_stopped` once a limit was met in it; what it gives
    `is_of_this_run` alone once it has asked or told something.
    """

    __slots__ = (
        "_branch", "_outer_place", "_past", "_random", "_run", "_saved_times", "_task", "_told", "_used",
        "is_of_this_run", "is_over", "is_stopped", "timeout_scope",
    )  # fmt: skip

    def __init__(self, run: Run, past: Past, branch: Branch, task: Task, place: str, attempt: int) -> None:
        self.run_id = run.run_id
        self.node = path_of(past.hops, task.name)
        self.branch = branch_of(past.hops, branch.id)
        self.visit = past.walk.visit(branch)
        self.attempt = attempt
        self.deadline = run.deadline
        self.tools = run.tools
        self.resources = run.resources
        self.spent = None
        self.timeout_scope: anyio.CancelScope | None = None
        self.is_over = self.is_stopped = self.is_of_this_run = False
        self._run = run
        _ = run.home  # of this thread, before the node is in another
        self._past = past
        self._branch = branch
        self._task = task
        self._outer_place = place
        self._used: set[tuple[str, str]] = set()
        self._told = 0
        self._random: random.Random | None = None
        notes = past.notes.get(branch.id)
        self._saved_times = len(notes.times) if notes else 0

    @property
    def is_left(self) -> bool:
        """Tell whether the step cannot be finished now, also where the node swallowed what unwound it."""
        return self.is_stopped or (bool(self._past.notes) and self._past.waits_for_answer(self._branch))

    # What few nodes need is worked out when it is asked for.

    @property
    def _notes(self) -> Notes:
        if self.is_over:  # the notes of the branch are those of another step by now
            raise LoomError(
                f'node "{self.node}" has returned, and what it left behind goes on; let it await what it begins'
            )
        return self._past.notes_of(self._branch.id)

    @property
    def _place(self) -> str:
        return f"{self._outer_place}{self._branch.place}"

    def client(self, ref: ModelRef) -> Model:
        """Return the model that the runtime has for `ref`."""
        model = self._run.model(ref)
        return model if self.deadline is None else UntilDeadline(model, self._run, self)

    def emit(self, event: Event) -> None:
        """Show an event, and save it with the next record."""
        self._run.emit(event if event.__class__ is Event else event_of(self.node, event))
        self.is_of_this_run |= event.type != "model.finished"

    def emit_live(self, event: Event) -> None:
        """Show an event to those who read now."""
        self._run.emit_live(event_of(self.node, event))

    def now(self) -> float:
        """Return the time; when the step is run again, the same times in the same order."""
        times = self._notes.times
        if self._told == len(times):
            times.append(self._run.clock())
        self._told += 1
        return times[self._told - 1]

    def remaining_s(self) -> float | None:
        """Return the seconds left until the run's deadline, at least 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - self._run.clock())

    def stop(self, reason: str) -> NoReturn:
        """Unwind the node, and end this walk of the run as a limit does."""
        said_why = self._run.secrets.clean(text_of(reason, f'the reason of a stop of node "{self.node}"'))
        if not said_why.strip():
            raise LoomError(f'node "{self.node}" stops the run without a reason; say which, as in ctx.stop("too_long")')
        self._run.stop_reason = self._run.stop_reason or said_why
        self.is_stopped = True
        raise Paused

    @property
    def random(self) -> random.Random:
        """Random numbers that are the same whenever this visit is run again."""
        if self._random is None:
            seed = f"{self.run_id}:{self.node}:{self._place}"
            self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        return self._random

    def idempotency_key(self, key: str) -> str:
        """Return a key that is the same for every attempt at this effect, in every process."""
        key = self._run.secrets.clean(text_of(key, f'the key of an idempotency_key of node "{self.node}"'))
        saved = self._notes.effects.get(key)
        return saved.id if saved and saved.id else self._hash("effect", key)

    async def ask(
        self,
        question: str,
        *,
        answer_type: Any = str,
        key: str | None = None,
        kind: Literal["ask", "approve"] = "ask",
        payload: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the answer to a question, or pause the run until there is one."""
        asked = question_of(self.node, question, answer_type, key, kind, payload)
        return await self._as_asked(asked, await self._answer(asked))

    async def once(
        self,
        key: str,
        fn: Callable[..., Any],
        *arguments: Any,
        idempotent: bool = False,
        effect: Effect | None = None,
        result_type: Any = None,
    ) -> Any:
        """Call a function at most once in the life of the run, or ask."""
        if key.__class__ is not str or not key.isascii():
            key = text_of(key, f'the key of a once of node "{self.node}"')
        key = self._run.secrets.clean(key)  # as it will be read back
        self._use("once", key)
        rank = self._task.effect if effect is None else self._rank(effect, key)
        values = result_of(fn, result_type, f'once("{key}") of node "{self.node}"')
        saved = self._notes.effects.get(key)
        if saved and saved.state == "done":
            return values.restore(from_json(saved.result))
        is_write = rank == len(EFFECTS) - 1
        if saved and saved.state == "in_doubt" and is_write and not idempotent:
            choice, given = await self._in_doubt(key, saved.intents, values)
            if choice != "retry":
                return given
        if is_write:  # anything else is called again, with an intent or without
            own_id = self.idempotency_key(key)
            await self._note({"kind": "intent", "key": key, "id": own_id})
            self._notes.effects[key] = Saved(intents=saved.intents + 1 if saved else 1, id=own_id)
        return await self._call(key, partial(call_off_loop, fn, *arguments), values, is_write=is_write)

    def _rank(self, effect: Effect, key: str) -> int:
        """Return how great an effect is."""
        declared = self._task.effect
        if effect not in EFFECTS:
            known = ", ".join(f'"{one}"' for one in EFFECTS)
            raise ConfigError(
                f'once("{key}") of node "{self.node}" has the effect {short(effect)}; expected one of {known}'
            )
        rank = EFFECTS.index(effect)
        if rank > declared:
            raise EffectError(
                f'node "{self.node}" declares the effect "{EFFECTS[declared]}", but its once("{key}") has '
                f'"{effect}"; declare the greater one on the node, so that the graph can be checked for it'
            )
        return rank

    async def _call(self, key: str, call: Callable[[], Awaitable[Any]], values: Values, *, is_write: bool) -> Any:
        cancelled: asyncio.CancelledError | None = None
        try:
            if is_write:
                ended, cancelled = await self._see_through(call)
                returned = ended.result()
            else:
                returned = await call()
        except (Exception, OutOfTime) as error:
            # What is known is set before it is saved, which is carried out even if this task is cancelled meanwhile.
            self._effect(key).state = "failed"
            await self._note({"kind": "effect", "key": key, "error": error_text(error)})
            if cancelled:
                raise cancelled from error
            raise
        try:
            value, text = values.settle(returned)
        except ValueError as error:
            # The effect happened, so it stays in doubt: nobody calls it again without being asked.
            raise LoomError(
                f'once("{key}") gave {short(returned)}, which is no {type_name(values.type)} that can be saved: '
                f"{first_finding(error)}; say result_type=, or return plain data"
            ) from None
        text = self._run.secrets.clean_json(text)
        effect = self._effect(key)
        effect.state, effect.result = "done", text
        await self._note({"kind": "effect", "key": key}, b',"result":' + text)
        if cancelled:
            raise cancelled
        return values.load_json(text) if self._run.secrets else value

    def _effect(self, key: str) -> Saved:
        return self._notes.effects.setdefault(key, Saved())

    async def _see_through(
        self, call: Callable[[], Awaitable[Any]]
    ) -> tuple[asyncio.Future[Any], asyncio.CancelledError | None]:
        """Call a function that writes; return the call, which is over, and the cancellation that came meanwhile.

        When the run is cancelled the function gets `grace_s` to end, after a timeout of the node it
        gets none. If it has not ended by then it is cancelled, and the effect stays in doubt.
        """
        task = asyncio.ensure_future(call())
        over = asyncio.Event()
        task.add_done_callback(lambda _: over.set())
        try:
            await over.wait()  # not the task itself, which would be cancelled with us
        except asyncio.CancelledError as cancelled:
            try:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait(
                        {task},
                        timeout=0 if self.timeout_scope and self.timeout_scope.cancel_called else self._run.grace_s,
                    )
                    if task.done():
                        return task, cancelled
                    task.cancel()
                    await asyncio.wait({task})
            finally:
                task.cancel()  # if the waiting itself was cut off
            raise
        return task, None

    async def _in_doubt(self, key: str, intents: int, values: Values) -> tuple[str, Any]:
        """Return what was decided: `retry`, `skip`, or `result` and the result."""
        question = f'Did "{key}" of node "{self.node}" happen? The run was cut off while it was under way.'
        ask_key = f"in_doubt:{key}:{intents}"
        where = f'once("{key}") of node "{self.node}"'
        asked = Question(where, question, ask_key, values, "in_doubt", {"effect": key})
        choice, *given = await self._answer(asked)
        return choice, await self._as_asked(asked, given[0]) if given else None

    async def _answer(self, asked: Question) -> Any:
        """Return the JSON of an answer; without one open the ask, once, and unwind the node."""
        question, key = self._run.secrets.clean([asked.text, asked.key])  # as they will be read back
        self._use("ask", key)
        self.is_of_this_run = True
        ask = self._notes.asks.get(key)
        if ask is None:
            ask = Ask(
                id=self._hash("ask", key)[:16],
                kind=asked.kind,
                key=key,
                question=question,
                node=self.node,
                branch=self.branch,
                answer_type=asked.schema(),
                payload=self._run.secrets.clean(asked.payload),
            )
            await self._open(ask)
        if ask.id not in self._run.totals.answers:
            raise Paused
        return self._run.totals.answers[ask.id]

    async def _as_asked(self, asked: Question, answer: Any) -> Any:
        """Return an answer as a value of the type that was asked for; one that is none is asked for again."""
        try:
            return asked.values.read(answer)
        except Exception as error:  # a validator of the user's may raise anything
            ask = self._notes.asks[self._run.secrets.clean(asked.key)]
            refused = AnswerError(
                f'ask "{ask.id}" ("{ask.question}") of node "{ask.node}" wants {type_name(asked.values.type)}, '
                f"got {short(answer)}: {first_finding(error)}; it is open again"
            )
            refused.__cause__ = error
            self._run.totals.refused.append(refused)
            await self._open(ask)
            raise Paused from error

    async def _open(self, ask: Ask) -> None:
        # It is known before it is saved: the node may have returned by then, and waits all the same.
        self._notes.asks[ask.key] = ask
        self._run.totals.asked(ask)
        names = ("id", "key", "question", "answer_type", "payload")
        with anyio.CancelScope(shield=True):  # of several asks of one node the first pauses it, and all are opened
            await self._note({"kind": "ask", "ask": ask.kind} | {name: getattr(ask, name) for name in names})

    async def _note(self, record: dict[str, Any], more: bytes = b"") -> None:
        record |= {"node": self._task.name, "branch": self._branch.id}
        if self._past.hops:
            record["in"] = self._past.hops
        await self._run.note(record | self.unsaved_times(), more)

    def unsaved_times(self) -> dict[str, list[float]]:
        """Return what the next record of this step has to hold of `now`."""
        notes = self._past.notes.get(self._branch.id)
        if notes is None or len(notes.times) == self._saved_times:
            return {}
        unsaved = notes.times[self._saved_times :]
        self._saved_times += len(unsaved)
        return {"times": unsaved}

    def _use(self, what: str, key: str) -> None:
        if (what, key) in self._used:
            raise LoomError(f'node "{self.node}" uses the key "{key}" twice in one visit; give each {what} its own')
        self._used.add((what, key))

    def _hash(self, *parts: str) -> str:
        path = path_of(self._past.hops, self._task.name)  # not what the node could make of its own
        return hashlib.sha256("\0".join([self._run.run_id, path, self._place, *parts]).encode()).hexdigest()[:32]
