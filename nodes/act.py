"""Make the tool calls that were allowed."""

from collections.abc import Iterator
from typing import ClassVar

import anyio
from pydantic import BaseModel, Field
from pydantic_core import to_json

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.errors import ToolNotFoundError, ToolPermissionError, quoted
from loom.tools.door import Door, as_door
from loom.types.assembly import unchecked
from loom.types.decisions import Decision, ToolRun
from loom.types.events import happened
from loom.types.messages import ToolResult
from loom.types.tools import Tool

SHOWN = 200  # characters of a call's arguments, as JSON, in the question whether it happened


class ActIn(BaseModel):
    """What was decided of each wanted call, and the digests of those that a person approved."""

    decisions: tuple[Decision, ...]
    approved: tuple[str, ...] = ()


class ActOut(BaseModel):
    """What came of each call, in their order; the whole of outputs that were too long, by reference."""

    results: tuple[ToolResult, ...]
    kept: dict[str, str]


_told, _out = unchecked(ToolRun), unchecked(ActOut)


class Act(Node[ActIn, ActOut]):
    """Make the allowed calls through the door of the runtime's tools. Every call gets a result.

    Calls that are safe beside others run at once, at most `max_concurrency`; the rest one after the other. A call that
    was forbidden or fails has a result that is an error, so that the model can go on. After a crash finished calls are
    not made again, those of idempotent tools or that write nothing are, and about any other the run pauses and asks.
    """

    kind: ClassVar[str] = "act"
    effect: ClassVar[Effect] = "write"

    max_concurrency: int = Field(default=8, ge=1)

    async def run(self, inputs: ActIn, ctx: Context) -> ActOut:
        """Make each allowed call once.

        Raises:
            ToolNotFoundError: a tool whose call was allowed is not there any more, as after a resume without it.
        """
        turn = _Turn(inputs, as_door(ctx.tools), ctx)
        for numbers in turn.rounds():
            if len(numbers) == 1:
                await turn.make(numbers[0])
                continue
            room = anyio.CapacityLimiter(self.max_concurrency)
            async with anyio.create_task_group() as group:
                for number in numbers:
                    group.start_soon(turn.make_when, room, number)
        runs = [turn.done[number] for number in range(len(inputs.decisions))]
        kept = {ref: text for run in runs for ref, text in run.kept.items()}
        return _out(results=tuple([run.result for run in runs]), kept=kept)


class _Turn:
    """The calls of one turn: what was decided of each, and, by its number, what came of it."""

    def __init__(self, inputs: ActIn, door: Door, ctx: Context) -> None:
        self.done: dict[int, ToolRun] = {}
        self._inputs = inputs
        self._door = door
        self._ctx = ctx

    def rounds(self) -> Iterator[list[int]]:
        """Yield the numbers of the calls to make: neighbours that are safe beside others together. Refuse the rest."""
        together: list[int] = []
        for number, decision in enumerate(self._inputs.decisions):
            refusal = _refusal(decision, self._inputs.approved)
            if refusal:
                self.done[number] = _refused(decision, refusal)
            elif self._tool(decision).concurrency_safe:
                together.append(number)
            else:
                yield from [together] * bool(together)
                together = []
                yield [number]
        yield from [together] * bool(together)

    async def make_when(self, room: anyio.CapacityLimiter, number: int) -> None:
        """Make one call when there is room."""
        async with room:
            await self.make(number)

    async def make(self, number: int) -> None:
        """Make one call, once. Its events are saved together with its result, so they are told once as well."""
        decision = self._inputs.decisions[number]
        tool = self._tool(decision)

        async def call() -> ToolRun:
            run = await self._called(decision)
            return _told(result=run.result, kept=run.kept, notes=run.notes, is_told=True)

        key = _key(number, decision)
        made: ToolRun | None = await self._ctx.once(
            key, call, idempotent=tool.idempotent, effect=tool.effect, result_type=ToolRun
        )
        if made is not None and made.is_told:
            self.done[number] = made
            return
        # The call was in doubt, and whoever was asked said to skip it, or what came of it.
        answer = made or _refused(decision, f'the call of tool "{decision.tool}" was skipped')

        async def answered() -> ToolRun:
            self._tell(decision, answer)
            return answer

        self.done[number] = await self._ctx.once(f"{key}, as answered", answered, effect="pure", result_type=ToolRun)

    async def _called(self, decision: Decision) -> ToolRun:
        started = {"tool": decision.tool, "call_id": decision.call_id, "arguments": dict(decision.arguments)}
        self._ctx.emit(happened(type="tool.started", payload=started))
        try:
            run = await self._door.run(decision, run_id=self._ctx.run_id)
        except ToolPermissionError as error:
            run = _refused(decision, str(error))
        self._tell(decision, run)
        return run

    def _tell(self, decision: Decision, run: ToolRun) -> None:
        payload: dict[str, object] = {"tool": decision.tool, "call_id": decision.call_id}
        payload |= {"is_error": run.result.is_error, "content": run.result.text}
        if run.notes:
            payload["notes"] = run.notes
        self._ctx.emit(happened(type="tool.finished", payload=payload))

    def _tool(self, decision: Decision) -> Tool:
        if decision.tool not in self._door:
            raise ToolNotFoundError(
                f'the call of tool "{decision.tool}" was allowed, but now there are only {quoted(self._door)}; '
                "resume the run with the tools that it had"
            )
        return self._door[decision.tool]


def _key(number: int, decision: Decision) -> str:
    """Return the name of a call in its turn: who is asked whether it happened is told what was called with what."""
    said = to_json(dict(decision.arguments)).decode() if decision.arguments else ""
    shown = said if len(said) <= SHOWN else f"{said[:SHOWN]}…"
    return f"{number}: {decision.tool} {shown}".rstrip()


def _refusal(decision: Decision, approved: tuple[str, ...]) -> str:
    if decision.outcome == "deny":
        return decision.reason or f'the call of tool "{decision.tool}" was denied'
    if decision.outcome == "ask" and decision.digest not in approved:
        return f'the call of tool "{decision.tool}" needs a permission that nobody gave'
    return ""


def _refused(decision: Decision, why: str) -> ToolRun:
    return ToolRun(result=ToolResult(tool_call_id=decision.call_id, content=why, is_error=True))
