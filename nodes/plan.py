"""Expand a brief into a specification."""

from typing import ClassVar

from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.prompts.template import render
from loom.types.models import ModelRef


class PlanIn(BaseModel):
    """What is wanted, in the user's words."""

    brief: str


class PlanOut(BaseModel):
    """What is wanted, in full."""

    spec: str


class Plan(Node[PlanIn, PlanOut]):
    """Ask `model` for a specification that keeps all that the brief says. An empty reply leaves the brief as it is."""

    kind: ClassVar[str] = "plan"
    effect: ClassVar[Effect] = "model"

    model: ModelRef

    async def run(self, inputs: PlanIn, ctx: Context) -> PlanOut:
        """Make one model call."""
        prompt = render("loom.nodes", "prompts/plan.j2", {"brief": inputs.brief})
        reply = await ctx.model(self.model).complete(prompt)
        return PlanOut(spec=reply.text.strip() or inputs.brief)
