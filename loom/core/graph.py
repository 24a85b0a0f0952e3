"""Declaring a graph: nodes, edges, switches. Nothing is judged while drawing; `check` judges it all."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from loom.core.condition import condition_of
from loom.core.declared import END, Declared, Drawing, Each, Placed, Way, bound
from loom.core.node import GATES, AnyNode, FunctionNode, GraphNode, Node, class_flaw, inputs_of, outputs_of
from loom.core.state import State, fields_of
from loom.errors import ConfigError, GraphError, Problem, did_you_mean, short
from loom.types.given import check_count, check_seconds

if TYPE_CHECKING:
    from loom.core.runtime import Cache, Retry
    from loom.runs.app import CompiledGraph

S = TypeVar("S", bound=State)

Stop = str | Sequence[str]
# Any: the parameters of a condition are state fields, whose types are the user's.
Test = str | Callable[..., Any]


class Graph(Generic[S]):
    """A graph over a state, as it is drawn; `compile()` checks and freezes it.

    `inputs` names fields that every run is given; `retry`, `timeout_s` and `cache` are defaults of its nodes;
    the cache leaves out gates, nodes that write to the world, and inner graphs.
    """

    def __init__(
        self,
        name: str,
        state: type[S],
        *,
        inputs: Sequence[str] = (),
        retry: "Retry | None" = None,
        timeout_s: float | None = None,
        cache: "Cache | None" = None,
    ) -> None:
        _check_name("a graph", name)
        if not (isinstance(state, type) and issubclass(state, State)):
            raise ConfigError(f'graph "{name}" needs a subclass of State; got {short(state)}')
        _check_names(f'graph "{name}"', "inputs", inputs)
        fields_of(state)  # an annotation that cannot be resolved is told here
        self._check_policies(f'graph "{name}"', retry, timeout_s, cache)
        self.name = name
        self.state = state
        self._inputs = tuple(inputs)
        self._retry = retry
        self._timeout_s = timeout_s
        self._cache = cache
        self._nodes: dict[str, Placed] = {}
        self._drawings: list[Drawing] = []
        self._list_joins: set[str] = set()
        self._taken: list[str] = []
        self._crooked: list[str] = []

    def node(
        self,
        name: str,
        node: AnyNode,
        *,
        reads: Mapping[str, str] | None = None,
        writes: Mapping[str, str] | None = None,
        retry: "Retry | None" = None,
        timeout_s: float | None = None,
        cache: "Cache | None" = None,
        ungated: str = "",
        join: bool = False,
    ) -> None:
        """Place a node under a name.

        Ports bind to the fields of their own names; `reads` and `writes` map a port to another
        field. `ungated` is the reason why a `write` node may run without a gate before it. With
        `join` the node waits for every branch that can still reach it.

        Raises:
            ConfigError: `node` is no node, or something else is of the wrong type.
        """
        _check_name(f'graph "{self.name}": a node', name)
        where = f'graph "{self.name}", node "{name}"'
        if not isinstance(node, (Node, FunctionNode, GraphNode)):
            raise ConfigError(
                f"{where}: expected a Node, a function made by @node, or a graph's as_node(…); got {short(node)}"
            )
        is_graph = isinstance(node, GraphNode)  # whose nodes have policies of their own
        decides_anew = is_graph or node.effect == "write" or node.kind in GATES
        own = (("reads", node.reads), ("writes", node.writes)) if isinstance(node, GraphNode) else ()
        for word, mapping in (*own, ("reads", reads), ("writes", writes)):
            if mapping is not None and not _maps_names(mapping):
                raise ConfigError(f'{where}: expected {word}={{"port": "field"}}; got {short(mapping)}; both are names')
        if not (isinstance(ungated, str) and isinstance(join, bool)):
            raise ConfigError(
                f"{where}: ungated is a text, the reason why, and join True or False; "
                f"got ungated={short(ungated)}, join={short(join)}"
            )
        if isinstance(node, GraphNode):
            reads, writes = {**node.reads, **(reads or {})}, {**node.writes, **(writes or {})}
        if isinstance(node, Node) and (flaw := class_flaw(node)):
            raise ConfigError(f"{where}: {flaw}")
        self._check_policies(where, retry, timeout_s, cache)
        if name in self._nodes:
            self._taken.append(name)
            return
        try:
            inputs, outputs = bound(inputs_of(node), reads or {}), bound(outputs_of(node), writes or {})
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        self._nodes[name] = Placed(
            name=name,
            node=node,
            reads=dict(reads or {}),
            writes=dict(writes or {}),
            inputs=inputs,
            outputs=outputs,
            retry=retry or (None if is_graph else self._retry),
            timeout_s=timeout_s or (None if is_graph else self._timeout_s),
            cache=cache or (None if decides_anew else self._cache),
            ungated=ungated,
            is_join=join,
        )

    @staticmethod
    def _check_policies(where: str, retry: "Retry | None", timeout_s: float | None, cache: "Cache | None") -> None:
        if cache is not None or retry is not None:
            from loom.core.runtime import Cache, Retry  # noqa: PLC0415 - most graphs are declared without

            if not isinstance(cache, Cache | None):
                raise ConfigError(f"{where}: cache must be a Cache; got {short(cache)}")
            if not isinstance(retry, Retry | None):
                raise ConfigError(f"{where}: retry must be a Retry; got {short(retry)}")
        if timeout_s is not None:
            check_seconds(f"{where}: timeout_s", timeout_s)

    def edge(self, *stops: Stop) -> None:
        """Draw edges from stop to stop. A list fans out; the stop after a list joins its branches.

        Raises:
            ConfigError: there are fewer than two stops, or one is neither a name nor a list of names.
        """
        if len(stops) < 2:
            raise ConfigError(f'graph "{self.name}": edge() needs two stops or more; got {len(stops)}')
        groups = [self._names(stop, "edge()") for stop in stops]
        for stop, after, sources, targets in zip(stops, stops[1:], groups, groups[1:], strict=False):
            if not isinstance(stop, str):
                if not isinstance(after, str):
                    self._crooked.append(f"list {list(after)} follows list {list(stop)}")
                elif after != END:
                    self._list_joins.add(after)
            for source in sources:
                self._drawings.append(Drawing(source, (Way(None, targets),)))

    def switch(self, source: str, ways: Mapping[Any, Stop], otherwise: Stop | None = None) -> None:
        """Choose among targets after `source`: the first condition that holds, else `otherwise`.

        A condition is an expression over state fields, or a pure function whose parameters are
        state fields.

        Raises:
            ConfigError: a target is neither a name nor a list of names, or `ways` is no mapping.
        """
        if not isinstance(source, str):
            raise ConfigError(f'graph "{self.name}": a switch has one source, a name; got {short(source)}')
        if not isinstance(ways, Mapping):
            raise ConfigError(
                f'graph "{self.name}", switch("{source}"): expected {{condition: target}}; got {short(ways)}'
            )
        drawn: list[Way] = []
        for test, target in ways.items():
            condition = condition_of(test)
            drawn.append(Way(condition, self._names(target, f'switch("{source}")'), condition.text))
        if otherwise is not None:
            drawn.append(Way(None, self._names(otherwise, f'switch("{source}")'), "otherwise"))
        self._drawings.append(Drawing(source, tuple(drawn), is_switch=True))

    def each(self, source: str, node: str, *, over: str, bind: str, max_concurrency: int = 16) -> None:
        """After `source` run `node` once for each item of the list in field `over`, then go on once.

        The node's port `bind` is set to the item and needs no field. At most `max_concurrency` items
        are at work at once; their writes are applied in the order of the items. The way on is an edge
        from `node`.

        Raises:
            ConfigError: something is no name, or `max_concurrency` is no number of 1 or more.
        """
        if not (isinstance(source, str) and isinstance(node, str)):
            raise ConfigError(
                f'graph "{self.name}": an each has one source and one node; got {short(source)}, {short(node)}'
            )
        where = f'graph "{self.name}", each("{source}")'
        if not (isinstance(over, str) and isinstance(bind, str)):
            raise ConfigError(f"{where}: over and bind are names; got {short(over)}, {short(bind)}")
        check_count(f"{where}: max_concurrency", max_concurrency)
        way = Way(None, (node,), f"each {bind} in {over}")
        self._drawings.append(Drawing(source, (way,), each=Each(node, over, bind, max_concurrency)))

    def _names(self, stop: Stop, where: str) -> tuple[str, ...]:
        names = (stop,) if isinstance(stop, str) else stop
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f'graph "{self.name}", {where}: a stop is a name or a list of names; got {short(stop)}')
        return tuple(names)

    def to_spec(self) -> dict[str, Any]:
        """Return the graph as plain data, for YAML or JSON. Raises `SpecError` for a part that is no data."""
        from loom.spec.write import Defaults, spec_of  # noqa: PLC0415 - a higher floor

        return spec_of(self._declared, Defaults(self._retry, self._timeout_s, self._cache))

    @staticmethod
    def from_spec(spec: Mapping[str, Any], *, allow: Collection[str] = ()) -> "Graph[Any]":
        """Make a graph of data; it may name paths in the modules of `allow`. Raises what `loom.load` raises."""
        from loom.spec.read import graph_from  # noqa: PLC0415 - a higher floor

        return graph_from(spec, allow)

    def check(self) -> list[Problem]:
        """Return everything that is wrong with the graph, warnings included."""
        from loom.core.check import find_problems  # noqa: PLC0415 - brings networkx, which declaring does not need

        return find_problems(self._declared)

    @property
    def _declared(self) -> Declared:
        """All that was declared until now; what is drawn later does not change it."""
        return Declared(
            name=self.name,
            state=self.state,
            inputs=self._inputs,
            nodes=self._nodes.copy(),
            drawings=tuple(self._drawings),
            list_joins=frozenset(self._list_joins),
            taken=tuple(self._taken),
            crooked=tuple(self._crooked),
        )

    def compile(self, *, pause_before: Sequence[str] = (), pause_after: Sequence[str] = ()) -> "CompiledGraph[S]":
        """Check everything, then freeze.

        `pause_before` and `pause_after` are breakpoints: the run pauses there, and a plain `resume`
        goes past. One after a node holds what follows it: where the node leads to END, nothing.

        Raises:
            GraphError: something is wrong; `.problems` has all of it.
            ConfigError: a breakpoint names no node, or would never hold anything.
        """
        for word, names in (("pause_before", pause_before), ("pause_after", pause_after)):
            _check_names(f'graph "{self.name}"', word, names)
        for name in (*pause_before, *pause_after):
            if name not in self._nodes:
                hint = did_you_mean(name, self._nodes)
                raise ConfigError(f'graph "{self.name}" cannot pause at "{name}", which is no node.{hint}')
        # Late, for they bring networkx and anyio, which declaring does not need.
        from loom.core.check import find_problems  # noqa: PLC0415
        from loom.core.plan import make_plan  # noqa: PLC0415
        from loom.runs.app import CompiledGraph  # noqa: PLC0415

        declared = self._declared
        problems = find_problems(declared)
        if any(problem.severity == "error" for problem in problems):
            raise GraphError(self.name, problems)
        for name in pause_after:
            if declared.successors[name] == (END,):
                raise ConfigError(
                    f'graph "{self.name}" cannot pause after "{name}", which leads to END alone: a breakpoint after a '
                    f'node holds what follows, and nothing does; pause before "{name}"'
                )
        return CompiledGraph(make_plan(declared, frozenset(pause_before), frozenset(pause_after)))


def _check_name(whose: str, name: object) -> None:
    """Refuse what is no string, or one that cannot be saved: it has a lone surrogate."""
    if not isinstance(name, str) or not (name.isascii() or name.encode(errors="ignore").decode() == name):
        raise ConfigError(f"{whose}'s name is a string that can be saved; got {short(name)}")


def _maps_names(mapping: Mapping[str, str]) -> bool:
    return isinstance(mapping, Mapping) and all(isinstance(one, str) for one in (*mapping, *mapping.values()))


def _check_names(where: str, word: str, names: Sequence[str]) -> None:
    """Refuse what is no list of names. One name would be taken letter by letter."""
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(one, str) for one in names):
        hint = f', write {word}=("{names}",)' if isinstance(names, str) else ""
        raise ConfigError(f"{where}: {word} is a list of names; got {short(names)}{hint}")
