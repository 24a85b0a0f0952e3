r"""The harness: plan, then sprints of work and judgement, until the work is good or more sprints would not help.

```mermaid
flowchart TD
    accTitle: Graph harness
    START((START)):::terminal
    plan[["<b>plan</b><br/>model"]]:::kind_plan
    negotiate[/"<b>negotiate</b><br/>model"/]:::kind_negotiate
    generate("<b>generate</b><br/>write<br/><i>ungated: confined to the workspace</i>"):::kind_generate
    evaluate[/"<b>evaluate</b><br/>write<br/><i>ungated: runs only the user's checks</i>"\]:::kind_evaluate
    END((END)):::terminal
    START --> plan
    plan --> negotiate
    negotiate --> generate
    generate --> evaluate
    evaluate -->|"<b>1.</b> passed"| END
    evaluate -->|"<b>2.</b> stalled"| END
    evaluate -->|"<b>3.</b> len(sprints) >= 5"| END
    evaluate -.->|"otherwise"| negotiate
    classDef terminal fill:#0f172a,stroke:#0f172a,color:#ffffff
    classDef kind_plan fill:#e0f2fe,stroke:#0284c7,color:#0f172a
    classDef kind_negotiate fill:#cffafe,stroke:#0891b2,color:#0f172a
    classDef kind_generate fill:#dbeafe,stroke:#2563eb,color:#0f172a
    classDef kind_evaluate fill:#fef3c7,stroke:#b45309,color:#0f172a
    classDef ungated stroke:#b91c1c,stroke-dasharray:5 3
    class generate,evaluate ungated
```
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated

from loom.core.declared import END, START
from loom.core.graph import Graph
from loom.core.state import State, append
from loom.errors import ConfigError, short
from loom.nodes.evaluate import Evaluate
from loom.nodes.evaluate_checks import EvaluateChecks
from loom.nodes.generate import Generate
from loom.nodes.generate_files import GenerateFiles
from loom.nodes.negotiate import Negotiate
from loom.nodes.plan import Plan
from loom.tools.checks import checked
from loom.types.contracts import SprintContract, SprintResult
from loom.types.given import check_count, check_seconds
from loom.types.models import ModelRef


class HarnessState(State):
    """One brief and the sprints so far.

    `guarded` holds what must stay as it was when the run began: the SHA-256 of files that the checks rely on, by path.
    """

    brief: str
    guarded: dict[str, str] = {}
    spec: str = ""
    contract: SprintContract | None = None
    output: str = ""
    files: tuple[str, ...] | None = None
    refused: tuple[str, ...] = ()
    sprints: Annotated[tuple[SprintResult, ...], append] = ()
    passed: bool = False
    stalled: bool = False


def harness(
    generator: ModelRef,
    evaluator: ModelRef | None = None,
    planner: ModelRef | None = None,
    *,
    max_sprints: int = 5,
    checks: Mapping[str, Sequence[str]] | None = None,
    workspace: str | PathLike[str] | None = None,
    check_timeout_s: float = 60.0,
) -> Graph[HarnessState]:
    """Make the harness around a generator.

    `checks` are commands by name, each a criterion of every contract; they run in `workspace`, or else in the current
    folder, at most `check_timeout_s` seconds each. With a `workspace` the generator writes files, and only there.
    Without `planner` the brief is the specification. Without `evaluator` the checks alone decide; without checks, too,
    there is one sprint that nobody judges.

    Raises:
        ConfigError: a setting is of the wrong kind, `max_sprints` is below 1, or a check is no command.
    """
    for role, given in {"generator": generator, "evaluator": evaluator, "planner": planner}.items():
        if not isinstance(given, ModelRef) and (given is not None or role == "generator"):
            raise ConfigError(
                f'graph "harness": {role} must be a ModelRef, as ModelRef.parse("openai/gpt-5"); got {short(given)}'
            )
    check_count('graph "harness": max_sprints', max_sprints)
    check_seconds('graph "harness": check_timeout_s', check_timeout_s)
    if workspace is not None and not isinstance(workspace, str | PathLike):
        raise ConfigError(f'graph "harness": workspace must be the path of a folder; got {short(workspace)}')
    commands = checked({} if checks is None else checks)
    folder = str(Path(workspace or ".").absolute())

    graph = Graph("harness", HarnessState)
    if planner:
        graph.node("plan", Plan(model=planner))
    if evaluator:
        graph.node("negotiate", Negotiate(model=evaluator, checks=tuple(commands)))
    if workspace:
        files = GenerateFiles(model=generator, workspace=folder, is_checked=bool(commands))
        graph.node("generate", files, ungated="confined to the workspace")
    else:
        graph.node("generate", Generate(model=generator))
    if commands:
        judge = EvaluateChecks(model=evaluator, checks=commands, workspace=folder, timeout_s=check_timeout_s)
        graph.node("evaluate", judge, ungated="runs only the user's checks")
    elif evaluator:
        graph.node("evaluate", Evaluate(model=evaluator))

    sprint = ["negotiate", "generate"] if evaluator else ["generate"]
    graph.edge(START, *(["plan"] if planner else []), *sprint)
    if commands or evaluator:
        graph.edge("generate", "evaluate")
        ends = {"passed": END, "stalled": END, f"len(sprints) >= {max_sprints}": END}
        graph.switch("evaluate", ends, otherwise=sprint[0])
    else:
        graph.edge("generate", END)
    return graph
