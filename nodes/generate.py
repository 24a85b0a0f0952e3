"""Produce what the contract asks for, as text."""

from typing import ClassVar

from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.prompts.template import render
from loom.tools.workspace import files_in
from loom.types.contracts import SprintContract, SprintResult
from loom.types.models import ModelRef


class GenerateIn(BaseModel):
    """The goal, what the sprint must achieve, and how earlier sprints went."""

    brief: str
    spec: str = ""
    contract: SprintContract | None = None
    sprints: tuple[SprintResult, ...] = ()


class GenerateOut(BaseModel):
    """The reply of the model, whole."""

    output: str


class Generate(Node[GenerateIn, GenerateOut]):
    """Ask `model` for the work, or for better work after a failed sprint. With `in_files` it is to write files."""

    kind: ClassVar[str] = "generate"
    effect: ClassVar[Effect] = "model"

    model: ModelRef
    in_files: bool = False

    async def run(self, inputs: GenerateIn, ctx: Context) -> GenerateOut:
        """Make one model call."""
        last = inputs.sprints[-1] if inputs.sprints else None
        variables = {
            "goal": inputs.spec or inputs.brief,
            "criteria": list(inputs.contract.criteria) if inputs.contract else [],
            "in_files": self.in_files,
            "output": last.output if last else "",
            "files": list(files_in(last.output).files) if last and self.in_files else [],
            "critique": last.critique if last else "",
        }
        prompt = render("loom.nodes", "prompts/generate.j2", variables)
        reply = await ctx.model(self.model).complete(prompt)
        return GenerateOut(output=reply.text)
