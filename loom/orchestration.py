"""The harness as one call: a thin face over `loom.graphs.harness`."""

import contextlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import anyio
import anyio.to_thread

from loom.core.result import GraphResult
from loom.core.runtime import Runtime
from loom.errors import ConfigError, LoomError, ProviderError, short
from loom.graphs.harness import HarnessState, harness
from loom.runs.app import CompiledGraph
from loom.runs.handle import GraphRun
from loom.tools.checks import checked, refuse_missing, refuse_no_folder
from loom.tools.workspace import guarded_files
from loom.types.absent import refused_import
from loom.types.contracts import SprintContract, SprintResult
from loom.types.events import Event
from loom.types.given import check_kind
from loom.types.models import Emit, Model, ModelRef, ModelReply, ModelRequest
from loom.types.usage import Usage

__all__ = ["AgentHarness", "GeneratorEvaluatorLoop", "HarnessResult", "SprintContract", "SprintResult"]

if not TYPE_CHECKING:  # for type checkers what is not here is an error as anywhere

    def __getattr__(name: str) -> object:
        raise refused_import(__name__, name)


SPRINT_EVENTS = frozenset({"sprint.passed", "sprint.failed"})


@runtime_checkable
class Manager(Protocol):
    """Anything that does what a prompt says, such as an agent: its result is a text, or has one as `output`."""

    # Any: each kind of manager has a result of its own.
    async def run(self, prompt: str, /) -> Any:  # noqa: ANN401
        """Do what the prompt says."""
        ...


Worker = ModelRef | Model | Manager


class EventBus(Protocol):
    """Anything that takes events, sync or async."""

    def publish(self, event: Event, /) -> object:
        """Take an event."""
        ...


@dataclass(frozen=True, slots=True)
class HarnessResult:
    """What a harness run came to.

    `output` is that of the best sprint, whose number is `best_sprint`: one that passed, else the one with the most
    criteria met, the earlier on a tie. `critique` is the last evaluator's. A workspace holds the files of the last
    sprint. `stop_reason` is `passed`, `max_sprints`, `stalled`, `not_judged` (there was no evaluator and no check) or
    a limit of the runtime.
    """

    spec: str
    output: str
    passed: bool
    sprints: int
    critique: str
    sprint_results: list[SprintResult] = field(default_factory=list[SprintResult])
    best_sprint: int = 0
    stop_reason: str = ""
    run_id: str = ""
    usage: Usage = field(default_factory=Usage)


class AgentHarness:
    """Plan, then let a generator work and an evaluator judge, sprint by sprint.

    `generator`, `evaluator` and `planner` are each a `ModelRef`, a model, or anything with `async run(prompt)`. Without
    `evaluator` only `checks` judge, without these nobody does; without `planner` the brief is the specification.
    `checks`, `workspace` and `check_timeout_s` are those of `loom.graphs.harness`. `event_bus` is told `sprint.passed`
    and `sprint.failed`. A run can be resumed where the runtime's checkpointer outlives the process.

    Raises:
        ConfigError: a setting is of the wrong kind, a check's program is not installed, or `workspace` is no folder.
    """

    def __init__(
        self,
        generator: Worker,
        evaluator: Worker | None = None,
        planner: Worker | None = None,
        max_sprints: int = 5,
        event_bus: EventBus | None = None,
        checks: Mapping[str, Sequence[str]] | None = None,
        workspace: str | PathLike[str] | None = None,
        check_timeout_s: float = 60.0,
        runtime: Runtime | None = None,
    ) -> None:
        models: dict[str, Model] = {}
        if runtime is not None:
            check_kind("AgentHarness(runtime=…)", runtime, Runtime)
        if event_bus is not None and not callable(getattr(event_bus, "publish", None)):
            raise ConfigError(f"AgentHarness(event_bus=…) must have a method publish(event); got {short(event_bus)}")
        self._checks = checked({} if checks is None else checks)
        self._workspace = workspace
        self._bus = event_bus
        self._app = harness(
            _ref("generator", generator, models),
            _ref("evaluator", evaluator, models) if evaluator is not None else None,
            _ref("planner", planner, models) if planner is not None else None,
            max_sprints=max_sprints,
            checks=checks,
            workspace=workspace,
            check_timeout_s=check_timeout_s,
        ).compile()
        refuse_missing(self._checks)
        refuse_no_folder(workspace or ".")
        refs = [given for given in (generator, evaluator, planner) if isinstance(given, ModelRef)]
        self._runtime = _with_models(runtime or Runtime(), models, refs)

    @property
    def graph(self) -> CompiledGraph[HarnessState]:
        """The compiled graph that a run walks."""
        return self._app

    async def run(self, brief: str, run_id: str | None = None) -> HarnessResult:
        """Work on a brief until it is done, or more sprints would not help.

        Raises:
            RunExistsError: there is a run of this id.
            NodeError: a step failed, as with a model that cannot be reached; `resume` goes on from there.
        """
        inputs: dict[str, object] = {"brief": brief}
        if self._checks:
            folder = self._workspace or "."
            inputs["guarded"] = await anyio.to_thread.run_sync(guarded_files, folder, tuple(self._checks.values()))
        if self._bus is None:
            return self._result(await self._app.run(inputs, run_id=run_id, runtime=self._runtime))
        run = self._app.start(inputs, run_id=run_id, runtime=self._runtime)
        return self._result(await self._told(run, self._bus))

    async def resume(self, run_id: str) -> HarnessResult:
        """Go on with a run after a crash, a failure or a stop; what was finished does not run again.

        The event bus is told of the sprints that were finished here, once the run has ended.

        Raises:
            RunNotFoundError: there is no run of this id.
            NodeError: as `run`.
        """
        before = len((await self._app.state(run_id, runtime=self._runtime)).sprints)
        result = await self._app.resume(run_id, runtime=self._runtime)
        if self._bus is not None:
            events = self._app.events(run_id, runtime=self._runtime)
            told = [event async for event in events if event.type in SPRINT_EVENTS]
            for event in told[before:]:
                await _publish(self._bus, event)
        return self._result(result)

    async def _told(self, run: GraphRun[HarnessState], bus: EventBus) -> GraphResult[HarnessState]:
        """Wait for a run and tell the bus of each sprint as it ends. Cancelling this cancels the run."""
        try:
            async for event in run.events():
                if event.type in SPRINT_EVENTS:
                    await _publish(bus, event)
            return await run.wait()
        except BaseException:
            run.cancel()
            with anyio.CancelScope(shield=True), contextlib.suppress(LoomError):
                await run.wait()
            raise

    def _result(self, result: GraphResult[HarnessState]) -> HarnessResult:
        state = result.state
        best = max(state.sprints, key=lambda sprint: (sprint.passed, sprint.met, -sprint.sprint), default=None)
        return HarnessResult(
            spec=state.spec or state.brief,
            output=best.output if best else state.output,
            passed=state.passed,
            sprints=len(state.sprints) or int(result.status == "completed"),
            critique=state.sprints[-1].critique if state.sprints else "",
            sprint_results=list(state.sprints),
            best_sprint=best.sprint if best else int(result.status == "completed"),
            stop_reason=_stop_reason(result),
            run_id=result.run_id,
            usage=result.usage,
        )


class GeneratorEvaluatorLoop:
    """Let a generator work and an evaluator judge, sprint by sprint: the harness without its planner."""

    def __init__(self, generator: Worker, evaluator: Worker, event_bus: EventBus | None = None) -> None:
        self._generator = generator
        self._evaluator = evaluator
        self._bus = event_bus

    async def run(self, goal: str, max_sprints: int = 5) -> list[SprintResult]:
        """Work on a goal and return every sprint, oldest first. Raises what `AgentHarness.run` raises."""
        harness = AgentHarness(self._generator, self._evaluator, max_sprints=max_sprints, event_bus=self._bus)
        return (await harness.run(goal)).sprint_results


class ManagedModel:
    """A manager as a model: it is told the whole conversation as one prompt."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Let the manager answer. What it used is known where its result has a `usage`.

        Raises:
            ProviderError: the manager says that it failed, its run waits or was cancelled, or its result has no text.
        """
        name = type(self._manager).__name__
        if not all(isinstance(message.content, str) for message in request.messages):
            raise ProviderError(f"{name} takes one text, but was sent content blocks")
        turns = [f"{message.role.capitalize()}:\n{message.text}" for message in request.messages]
        result = await self._manager.run("\n\n".join(turns) if len(turns) > 1 else request.messages[0].text)
        if (error := getattr(result, "error", None)) or getattr(result, "success", True) is False:
            raise ProviderError(f"{name} did not do what was asked of it: {error or 'it gave no reason'}")
        if (state := getattr(result, "state", None)) in ("paused", "cancelled"):
            hint = "; in a harness nobody is asked, so allow what it asks for" if state == "paused" else ""
            raise ProviderError(f"{name} did not come to an end, its run is {state}{hint}")
        text = result if isinstance(result, str) else getattr(result, "output", None)
        if not isinstance(text, str):
            raise ProviderError(f'{name} returned {short(result)}; expected a text, or an object with a text "output"')
        usage, finish_reason = getattr(result, "usage", None), getattr(result, "finish_reason", None)
        return ModelReply(
            text=text,
            usage=usage if isinstance(usage, Usage) else Usage(cost_usd=None),
            finish_reason=finish_reason if isinstance(finish_reason, str) and finish_reason else "stop",
        )


def _ref(role: str, given: Worker, models: dict[str, Model]) -> ModelRef:
    """Return how the graph names a worker; one that is an object goes into `models` under that name."""
    if isinstance(given, ModelRef):
        return given
    ref = ModelRef("given", role)
    if isinstance(given, Model):
        models[ref.identifier] = given
    elif isinstance(given, Manager):
        models[ref.identifier] = ManagedModel(given)
    else:
        raise ConfigError(f"{role} must be a ModelRef, a model, or have async run(prompt); got {short(given)}")
    return ref


def _with_models(runtime: Runtime, models: Mapping[str, Model], refs: Sequence[ModelRef]) -> Runtime:
    """Return the runtime with `models` added to its own; one that has a single model keeps it for `refs`."""
    if not models:
        return runtime
    own = runtime.models or {}
    shared = own if isinstance(own, Mapping) else {ref.identifier: own for ref in refs}
    return replace(runtime, models={**shared, **models})


def _stop_reason(result: GraphResult[HarnessState]) -> str:
    state = result.state
    if result.status != "completed":
        return result.stop_reason or result.status
    if not state.sprints:
        return "not_judged"
    return "passed" if state.passed else "stalled" if state.stalled else "max_sprints"


async def _publish(bus: EventBus, event: Event) -> None:
    answer = bus.publish(event)
    if inspect.isawaitable(answer):
        await answer
