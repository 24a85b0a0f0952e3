"""Make the tool calls that were allowed."""

from typing import ClassVar

import anyio
from pydantic import BaseModel, Field

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.errors import ToolPermissionError
from loom.tools.door import Door, as_door
from loom.types.decisions import Decision, ToolRun
from loom.types.events import Event
from loom.types.messages import ToolResult


class ActIn(BaseModel):
    """What was decided of each wanted call, and the digests of those that a person approved."""

    decisions: tuple[Decision, ...]
    approved: tuple[str, ...] = ()


class ActOut(BaseModel):
    """What came of each call, in their order; the whole of outputs that were too long, by reference."""

    results: tuple[ToolResult, ...]
    kept: dict[str, str]


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
        """Make each allowed call once."""
        door = as_door(ctx.tools)
        done: dict[int, ToolRun] = {}
        safe: list[int] = []
        for number, decision in enumerate(inputs.decisions):
            refusal = _refusal(decision, inputs.approved)
            if refusal:
                done[number] = _refused(decision, refusal)
            elif door[decision.tool].concurrency_safe:
                safe.append(number)
            else:
                await self._together(safe, inputs.decisions, door, done, ctx)
                safe = []
                done[number] = await _made(number, decision, door, ctx)
        await self._together(safe, inputs.decisions, door, done, ctx)
        runs = [done[number] for number in range(len(inputs.decisions))]
        kept = {ref: text for run in runs for ref, text in run.kept.items()}
        return ActOut(results=tuple(run.result for run in runs), kept=kept)

    async def _together(
        self, numbers: list[int], decisions: tuple[Decision, ...], door: Door, done: dict[int, ToolRun], ctx: Context
    ) -> None:
        if len(numbers) <= 1:
            for number in numbers:
                done[number] = await _made(number, decisions[number], door, ctx)
            return
        room = anyio.Semaphore(self.max_concurrency)

        async def make(number: int) -> None:
            async with room:
                done[number] = await _made(number, decisions[number], door, ctx)

        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(make, number)


def _refusal(decision: Decision, approved: tuple[str, ...]) -> str:
    if decision.outcome == "deny":
        return decision.reason
    if decision.outcome == "ask" and decision.digest not in approved:
        return f'the call of tool "{decision.tool}" needs a permission that nobody gave'
    return ""


def _refused(decision: Decision, why: str) -> ToolRun:
    return ToolRun(result=ToolResult(tool_call_id=decision.call_id, content=why, is_error=True))


async def _made(number: int, decision: Decision, door: Door, ctx: Context) -> ToolRun:
    """Make one call, once; what came of it is an event."""
    tool = door[decision.tool]
    about: dict[str, object] = {"tool": decision.tool, "call": decision.call_id}
    ctx.emit(Event(type="tool.started", payload=about | {"arguments": dict(decision.arguments)}))

    async def call() -> ToolRun:
        try:
            return await door.run(decision, run_id=ctx.run_id)
        except ToolPermissionError as error:
            return _refused(decision, str(error))

    made: ToolRun | None = await ctx.once(
        f"{number}: {decision.tool}", call, idempotent=tool.idempotent, effect=tool.effect, result_type=ToolRun
    )
    # None where whoever was asked about a call in doubt said to skip it.
    run = made or _refused(decision, f'the call of tool "{decision.tool}" was skipped')
    about |= {"is_error": run.result.is_error, "content": run.result.text}
    ctx.emit(Event(type="tool.finished", payload=about | ({"notes": list(run.notes)} if run.notes else {})))
    return run
