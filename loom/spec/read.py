"""From a spec to the graph it declares. Every name in it is judged before anything is imported."""

from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import to_json

from loom.core.graph import Graph
from loom.core.node import AnyNode, FunctionNode, Node
from loom.core.runtime import Cache, Retry
from loom.errors import ConfigError, SpecError, error_text
from loom.spec.names import Role, flaw_in, load_name
from loom.spec.paths import Allowed
from loom.spec.places import Place, Source
from loom.spec.records import (
    CacheSpec,
    EachSpec,
    EdgeSpec,
    GraphSpec,
    NodeSpec,
    RetrySpec,
    SwitchSpec,
    flaws_in,
    parsed,
)

# Any, in this module: the state of a graph, and settings of nodes.

Use = tuple[Place, Role, str]
"""A name in a spec: where it stands, as what, and the name."""


def graph_from(spec: Mapping[str, Any], allow: Collection[str] = (), source: Source | None = None) -> Graph[Any]:
    """Make the graph that a spec declares.

    Raises:
        SpecError: it has another form, names what it may not or what does not exist, or a setting does not fit.
        GraphError: a graph inside a node has problems.
        ConfigError: `allow` holds no module names.
    """
    source = source or Source()
    allowed = Allowed(allow)
    record = parsed(spec, source)
    flaws = [(place, flaw) for place, role, name in _uses(record, ()) if (flaw := flaw_in(role, name, allowed))]
    if flaws:
        raise source.refusal(*flaws)
    return _Reader(source, allowed).graph(record, ())


def _uses(spec: GraphSpec, at: Place) -> Iterator[Use]:
    yield (*at, "state"), "state", spec.state
    yield from _retried(spec.retry, at)
    for number, node in enumerate(spec.nodes):
        place = (*at, "nodes", number)
        if node.type is not None:
            yield (*place, "type"), "node", node.type
        if node.graph is not None:
            yield from _uses(node.graph, (*place, "graph"))
        yield from _retried(node.retry, place)
    for number, drawn in enumerate(spec.edges):
        for count, way in enumerate(drawn.ways if isinstance(drawn, SwitchSpec) else ()):
            if way.function is not None:
                yield (*at, "edges", number, "ways", count, "function"), "condition", way.function


def _retried(retry: RetrySpec | None, at: Place) -> Iterator[Use]:
    for number, name in enumerate(retry.on if retry else ()):
        yield (*at, "retry", "on", number), "exception", name


@dataclass(frozen=True)
class _Reader:
    source: Source
    allowed: Allowed

    def graph(self, spec: GraphSpec, at: Place) -> Graph[Any]:
        """Declare a graph as its spec says, in written order."""
        state, retry = self._named((*at, "state"), "state", spec.state), self._retry(spec.retry, at)
        with self._told(at):
            graph: Graph[Any] = Graph(
                spec.name,
                state,
                inputs=spec.inputs,
                retry=retry,
                timeout_s=spec.timeout_s,
                cache=_cache(spec.cache),
            )
        for number, node in enumerate(spec.nodes):
            self._place(graph, node, (*at, "nodes", number))
        for number, drawn in enumerate(spec.edges):
            self._draw(graph, drawn, (*at, "edges", number))
        return graph

    def _place(self, graph: Graph[Any], spec: NodeSpec, at: Place) -> None:
        node, retry = self._node(spec, at), self._retry(spec.retry, at)
        with self._told(at):
            graph.node(
                spec.name,
                node,
                reads=spec.reads,
                writes=spec.writes,
                retry=retry,
                timeout_s=spec.timeout_s,
                cache=_cache(spec.cache),
                ungated=spec.ungated,
                join=spec.join,
            )

    def _node(self, spec: NodeSpec, at: Place) -> AnyNode:
        if spec.graph is not None:
            inner = self.graph(spec.graph, (*at, "graph"))
            with self._told(at):
                app = inner.compile(pause_before=spec.pause_before, pause_after=spec.pause_after)
                return app.as_node(reads=spec.reads, writes=spec.writes)
        kind = self._named((*at, "type"), "node", spec.type or "")
        if isinstance(kind, FunctionNode):
            if spec.settings:
                why = f'node "{spec.name}" is a function, "{spec.type}", which has no settings'
                raise self.source.refusal(((*at, "settings"), why))
            return cast("AnyNode", kind)
        return self._set(kind, spec, (*at, "settings"))

    def _set(self, kind: type[Node[Any, Any]], spec: NodeSpec, at: Place) -> Node[Any, Any]:
        try:
            return kind.model_validate_json(to_json(spec.settings), by_alias=False, by_name=True)
        except ValidationError as error:
            found = flaws_in(error, at, kind.model_fields)
            flaws = [(place, f'node "{spec.name}", a "{spec.type}": {why}') for place, why in found]
            raise self.source.refusal(*flaws) from None
        except Exception as error:  # what a class does with its settings is its own
            why = f'node "{spec.name}", a "{spec.type}": {error_text(error)}'
            raise self.source.refusal((at, why)) from error

    def _draw(self, graph: Graph[Any], drawn: EdgeSpec | SwitchSpec | EachSpec, at: Place) -> None:
        ways = self._ways(drawn, at) if isinstance(drawn, SwitchSpec) else {}
        with self._told(at):
            if isinstance(drawn, EdgeSpec):
                graph.edge(*drawn.edge)
            elif isinstance(drawn, SwitchSpec):
                graph.switch(drawn.switch, ways, drawn.otherwise)
            else:
                most = drawn.max_concurrency
                graph.each(drawn.each, drawn.node, over=drawn.over, bind=drawn.bind, max_concurrency=most)

    def _ways(self, drawn: SwitchSpec, at: Place) -> dict[Any, Any]:
        ways: dict[Any, Any] = {}
        for number, way in enumerate(drawn.ways):
            place = (*at, "ways", number, "function")
            test = way.when if way.function is None else self._named(place, "condition", way.function)
            if test in ways:
                raise self.source.refusal((place, f'"{way.function}" is the condition of two ways'))
            ways[test] = way.to
        return ways

    def _retry(self, spec: RetrySpec | None, at: Place) -> Retry | None:
        if spec is None:
            return None
        on = tuple(self._named(place, role, name) for place, role, name in _retried(spec, at))
        return Retry(spec.max_attempts, spec.backoff_s, spec.max_backoff_s, spec.jitter, on)

    def _named(self, place: Place, role: Role, name: str) -> Any:
        try:
            return load_name(role, name, self.allowed)
        except SpecError as error:
            raise self.source.refusal((place, str(error))) from error.__cause__

    @contextmanager
    def _told(self, place: Place) -> Generator[None]:
        """Tell what a graph refuses with its place in the spec."""
        try:
            yield
        except ConfigError as error:
            raise self.source.refusal((place, str(error))) from None


def _cache(spec: CacheSpec | None) -> Cache | None:
    return Cache(spec.ttl_s, spec.max_entries) if spec else None
