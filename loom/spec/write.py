"""From a declared graph to its spec: nothing but texts, numbers, lists and mappings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from pydantic_core import from_json

from loom.core.condition import parse
from loom.core.declared import END, Declared, Drawing, Placed, Way
from loom.core.node import FunctionNode, GraphNode, Node
from loom.core.plan import Plan
from loom.core.runtime import Cache, Retry
from loom.core.values import values_of
from loom.errors import SpecError, quoted
from loom.spec.names import Role, name_for

# Any, in this module: a spec, and settings of nodes.

Data = dict[str, Any]


@dataclass(frozen=True)
class Defaults:
    """What a graph gives the nodes that have no policies of their own."""

    retry: Retry | None = None
    timeout_s: float | None = None
    cache: Cache | None = None


NONE = Defaults()


def spec_of(declared: Declared, defaults: Defaults = NONE) -> Data:
    """Return a graph as data, from which `graph_from` makes one of the same fingerprint.

    Raises:
        SpecError: it has a part that no name leads to in another process, such as a lambda or what the script that
            runs defines; or a setting that is no data.
    """
    where = f'graph "{declared.name}"'
    if declared.taken or declared.crooked:
        raise SpecError(f"{where} has problems that a spec cannot hold; graph.check() tells them")
    edges, joined = _edges(declared, where)
    return {
        "version": 1,
        "name": declared.name,
        "state": _name("state", declared.state, where),
        **_given({"inputs": list(declared.inputs)}),
        **_policies(defaults.retry, defaults.timeout_s, defaults.cache, NONE, where),
        "nodes": [
            _node(placed, defaults, f'{where}, node "{name}"')
            | ({"join": True} if name in declared.joins and name not in joined else {})
            for name, placed in declared.nodes.items()
        ],
        "edges": edges,
    }


def _given(data: Data) -> Data:
    return {name: value for name, value in data.items() if value}


def _name(role: Role, thing: Any, where: str) -> str:
    called = getattr(thing, "__qualname__", repr(thing))
    if name := name_for(role, thing):
        if name.startswith("__main__:"):
            raise SpecError(
                f'{where}: the {role} "{called}" cannot be named in a spec: it is defined in the script that runs, '
                "which no other process can import. Move it to a module"
            )
        return name
    raise SpecError(
        f'{where}: the {role} "{called}" cannot be named in a spec: it is not found under its name in a module. '
        "Define it at the top of one"
    )


def _node(placed: Placed, defaults: Defaults, where: str) -> Data:
    node = placed.node
    if isinstance(node, GraphNode):
        what = _inner(node, placed, where)
    elif isinstance(node, FunctionNode):
        what = {"type": _name("node", node, where)}
    else:
        what = {"type": _name("node", type(node), where)} | _given({"settings": _settings(node, where)})
    bound = _given({"reads": dict(placed.reads), "writes": dict(placed.writes)})
    policies = _policies(placed.retry, placed.timeout_s, placed.cache, defaults, where)
    return {"name": placed.name, **what, **bound, **policies, **_given({"ungated": placed.ungated})}


def _inner(node: GraphNode, placed: Placed, where: str) -> Data:
    if (placed.reads, placed.writes) != (node.reads, node.writes):
        raise SpecError(f"{where}: say which fields the graph reads and writes in as_node(…), not in node(…)")
    if not isinstance(node.plan, Plan):
        raise SpecError(f"{where}: the graph in it was not made by as_node(…)")
    plan = node.plan
    pauses = {"pause_before": plan.pause_before, "pause_after": plan.pause_after}
    named = {word: [plan.tasks[number].name for number in sorted(numbers)] for word, numbers in pauses.items()}
    return {"graph": spec_of(plan.declared), **_given(named)}


def _settings(node: Node[Any, Any], where: str) -> Data:
    """Return the settings that are not the default: as short as what is read back is still the same."""
    kind = type(node)
    for is_short in (True, False):
        try:
            saved = node.__pydantic_serializer__.to_json(node, by_alias=False, exclude_defaults=is_short)
            back = kind.model_validate_json(saved, by_alias=False, by_name=True)
        except (TypeError, ValueError):  # among them pydantic's; the first is of a class with an __init__ of its own
            continue
        if back == node:
            return _as_json(from_json(saved), where)
    lost = [name for name in kind.model_fields if not _is_data(node, name)]
    raise SpecError(
        f"{where}: the settings {quoted(lost or kind.model_fields)} of {kind.__name__} cannot be written as data"
    )


def _is_data(node: Node[Any, Any], name: str) -> bool:
    value, values = getattr(node, name), values_of(type(node).model_fields[name].annotation)
    try:
        return bool(values.load_json(values.dump(value)) == value)
    except (TypeError, ValueError):
        return False


def _policies(
    retry: Retry | None, timeout_s: float | None, cache: Cache | None, defaults: Defaults, where: str
) -> Data:
    data: Data = {}
    if retry and retry != defaults.retry:
        data["retry"] = _changed(retry) | (
            {"on": [_name("exception", one, where) for one in retry.on]} if retry.on != (Exception,) else {}
        )
    if timeout_s and timeout_s != defaults.timeout_s:
        data["timeout_s"] = timeout_s
    if cache and cache != defaults.cache:
        data["cache"] = _changed(cache)
    return _as_json(data, where)


def _as_json(data: Data, where: str) -> Data:
    """Refuse numbers that JSON does not have, and texts that are no Unicode."""
    try:
        json.dumps(data, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None
    return data


def _changed(policy: Retry | Cache) -> Data:
    return {
        field.name: getattr(policy, field.name)
        for field in fields(policy)
        if field.name != "on" and getattr(policy, field.name) != field.default
    }


def _edges(declared: Declared, where: str) -> tuple[list[Data], set[str]]:
    """Return what was drawn, edges in chains; and the nodes that are joins by standing after a list there."""
    drawn: list[Data] = []
    joined: set[str] = set()
    number, drawings = 0, declared.drawings
    while number < len(drawings):
        drawing = drawings[number]
        number += 1
        if drawing.each:
            node, over, bind, most = drawing.each
            limit = {} if most == 16 else {"max_concurrency": most}
            drawn.append({"each": drawing.source, "node": node, "over": over, "bind": bind, **limit})
        elif drawing.is_switch:
            drawn.append(_switch(drawing, where))
        else:
            last, stops = drawing.targets, [drawing.source, _stop(drawing.targets)]
            while (after := _after(last, drawings[number : number + len(last)], declared)) is not None:
                number += len(last)
                joined.update(after if len(last) > 1 else ())
                last = after
                stops.append(_stop(after))
            drawn.append({"edge": stops})
    return drawn, joined


def _after(last: Sequence[str], following: Sequence[Drawing], declared: Declared) -> tuple[str, ...] | None:
    """Return where a chain goes on from its last stop, if what was drawn next says that and no more."""
    if any(drawing.is_switch or drawing.each for drawing in following):
        return None
    targets = {drawing.ways[0].targets for drawing in following}
    if len(targets) != 1 or [drawing.source for drawing in following] != list(last):
        return None
    after = targets.pop()
    is_join = len(after) == 1 and (after[0] in declared.joins or after[0] == END)
    return after if len(last) == 1 or is_join else None


def _stop(names: Sequence[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _switch(drawing: Drawing, where: str) -> Data:
    ways = [_way(way, f'{where}, switch("{drawing.source}")') for way in drawing.ways if way.condition]
    rest = [_stop(way.targets) for way in drawing.ways if not way.condition]
    return {"switch": drawing.source, "ways": ways} | ({"otherwise": rest[0]} if rest else {})


def _way(way: Way, where: str) -> Data:
    condition = way.condition
    if condition and condition.function:
        return {"function": _name("condition", condition.function, where), "to": _stop(way.targets)}
    if not condition or parse(condition.text).flaw != condition.flaw:
        raise SpecError(f"{where} has a condition that is neither an expression nor a function; graph.check() tells it")
    return {"when": condition.text, "to": _stop(way.targets)}
