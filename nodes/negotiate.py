"""Agree on what a sprint must achieve, before it begins."""

from typing import ClassVar

from pydantic import BaseModel, Field

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.prompts.ask import ask
from loom.prompts.reply import read_json
from loom.prompts.template import render
from loom.types.contracts import SprintContract, SprintResult
from loom.types.models import ModelRef

OF_THE_BRIEF = "The output does what the brief asks"


class NegotiateIn(BaseModel):
    """The goal, and how earlier sprints went."""

    brief: str
    spec: str = ""
    sprints: tuple[SprintResult, ...] = ()


class NegotiateOut(BaseModel):
    """What the next sprint must achieve."""

    contract: SprintContract


class Criteria(BaseModel):
    """What the model is asked for."""

    criteria: list[str] = Field(max_length=5)


class Proposed(BaseModel):
    """A criterion that may name the check which decides it."""

    text: str
    check: str | None = None


class Proposal(BaseModel):
    """What is accepted from the model: it may also number its criteria, which the contract does anew."""

    criteria: tuple[str | Proposed, ...] = Field(max_length=20)


class Negotiate(Node[NegotiateIn, NegotiateOut]):
    """Ask `model` for criteria that can be verified; every check in `checks` is one too, whatever the model says.

    Where two replies cannot be read, or name no criterion and there is no check, the one criterion is that the output
    does what the brief asks.
    """

    kind: ClassVar[str] = "negotiate"
    effect: ClassVar[Effect] = "model"

    model: ModelRef
    checks: tuple[str, ...] = ()

    async def run(self, inputs: NegotiateIn, ctx: Context) -> NegotiateOut:
        """Make one model call, or two."""
        goal = inputs.spec or inputs.brief
        last = inputs.sprints[-1] if inputs.sprints else None
        variables = {
            "goal": goal,
            "checks": list(self.checks),
            "criteria": list(last.contract.criteria) if last else [],
            "critique": last.critique if last else "",
        }
        prompt = render("loom.nodes", "prompts/negotiate.j2", variables)
        try:
            proposed = await ask(ctx.model(self.model), prompt, response_type=Criteria, read=self.criteria_in)
        except ValueError:
            proposed = ()
        criteria = tuple(dict.fromkeys((*proposed, *self.checks))) or (OF_THE_BRIEF,)
        number = len(inputs.sprints) + 1
        return NegotiateOut(
            contract=SprintContract(sprint=number, goal=goal, criteria=criteria, eval_tools=self.checks)
        )

    def criteria_in(self, reply: str) -> tuple[str, ...]:
        """Read the criteria out of a reply: one that a check decides goes by the check's name."""
        found: list[str] = []
        for one in read_json(reply, Proposal).criteria:
            text, check = (one, None) if isinstance(one, str) else (one.text, one.check)
            found.append(check if check in self.checks and check else text.strip())
        return tuple(text for text in found if text)
