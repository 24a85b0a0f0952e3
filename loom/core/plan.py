"""A checked graph as tables: everything the walk and the executor would otherwise work out per step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic_core import to_json

from loom.core.binding import (
    Invoke,
    Read,
    Settle,
    View,
    inputs_json,
    invoke_class,
    invoke_function,
    reads_of,
    settle_many,
    settle_one,
)
from loom.core.branches import ENDED, OPENED_BY_START, Reach, Relation, relate
from loom.core.cache import StepCache
from loom.core.condition import Condition
from loom.core.context import Context
from loom.core.declared import END, START, Declared, Each, Placed
from loom.core.fingerprint import node_parts
from loom.core.node import EFFECTS, FunctionNode, GraphNode, Port
from loom.core.runtime import Retry
from loom.core.state import Field, State
from loom.errors import LoomError, error_text

# Any, in this module: inputs, outputs and field values, whose types are the user's.


class ConditionError(LoomError):
    """A condition raised. Its cause is `__cause__`."""


# Ways and tasks are read at every step and made by the thousand: by slots, and not frozen, both are quickest.


@dataclass(slots=True)
class Way:
    """One way on: `holds` is None where there is nothing to decide. `taken` is its JSON for records."""

    targets: tuple[int, ...]
    holds: Callable[[View], bool] | None
    label: str
    taken: bytes


@dataclass(slots=True)
class Task:
    """One node, ready to run.

    `invoke` takes the node's inputs from a view and starts it; `settle` checks what it returned and
    gives the writes with their JSON. `opening` is the part of its step records that never changes.
    A plain task has no context, retry, cache or timeout. `only` is the way on where there is nothing to decide;
    the source of an `each` has to look whether there are items. `effect` is a rank in `EFFECTS`.
    """

    name: str
    opening: bytes
    invoke: Invoke
    settle: Settle
    wants_context: bool
    is_thread: bool
    is_plain: bool
    ways: tuple[Way, ...]
    only: Way | None
    retry: Retry | None
    cache: StepCache | None
    timeout_s: float | None
    effect: int
    inner: "Inner | None"


@dataclass(frozen=True, slots=True)
class Inner:
    """A graph inside a node: its plan, what a view outside holds for its fields, its end as writes outside."""

    plan: "Plan"
    reads: Mapping[str, str]
    settle: Settle


@dataclass(frozen=True, slots=True)
class EachPlan:
    """What runs once for each item of the list in field `over`."""

    node: int
    over: str
    max_concurrency: int


@dataclass(frozen=True)
class Plan:
    """A compiled graph's tables. Nodes are numbers, in the order they were declared.

    `eaches` is by the number of the source. `pause_before` and `pause_after` are breakpoints.
    """

    declared: Declared
    fields: Mapping[str, Field]
    given: tuple[str, ...]
    tasks: tuple[Task, ...]
    start: tuple[Way, ...]
    joins: frozenset[int]
    eaches: Mapping[int, EachPlan]
    pause_before: frozenset[int]
    pause_after: frozenset[int]

    @property
    def name(self) -> str:
        """The graph's name."""
        return self.declared.name

    @property
    def state(self) -> type[State]:
        """The state the graph works on."""
        return self.declared.state

    @cached_property
    def reduced(self) -> Mapping[str, Field]:
        """The fields of which a write may do more than to set them."""
        return {name: field for name, field in self.fields.items() if field.reducer}

    @cached_property
    def index(self) -> Mapping[str, int]:
        """The number of each node by name; END is among them."""
        return {task.name: number for number, task in enumerate(self.tasks)} | {END: ENDED}

    @cached_property
    def each_of(self) -> Mapping[int, EachPlan]:
        """The `each` in which a node stands, by that node."""
        return {each.node: each for each in self.eaches.values()}

    @cached_property
    def _successors(self) -> list[tuple[int, ...]]:
        return [tuple(dict.fromkeys(t for way in task.ways for t in way.targets)) for task in self.tasks]

    @cached_property
    def _reach(self) -> Reach:
        return Reach(self._successors)

    @cached_property
    def _relations(self) -> dict[tuple[int, tuple[int, ...]], Relation]:
        return {}

    def _relation(self, opener: int, targets: tuple[int, ...]) -> Relation:
        """Return the relation of a fan-out, worked out once. It may be one of an older form of the graph."""
        if (opener, targets) not in self._relations:
            known = [target for target in targets if target < len(self.tasks)]
            relation = relate(self._successors, self.joins, self._reach, opener, known)
            self._relations[opener, targets] = relation
        return self._relations[opener, targets]

    def names(self, targets: Sequence[int]) -> tuple[str, ...]:
        """Return the names of targets."""
        return tuple(END if target == ENDED else self.tasks[target].name for target in targets)

    def way_on(self, number: int, view: View) -> Way | None:
        """Return the first open way on from a node or START, an `each` over nothing passed; None if none is open.

        Raises:
            ConditionError: a condition raised, which is its cause.
        """
        return open_way(self.ways_of(self.decider(number, view) if self.eaches else number), view)

    def decider(self, number: int, view: View) -> int:
        """Return where the way on from a node or START is decided: there, or past each `each` over nothing."""
        while (each := self.eaches.get(number)) and not view[each.over]:
            number = each.node
        return number

    def ways_of(self, number: int) -> tuple[Way, ...]:
        """Return the ways on that are drawn from a node or START."""
        return self.start if number == OPENED_BY_START else self.tasks[number].ways

    def allows(self, opener: int, targets: tuple[int, ...]) -> bool:
        """Tell whether branches from `opener` to these targets can be walked in this graph, be they drawn or not."""
        relation = self._relation(opener, targets)
        return not (relation.clashes or relation.returns or relation.deadlocks)

    def can_reach(self, node: int, join: int, opener: int) -> bool:
        """Tell whether `join` can be reached from `node` without passing `opener` again."""
        return node in self._reach.of(opener, join)

    def is_over_at(self, opener: int, targets: tuple[int, ...], join: int) -> bool:
        """Tell whether nothing of the fan-out from `opener` to `targets` can be alive beside `join`."""
        return self._relation(opener, targets).is_over_at(join)


def open_way(ways: Sequence[Way], view: View) -> Way | None:
    """Return the first way whose condition holds, if there is one.

    Raises:
        ConditionError: a condition raised, which is its cause.
    """
    for way in ways:
        if way.holds is None:
            return way
        try:
            if way.holds(view):
                return way
        except Exception as error:
            message = f'the condition "{way.label}" of its switch raised {error_text(error)}'
            raise ConditionError(message) from error
    return None


def make_plan(declared: Declared, pause_before: frozenset[str], pause_after: frozenset[str]) -> Plan:
    """Turn a graph without problems into tables."""
    numbers = {name: number for number, name in enumerate(declared.nodes)} | {END: ENDED, START: OPENED_BY_START}
    eaches = declared.eaches
    sources = {drawing.source for drawing in declared.drawings if drawing.each}
    ways: dict[str, tuple[Way, ...]] = {}
    for drawing in declared.drawings:
        ways[drawing.source] = tuple(
            Way(
                targets=tuple([numbers[target] for target in way.targets]),
                holds=_holds(way.condition, declared.fields) if way.condition else None,
                label=way.label,
                taken=to_json(way.targets),
            )
            for way in drawing.ways
        )
    return Plan(
        declared=declared,
        fields=declared.fields,
        given=declared.given,
        tasks=tuple(
            _task(declared, placed, ways[name], eaches.get(name), is_source=name in sources)
            for name, placed in declared.nodes.items()
        ),
        start=ways[START],
        joins=frozenset(numbers[name] for name in declared.joins),
        eaches={
            numbers[drawing.source]: EachPlan(numbers[each.node], each.over, each.max_concurrency)
            for drawing in declared.drawings
            if (each := drawing.each)
        },
        pause_before=frozenset(numbers[name] for name in pause_before),
        pause_after=frozenset(numbers[name] for name in pause_after),
    )


def _holds(condition: Condition, fields: Mapping[str, Field]) -> Callable[[View], bool]:
    """Return how a condition is decided; a function gets copies, as a node does."""
    copied = {name: fields[name].values.copy for name in condition.reads}
    if condition.function is None or not any(copied.values()):
        return condition.holds

    def holds(view: View) -> bool:
        return condition.holds({name: copy(view[name]) if copy else view[name] for name, copy in copied.items()})

    return holds


def _task(declared: Declared, placed: Placed, ways: tuple[Way, ...], each: Each | None, *, is_source: bool) -> Task:
    node = placed.node
    reads = reads_of(declared, placed, each)
    outputs = [(port, declared.fields[name]) for port, name in placed.outputs]
    inner: Inner | None = None
    invoke: Invoke
    if isinstance(node, GraphNode):
        inner = _inner(placed.name, node, reads, outputs)
        invoke, settle, wants_context, is_thread = _no_invoke, inner.settle, True, False
    elif isinstance(node, FunctionNode):
        invoke = invoke_function(node, reads)
        settle = (
            settle_one(placed.name, *outputs[0]) if node.writes_one else settle_many(placed.name, node.returns, outputs)
        )
        wants_context, is_thread = bool(node.context_parameter), node.thread
    else:
        inputs, returns = node.port_models()
        invoke = invoke_class(node, inputs, reads)
        settle = settle_many(placed.name, returns, outputs)
        wants_context, is_thread = True, False
    return Task(
        name=placed.name,
        opening=b'{"kind":"step","node":%b,"branch":' % to_json(placed.name),
        invoke=invoke,
        settle=settle,
        wants_context=wants_context,
        is_thread=is_thread,
        is_plain=not (wants_context or placed.retry or placed.cache) and placed.timeout_s is None,
        ways=ways,
        only=ways[0] if ways[0].holds is None and not is_source else None,
        retry=placed.retry,
        cache=_cache(declared, placed, reads),
        timeout_s=placed.timeout_s,
        effect=EFFECTS.index(node.effect),
        inner=inner,
    )


def _cache(declared: Declared, placed: Placed, reads: Sequence[Read]) -> StepCache | None:
    if placed.cache is None:
        return None
    return StepCache(placed.cache, "".join(node_parts(declared, placed).values()), inputs_json(reads))


def _inner(name: str, node: GraphNode, reads: Sequence[Read], outputs: Sequence[tuple[Port, Field]]) -> Inner:
    if not isinstance(node.plan, Plan):
        raise TypeError(f"a GraphNode is made by CompiledGraph.as_node, with a Plan; got {node.plan!r}")
    settles = [settle_one(name, port, field) for port, field in outputs]
    sources = [port.name for port, _ in outputs]

    def settle(view: View) -> tuple[dict[str, Any], bytes]:
        writes: dict[str, Any] = {}
        saved: list[bytes] = []
        for source, one in zip(sources, settles, strict=True):
            if source in view:
                value, text = one(view[source])
                writes |= value
                saved.append(text[1:-1])
        return writes, b"{" + b",".join(saved) + b"}"

    return Inner(node.plan, {read.port: read.key for read in reads}, settle)


async def _no_invoke(_view: View, _ctx: Context | None) -> Any:
    raise AssertionError("an inner graph is walked, not invoked")  # pragma: no cover
