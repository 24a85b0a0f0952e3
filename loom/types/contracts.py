"""What a sprint agrees on, how it was judged, and what came of it."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SprintContract(BaseModel):
    """What one sprint must achieve, agreed on before it begins.

    `sprint` counts from 1. `eval_tools` names what decides by being run; everything else is judged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sprint: int = Field(ge=1)
    goal: str
    criteria: tuple[str, ...]
    eval_tools: tuple[str, ...] = ()

    def numbered(self) -> Iterator[tuple[str, str]]:
        """Yield each criterion with its id: `c1`, `c2`, … in the contract's order."""
        for number, criterion in enumerate(self.criteria, start=1):
            yield f"c{number}", criterion


class Verdict(BaseModel):
    """Whether one criterion is met, and what shows it.

    `evidence` is what was seen: the quoted output, or an exit status and a count of tests. `critique` is what to do
    better.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    criterion: str
    passed: bool
    evidence: str
    critique: str = ""
    decided_by: Literal["check", "judge"] = "judge"


class SprintResult(BaseModel):
    """One sprint: what was produced under which contract, and the verdict on it.

    With `error` set to `evaluator_error` the evaluator gave no usable verdict: the judged criteria have none, and the
    sprint has not passed. `refused` says which files could not be written, and why. `handoff` is there for sprints in
    which a context was renewed; no part of Loom renews one yet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sprint: int = Field(ge=1)
    passed: bool
    output: str
    critique: str
    contract: SprintContract
    verdicts: tuple[Verdict, ...] = ()
    refused: tuple[str, ...] = ()
    handoff: None = None
    error: Literal["evaluator_error"] | None = None

    @property
    def met(self) -> int:
        """How many criteria were met."""
        return sum(verdict.passed for verdict in self.verdicts)

    @property
    def failing(self) -> frozenset[str]:
        """The criteria that were not met, those without a verdict included."""
        return frozenset(self.contract.criteria) - {v.criterion for v in self.verdicts if v.passed}

    def came_out_as(self, other: "SprintResult") -> bool:
        """Tell whether both have the same output and fail the same criteria in the same way."""
        return (self.output, self.failing, self.error) == (other.output, other.failing, other.error)
