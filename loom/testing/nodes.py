"""One node, run by itself: no graph, no store, the same checks as in a run."""

import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NoReturn, overload

from anyio import to_thread
from pydantic import BaseModel, ValidationError

from loom.core.context import Context, Effect
from loom.core.node import FunctionNode, In, Node, Out, P, R
from loom.core.values import Values, values_of
from loom.errors import AnswerError, ConfigError, RunError, did_you_mean, quoted, short
from loom.runs.strict import lossy
from loom.runs.wanted import event_of
from loom.types.calling import call_off_loop
from loom.types.events import Event
from loom.types.models import Model, ModelRef
from loom.types.saving import first_finding
from loom.types.tools import Tool

# Any, in this module: port values, whose types are the node's own.


class _Bench(Context):
    """Stands in for a run: gives models and tools, keeps the events."""

    __slots__ = ("_answers", "_events", "_models", "_random")

    def __init__(
        self,
        node: str,
        model: Model | Mapping[str, Model] | None,
        tools: Mapping[str, Tool],
        resources: Mapping[str, Any],
        answers: Mapping[str, Any],
        events: list[Event],
    ) -> None:
        self.run_id = "test"
        self.node = node
        self.branch = ""
        self.visit = self.attempt = 1
        self.deadline = self.spent = None
        self.tools = tools
        self.resources = resources
        self._models = model
        self._answers = answers
        self._events = events
        self._random = random.Random(self.run_id)  # noqa: S311 - repeatable, not secret

    def client(self, ref: ModelRef) -> Model:
        if isinstance(self._models, Mapping):
            if ref.identifier in self._models:
                return self._models[ref.identifier]
            known = quoted(self._models)
            raise ConfigError(f'run_node was given no model "{ref.identifier}"; it has {known}')
        if self._models is None:
            raise ConfigError(f'the node asks the model "{ref.identifier}"; pass run_node(…, model=ScriptedModel([…]))')
        return self._models

    @property
    def random(self) -> random.Random:
        return self._random

    def emit(self, event: Event) -> None:
        self._events.append(event_of(self.node, event))

    emit_live = emit

    def now(self) -> float:
        return time.time()

    def remaining_s(self) -> float | None:
        return None

    def stop(self, reason: str) -> NoReturn:
        raise RunError(f'the node stopped the run: "{reason}"')

    def idempotency_key(self, key: str) -> str:
        return f"{self.run_id}:{key}"

    async def ask(
        self,
        question: str,
        *,
        answer_type: Any = str,
        key: str | None = None,
        kind: Literal["ask", "approve"] = "ask",
        payload: Mapping[str, Any] | None = None,
    ) -> Any:
        name = key or question
        if name not in self._answers:
            raise ConfigError(f'the node asks "{name}"; pass run_node(…, answers={{"{name}": …}})')
        try:
            return values_of(answer_type).validate(self._answers[name])
        except ValidationError as error:
            raise AnswerError(f'the answer to "{name}" does not fit: {first_finding(error)}') from None

    async def once(
        self,
        key: str,
        fn: Callable[..., Any],
        *arguments: Any,
        idempotent: bool = False,
        effect: Effect | None = None,
        result_type: Any = None,
    ) -> Any:
        return await call_off_loop(fn, *arguments)


@overload
async def run_node(
    node: Node[In, Out],
    inputs: Mapping[str, Any] | BaseModel | None = None,
    *,
    model: Model | Mapping[str, Model] | None = None,
    tools: Mapping[str, Tool] | None = None,
    resources: Mapping[str, Any] | None = None,
    answers: Mapping[str, Any] | None = None,
    events: list[Event] | None = None,
) -> Out: ...
@overload
async def run_node(
    node: FunctionNode[P, R],
    inputs: Mapping[str, Any] | BaseModel | None = None,
    *,
    model: Model | Mapping[str, Model] | None = None,
    tools: Mapping[str, Tool] | None = None,
    resources: Mapping[str, Any] | None = None,
    answers: Mapping[str, Any] | None = None,
    events: list[Event] | None = None,
) -> Any: ...
async def run_node(
    node: Node[Any, Any] | FunctionNode[Any, Any],
    inputs: Mapping[str, Any] | BaseModel | None = None,
    *,
    model: Model | Mapping[str, Model] | None = None,
    tools: Mapping[str, Tool] | None = None,
    resources: Mapping[str, Any] | None = None,
    answers: Mapping[str, Any] | None = None,
    events: list[Event] | None = None,
) -> Any:
    """Run one node on inputs by port name; return what it returned, validated.

    `model` answers for every `ModelRef`, or for those whose identifiers it maps; `tools` and `resources` are those of
    `Runtime`. `answers` are by the keys of asks. What the node emits is added to `events`; `ctx.once` calls its
    function. The return value is the `Out` model of a node class, or the value that the function returned. As with
    `Runtime(strict=True)` it must equal what is read back from its saved JSON.

    Raises:
        ConfigError: inputs or output do not fit the ports, or the output cannot be saved and read back,
            or the node asks for what it was not given.
        AnswerError: an answer is of the wrong type.
    """
    name = node.name if isinstance(node, FunctionNode) else type(node).__name__
    ctx = _Bench(name, model, tools or {}, resources or {}, answers or {}, [] if events is None else events)
    if isinstance(node, FunctionNode):
        return await _run_function(node, _by_name(inputs), ctx)
    wanted, given = node.port_models()
    try:
        ports = inputs if isinstance(inputs, wanted) else wanted.model_validate(_by_name(inputs))
    except ValidationError as error:
        raise ConfigError(f'the inputs of node "{name}" do not fit: {first_finding(error)}') from None
    returned = await node.run(ports, ctx)
    try:
        made = returned if isinstance(returned, given) else given.model_validate(returned)
        made = given.model_validate(_by_name(made))
    except ValidationError as error:
        raise ConfigError(f'the output of node "{name}" does not fit: {first_finding(error)}') from None
    for port in made.model_fields_set:
        _refuse_lossy(name, values_of(given.model_fields[port].annotation), getattr(made, port), f', output "{port}"')
    return made


def _by_name(inputs: Mapping[str, Any] | BaseModel | None) -> dict[str, Any]:
    if isinstance(inputs, BaseModel):
        return {name: getattr(inputs, name) for name in inputs.model_fields_set}
    return dict(inputs or {})


async def _run_function(node: FunctionNode[..., Any], inputs: dict[str, Any], ctx: Context) -> Any:
    ports = {port.name: port for port in node.inputs}
    for name in inputs:
        if name not in ports:
            known = quoted(ports)
            raise ConfigError(f'node "{node.name}" has no port "{name}"; ports are {known}.{did_you_mean(name, ports)}')
    try:
        arguments = {name: values_of(ports[name].type).validate(value) for name, value in inputs.items()}
    except ValidationError as error:
        raise ConfigError(f'the inputs of node "{node.name}" do not fit: {first_finding(error)}') from None
    missing = [name for name, port in ports.items() if name not in inputs and not port.has_default]
    if missing:
        raise ConfigError(f'node "{node.name}" lacks the inputs {quoted(missing)}')
    if node.context_parameter:
        arguments[node.context_parameter] = ctx
    if node.is_async:
        returned = await node.fn(**arguments)
    elif node.thread:
        returned = await to_thread.run_sync(partial(node.fn, **arguments))
    else:
        returned = node.fn(**arguments)
    expected = node.returns or (node.outputs[0].type if node.outputs else None)
    values = values_of(expected)
    try:
        value = values.validate(returned)
    except ValidationError as error:
        raise ConfigError(f'the output of node "{node.name}" does not fit: {first_finding(error)}') from None
    _refuse_lossy(node.name, values, value)
    return value


def _refuse_lossy(node: str, values: Values, value: Any, where: str = "") -> None:
    try:
        difference = lossy(values, value)
    except (ValueError, TypeError) as error:
        raise ConfigError(f'node "{node}"{where}: {short(value)} cannot be saved: {first_finding(error)}') from None
    if difference:
        raise ConfigError(f'node "{node}"{where}: {short(value)} comes back as {difference} from its saved JSON')
