"""Run the user's checks in the workspace, then judge what they leave open."""

from typing import ClassVar

from pydantic import Field

from loom.core.context import Context, Effect
from loom.core.node import Node
from loom.errors import quoted
from loom.nodes.evaluate import Evaluate, EvaluateIn, EvaluateOut, conclude, contract_of
from loom.prompts.judgement import Judgement
from loom.tools.checks import CheckResult, make_workspace, refuse_missing, run_check
from loom.tools.workspace import changed_files
from loom.types.contracts import Verdict
from loom.types.events import Event
from loom.types.models import ModelRef


class EvaluateChecksIn(EvaluateIn):
    """As for `Evaluate`, and the files that checks rely on: their SHA-256 by path."""

    guarded: dict[str, str] = {}


class EvaluateChecks(Node[EvaluateChecksIn, EvaluateOut]):
    """Run `checks`, commands by name, in the folder `workspace`; then ask `model`, if there is one, about the rest.

    A check decides the criterion of its name: no model is asked about it. No check holds once a file that it relies
    on is changed. What is run is the user's command, but it runs what the model wrote, and this is no sandbox.
    """

    kind: ClassVar[str] = "evaluate"
    effect: ClassVar[Effect] = "write"

    model: ModelRef | None
    checks: dict[str, tuple[str, ...]]
    workspace: str
    timeout_s: float = Field(default=60.0, gt=0)

    async def run(self, inputs: EvaluateChecksIn, ctx: Context) -> EvaluateOut:
        """Run each check, one after the other; make up to two model calls."""
        refuse_missing(self.checks)  # the machine may be another than the one where the run was begun
        make_workspace(self.workspace)
        contract = contract_of(inputs, tuple(self.checks))
        checked = [await self.check(key, name, inputs, ctx) for key, name in contract.numbered() if name in self.checks]
        judgement = Judgement()
        if self.model:
            judgement = await Evaluate(model=self.model).judge(inputs, contract, checked, ctx)
        return conclude(inputs, contract, checked, judgement, ctx)

    async def check(self, key: str, name: str, inputs: EvaluateChecksIn, ctx: Context) -> Verdict:
        """Run one check. Guarded files are looked at before and after, for what it runs could change them."""
        result: CheckResult | None = None
        changed = changed_files(self.workspace, inputs.guarded)
        if not changed:
            result = await run_check(name, self.checks[name], cwd=self.workspace, timeout_s=self.timeout_s)
            changed = changed_files(self.workspace, inputs.guarded)
        if result is None or changed:
            result = CheckResult(name, False, f"files that checks rely on were changed: {quoted(changed)}", "")
        ctx.emit(Event(type="check.finished", payload={"name": name, "passed": result.passed, "reason": result.reason}))
        critique = "" if result.passed else f"{result.reason}\n\n{result.output}".strip()
        return Verdict(
            id=key, criterion=name, passed=result.passed, evidence=result.reason, critique=critique, decided_by="check"
        )
