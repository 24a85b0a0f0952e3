"""A checked graph as tables: everything the walk and the executor would otherwise work out per step."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

from anyio import to_thread
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from loom.core.branches import ENDED, OPENED_BY_START, Reach, Relation, relate
from loom.core.condition import Condition
from loom.core.declared import END, START, Declared, Placed
from loom.core.context import Context
from loom.core.node import FunctionNode, Node, Port
from loom.core.runtime import Retry
from loom.core.state import Field, State
from loom.core.values import Values, type_name, values_of
from loom.errors import LoomError

# Any, in this module: inputs, outputs and field values, whose types are the user's.

View = Mapping[str, Any]
Settle = Callable[[Any], tuple[dict[str, Any], bytes]]


class OutputError(LoomError):
    """A node returned something else than it declares."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way on: `holds` is None where there is nothing to decide. `taken` is its JSON for records."""

    targets: tuple[int, ...]
    holds: Callable[[View], bool] | None
    label: str
    taken: bytes


@dataclass(frozen=True, slots=True)
class Task:
    """One node, ready to run.

    `invoke` takes the node's inputs from a view and starts it; `settle` checks what it returned and
    gives the writes with their JSON. `opening` is the part of its step records that never changes.
    A plain task has no context, retry or timeout.
    """

    name: str
    opening: bytes
    invoke: Callable[[View, Context | None], Awaitable[Any]]
    settle: Settle
    wants_context: bool
    is_thread: bool
    is_plain: bool
    ways: tuple[Way, ...]
    retry: Retry | None
    timeout_s: float | None


@dataclass(frozen=True)
class Plan:
    """A compiled graph's tables. Nodes are numbers, in the order they were declared."""

    declared: Declared
    fields: Mapping[str, Field]
    given: tuple[str, ...]
    tasks: tuple[Task, ...]
    start: tuple[Way, ...]
    joins: frozenset[int]

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def state(self) -> type[State]:
        return self.declared.state

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The number of each node by name; END is among them."""
        return {task.name: number for number, task in enumerate(self.tasks)} | {END: ENDED}

    @cached_property
    def _successors(self) -> list[tuple[int, ...]]:
        return [tuple(dict.fromkeys(t for way in task.ways for t in way.targets)) for task in self.tasks]

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self._successors)

    @cached_property
    def _relations(self) -> dict[tuple[int, tuple[int, ...]], Relation]:
        found: dict[tuple[int, tuple[int, ...]], Relation] = {}
        for opener, ways in [(OPENED_BY_START, self.start), *((n, task.ways) for n, task in enumerate(self.tasks))]:
            for way in ways:
                if len(way.targets) > 1:
                    relation = relate(self._successors, self.joins, self._reach, opener, way.targets)
                    found[opener, way.targets] = relation
        return found

    def can_reach(self, node: int, join: int, opener: int) -> bool:
        """Tell whether `join` can be reached from `node` without passing `opener` again."""
        return node in self._reach.of(opener, join)

    def is_over_at(self, opener: int, targets: tuple[int, ...], join: int) -> bool:
        """Tell whether nothing of the fan-out from `opener` to `targets` can be alive beside `join`."""
        return self._relations[opener, targets].is_over_at(join)


def make_plan(declared: Declared) -> Plan:
    """Turn a graph without problems into tables."""
    numbers = {name: number for number, name in enumerate(declared.nodes)} | {END: ENDED}
    ways: dict[str, tuple[Way, ...]] = {}
    for drawing in declared.drawings:
        ways[drawing.source] = tuple(
            Way(
                targets=tuple(numbers[target] for target in way.targets),
                holds=_holds(way.condition, declared.fields) if way.condition else None,
                label=way.label,
                taken=_taken(way.targets),
            )
            for way in drawing.ways
        )
    return Plan(
        declared=declared,
        fields=declared.fields,
        given=declared.given(),
        tasks=tuple(_task(declared, placed, ways[name]) for name, placed in declared.nodes.items()),
        start=ways[START],
        joins=frozenset(numbers[name] for name in declared.nodes if declared.is_join(name)),
    )


def _taken(targets: tuple[str, ...]) -> bytes:
    return b"[" + b",".join(to_json(target) for target in targets) + b"]"


def _holds(condition: Condition, fields: Mapping[str, Field]) -> Callable[[View], bool]:
    """Return how a condition is decided; a function gets copies, as a node does."""
    copied = {name: fields[name].values.copy for name in condition.reads}
    if not condition.is_function or not any(copied.values()):
        return condition.holds

    def holds(view: View) -> bool:
        return condition.holds({name: copy(view[name]) if copy else view[name] for name, copy in copied.items()})

    return holds


def _task(declared: Declared, placed: Placed, ways: tuple[Way, ...]) -> Task:
    node = placed.node
    reads = [(port, declared.fields[name]) for port, name in placed.inputs if name in declared.fields]
    outputs = [(port, declared.fields[name]) for port, name in placed.outputs]
    if isinstance(node, FunctionNode):
        invoke = _invoke_function(node, reads)
        settle = _settle_one(placed.name, *outputs[0]) if node.writes_one else _settle_many(placed.name, node.returns, outputs)
        wants_context, is_thread = bool(node.context_parameter), node.thread
    else:
        inputs, returns = node.port_models()
        invoke = _invoke_class(node, inputs, reads)
        settle = _settle_many(placed.name, returns, outputs)
        wants_context, is_thread = True, False
    return Task(
        name=placed.name,
        opening=b'{"kind":"step","node":%b,"branch":' % to_json(placed.name),
        invoke=invoke,
        settle=settle,
        wants_context=wants_context,
        is_thread=is_thread,
        is_plain=not wants_context and placed.retry is None and placed.timeout_s is None,
        ways=ways,
        retry=placed.retry,
        timeout_s=placed.timeout_s,
    )


def _invoke_function(
    node: FunctionNode[..., Any], reads: Sequence[tuple[Port, Field]]
) -> Callable[[View, Context | None], Awaitable[Any]]:
    fn = node.fn
    if node.is_async and node.is_positional and not any(port.has_default for port, _ in reads):
        pick = _picker([field for _, field in reads])
        return lambda view, ctx: fn(*pick(view))
    gather = _gatherer(reads)
    context_parameter = node.context_parameter

    def arguments(view: View, ctx: Context | None) -> dict[str, Any]:
        own = gather(view)
        if context_parameter:
            own[context_parameter] = ctx
        return own

    if node.is_async:
        return lambda view, ctx: fn(**arguments(view, ctx))
    if node.thread:
        return lambda view, ctx: to_thread.run_sync(partial(fn, **arguments(view, ctx)), abandon_on_cancel=True)

    async def inline(view: View, ctx: Context | None) -> Any:
        return fn(**arguments(view, ctx))

    return inline


def _invoke_class(
    node: Node[Any, Any], inputs: type[BaseModel], reads: Sequence[tuple[Port, Field]]
) -> Callable[[View, Context | None], Awaitable[Any]]:
    gather, run = _gatherer(reads), node.run
    return lambda view, ctx: run(inputs(**gather(view)), ctx)  # type: ignore[arg-type]  # wants_context is True


def _gatherer(reads: Sequence[tuple[Port, Field]]) -> Callable[[View], dict[str, Any]]:
    """Return how to take inputs from a view by port. A port with a default may find its field absent."""
    table = [(port.name, field.name, field.values.copy, port.has_default) for port, field in reads]

    def gather(view: View) -> dict[str, Any]:
        return {
            port: copy(view[field]) if copy else view[field]
            for port, field, copy, has_default in table
            if field in view or not has_default
        }

    return gather


def _picker(fields: Sequence[Field]) -> Callable[[View], tuple[Any, ...]]:
    """Return how to take inputs from a view by position."""
    if any(field.values.copy for field in fields):
        table = [(field.name, field.values.copy) for field in fields]
        return lambda view: tuple([copy(view[name]) if copy else view[name] for name, copy in table])
    names = [field.name for field in fields]
    if len(names) > 1:
        return itemgetter(*names)
    if names:
        only = names[0]
        return lambda view: (view[only],)
    return lambda view: ()


def _settle_one(node: str, port: Port, field: Field) -> Settle:
    name, values = field.name, field.values
    validate, dump, is_exact = values.validate, values.dump, values.is_exact
    key = to_json(name)
    head = b"{" + key + b":"
    check = None if port.type in (Any, values.type) else values_of(port.type).validate

    def settle(returned: Any) -> tuple[dict[str, Any], bytes]:
        try:
            value = validate(returned if check is None else check(returned))
            saved = dump(value)
            if not is_exact:
                value = values.load_json(saved)
        except ValueError as error:  # ValidationError, PydanticSerializationError
            raise _bad_output(node, port.name, name, values, returned, error) from None
        return {name: value}, head + saved + b"}"

    return settle


def _settle_many(node: str, returns: type[BaseModel] | None, outputs: Sequence[tuple[Port, Field]]) -> Settle:
    bound = {port.name: field for port, field in outputs}

    def settle(returned: Any) -> tuple[dict[str, Any], bytes]:
        if returns is None:
            if returned is not None:
                message = f'node "{node}" returned {returned!r:.80}, but has no output; say @node(writes="field")'
                raise OutputError(message)
            return {}, b"{}"
        try:
            made = returned if isinstance(returned, returns) else returns.model_validate(returned)
        except ValidationError as error:
            raise OutputError(
                f'node "{node}" returned {type(returned).__name__}; expected {returns.__name__}: {first_finding(error)}'
            ) from None
        writes: dict[str, Any] = {}
        saved: list[bytes] = []
        for port, field in bound.items():
            if port not in made.model_fields_set:
                continue
            value = getattr(made, port)
            try:
                value = field.values.validate(value)
                text = field.values.dump(value)
                writes[field.name] = field.values.round_trip(value, text)
            except ValueError as error:
                raise _bad_output(node, port, field.name, field.values, value, error) from None
            saved.append(to_json(field.name) + b":" + text)
        return writes, b"{" + b",".join(saved) + b"}"

    return settle


def _bad_output(node: str, port: str, field: str, values: Values, value: Any, error: ValueError) -> OutputError:
    return OutputError(
        f'node "{node}", output "{port}": {value!r:.80} is no {type_name(values.type)}, '
        f'which field "{field}" holds: {first_finding(error)}'
    )


def first_finding(error: ValueError) -> str:
    """Return the first finding of a validation in a line."""
    if not isinstance(error, ValidationError):
        return str(error).partition("\n")[0]
    found = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(piece) for piece in found["loc"])
    return f"{path}: {found['msg']}" if path else found["msg"]
