"""Ask a person about tool calls that need permission."""

from typing import ClassVar

import anyio
from pydantic import BaseModel, Field

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.nodes.veto import judged
from loom.types.decisions import Decision


class ApproveIn(BaseModel):
    """What was decided of each wanted call."""

    decisions: tuple[Decision, ...]


class ApproveOut(BaseModel):
    """The decisions, those denied now among them, and the digests of those that were approved; no more questions."""

    decisions: tuple[Decision, ...]
    approved: tuple[str, ...]
    open_questions: int


class Approve(Node[ApproveIn, ApproveOut]):
    """Ask about every call in question at once, and wait, durably, until all are answered.

    An approval holds for exactly this call in this run: it is bound to the digest of tool, arguments and run. Where the
    last answer comes later than `expires_s` seconds after the questions, all of them are denials.
    """

    kind: ClassVar[str] = "approve"
    effect: ClassVar[Effect] = "pure"

    expires_s: float = Field(default=86_400.0, gt=0)

    async def run(self, inputs: ApproveIn, ctx: Context) -> ApproveOut:
        """Ask; each denial is an event."""
        asked_at = ctx.now()
        answers: dict[int, bool] = {}
        async with anyio.create_task_group() as group:
            for number, decision in enumerate(inputs.decisions):
                if decision.outcome == "ask":
                    group.start_soon(self._ask, number, decision, answers, ctx)
        is_late = ctx.now() > asked_at + self.expires_s
        decisions = list(inputs.decisions)
        approved: list[str] = []
        for number, is_approved in answers.items():
            if is_approved and not is_late:
                approved.append(decisions[number].digest)
                continue
            why = "the approval came too late" if is_approved else "the call was not approved"
            denied = decisions[number].model_copy(update={"outcome": "deny", "reason": why})
            decisions[number] = denied
            ctx.emit(judged(denied))
        return ApproveOut(decisions=tuple(decisions), approved=tuple(sorted(approved)), open_questions=0)

    async def _ask(self, number: int, decision: Decision, answers: dict[int, bool], ctx: Context) -> None:
        because = f" ({decision.reason})" if decision.reason else ""
        answers[number] = await ctx.ask(
            f'May the tool "{decision.tool}" be called{because}?',
            answer_type=bool,
            key=f"{number}: {decision.digest}",
            kind="approve",
            payload={"tool": decision.tool, "arguments": dict(decision.arguments), "digest": decision.digest},
        )
