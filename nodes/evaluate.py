"""Judge a sprint's output, criterion by criterion."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from pydantic import BaseModel

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.nodes.negotiate import OF_THE_BRIEF
from loom.prompts.ask import ask
from loom.prompts.judgement import Judgement, judgement_in, verdicts_on
from loom.prompts.template import render
from loom.types.contracts import SprintContract, SprintResult, Verdict
from loom.types.events import Event
from loom.types.models import ModelRef

NO_FILES = "The reply has no file: no fence in it names a path."


class EvaluateIn(BaseModel):
    """What was to be done and what was, and earlier sprints to compare with; `files` is None where none were wanted."""

    brief: str
    spec: str = ""
    contract: SprintContract | None = None
    output: str
    files: tuple[str, ...] | None = None
    refused: tuple[str, ...] = ()
    sprints: tuple[SprintResult, ...] = ()


class EvaluateOut(BaseModel):
    """This sprint; whether it passed; whether it came out as the one before, so that one more would not help."""

    sprints: tuple[SprintResult, ...]
    passed: bool
    stalled: bool


class Evaluate(Node[EvaluateIn, EvaluateOut]):
    """Ask `model` for a verdict on each criterion.

    There must be exactly one entry, with evidence, for each. Otherwise the model is asked once more; after that the
    sprint ends with `evaluator_error`, for no verdict is never a pass.
    """

    kind: ClassVar[str] = "evaluate"
    effect: ClassVar[Effect] = "model"

    model: ModelRef

    async def run(self, inputs: EvaluateIn, ctx: Context) -> EvaluateOut:
        """Make one model call, or two."""
        contract = contract_of(inputs)
        return conclude(inputs, contract, (), await self.judge(inputs, contract, (), ctx), ctx)

    async def judge(
        self, inputs: EvaluateIn, contract: SprintContract, checked: Sequence[Verdict], ctx: Context
    ) -> Judgement:
        """Judge the criteria that are not `checked`."""
        decided = {verdict.id for verdict in checked}
        judged = {key: text for key, text in contract.numbered() if key not in decided}
        if not judged:
            return Judgement()
        variables = {
            "goal": contract.goal,
            "criteria": [{"id": key, "text": text} for key, text in judged.items()],
            "checked": [f"{verdict.criterion}: {verdict.evidence}" for verdict in checked],
            "output": inputs.output,
        }
        prompt = render("loom.nodes", "prompts/evaluate.j2", variables)
        read = partial(judgement_in, contract=contract, judged=judged)
        try:
            return await ask(ctx.model(self.model), prompt, response_type=verdicts_on(tuple(judged)), read=read)
        except ValueError as error:
            return Judgement(problem=f"The evaluator gave no usable verdict: {error}")


def contract_of(inputs: EvaluateIn, checks: Sequence[str] = ()) -> SprintContract:
    """Return the contract with every check among its criteria; where none was negotiated, one made of the goal."""
    agreed = inputs.contract.criteria if inputs.contract else ()
    goal = inputs.contract.goal if inputs.contract else inputs.spec or inputs.brief
    criteria = tuple(dict.fromkeys((*agreed, *checks))) or (OF_THE_BRIEF,)
    number = len(inputs.sprints) + 1
    return SprintContract(sprint=number, goal=goal, criteria=criteria, eval_tools=tuple(checks))


def conclude(
    inputs: EvaluateIn, contract: SprintContract, checked: Sequence[Verdict], judgement: Judgement, ctx: Context
) -> EvaluateOut:
    """Put checks and judgement together. A sprint passes when every criterion is met and every file was written."""
    verdicts = {verdict.id: verdict for verdict in (*checked, *judgement.verdicts)}
    in_order = tuple(verdicts[key] for key, _ in contract.numbered() if key in verdicts)
    passed = len(in_order) == len(contract.criteria) and all(v.passed for v in in_order) and not inputs.refused
    flaws = [*inputs.refused, *(flaw_of(verdict) for verdict in in_order), judgement.critique, judgement.problem]
    if inputs.files == () and not passed and not inputs.refused:
        flaws.insert(0, NO_FILES)
    sprint = SprintResult(
        sprint=contract.sprint,
        passed=passed,
        output=inputs.output,
        critique="\n\n".join(flaw for flaw in flaws if flaw),
        contract=contract,
        verdicts=in_order,
        refused=inputs.refused,
        error="evaluator_error" if judgement.problem else None,
    )
    payload = {"sprint": sprint.sprint, "passed": sprint.passed, "critique": sprint.critique}
    ctx.emit(Event(type="sprint.passed" if sprint.passed else "sprint.failed", payload=payload))
    stalled = not sprint.passed and bool(inputs.sprints) and sprint.came_out_as(inputs.sprints[-1])
    return EvaluateOut(sprints=(sprint,), passed=sprint.passed, stalled=stalled)


def flaw_of(verdict: Verdict) -> str:
    """Say in what a criterion is not met; nothing where it is."""
    if verdict.passed:
        return ""
    return f"{verdict.criterion}: not met. {verdict.critique or verdict.evidence}"
