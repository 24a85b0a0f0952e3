"""Everything that can be known of a graph before it runs, each finding with its code.

The findings are those of the table in the reference: 1xx is the shape, 2xx the data, 3xx the safety.
networkx does the graph theory; branches and the flow of data are in `flow`.
"""

from collections.abc import Iterator, Sequence

import networkx as nx

from loom.core.condition import flaw_in
from loom.core.declared import END, START, Declared, Drawing, Each, Placed
from loom.core.flow import branch_problems, reachable, unwritten_reads
from loom.core.node import FunctionNode, GraphNode, Port
from loom.core.state import Field, reducer_flaw
from loom.errors import Problem, did_you_mean, quoted
from loom.types.annotations import fits, list_item, type_name

_RESERVED = (START, END)


def find_problems(declared: Declared) -> list[Problem]:
    """Return every problem of the graph, in the order of their codes."""
    problems = [*_names(declared), *_targets(declared), *_ways_out(declared)]
    has_ways = all(problem.severity == "warning" for problem in problems)
    problems += [
        *_reachability(declared),
        *_spellings(declared),
        *_ports(declared),
        *_fields(declared),
        *_conditions(declared),
        *_eaches(declared),
        *_gates(declared),
        *_policies(declared),
    ]
    if has_ways:  # else there is no walk whose data could be followed
        problems += branch_problems(declared)
        is_tree = all(problem.code != "LOOM106" for problem in problems)
        problems += unwritten_reads(declared, is_tree=is_tree)
    return sorted(problems, key=lambda problem: problem.code)


def _names(declared: Declared) -> Iterator[Problem]:
    """LOOM109, where it is not clear which node an edge means."""
    for name in declared.taken:
        yield Problem("LOOM109", f'node "{name}"', f'the name "{name}" is taken; give this node another')
    for name in _RESERVED:
        if name in declared.nodes:
            yield Problem("LOOM109", f'node "{name}"', f'the name "{name}" is reserved; give the node another')


def _spellings(declared: Declared) -> Iterator[Problem]:
    """LOOM109, where it is."""
    for name in declared.nodes:
        if not name.strip():
            yield Problem("LOOM109", f'node "{name}"', "a node's name is empty; give it one")
        elif "/" in name:
            message = f'the name "{name}" has a "/", which stands for nodes of inner graphs; leave it out'
            yield Problem("LOOM109", f'node "{name}"', message)


def _targets(declared: Declared) -> Iterator[Problem]:
    """LOOM101 and LOOM110."""
    known = declared.nodes.keys() - _RESERVED
    for drawing in declared.drawings:
        if drawing.source not in known and drawing.source != START:
            yield _no_node(declared, drawing, "the source", drawing.source)
        for target in drawing.targets:
            if target not in known and (target != END or drawing.each):
                yield _no_node(declared, drawing, "a target", target)
        for way in drawing.ways:
            if len(way.targets) != 1:
                yield from _list_flaws(drawing, way.targets)
    for crooked in declared.crooked:
        yield Problem("LOOM110", "edge()", f"{crooked}; put a node between them where the branches join")


def _no_node(declared: Declared, drawing: Drawing, role: str, name: str) -> Problem:
    if name in _RESERVED:
        return Problem("LOOM101", drawing.call, f'"{name}" cannot be {role} here; name a node')
    nodes = declared.nodes
    return Problem(
        "LOOM101", drawing.call, f'"{name}" is no node; nodes are {quoted(nodes)}.{did_you_mean(name, nodes)}'
    )


def _list_flaws(drawing: Drawing, targets: Sequence[str]) -> Iterator[Problem]:
    if not targets:
        yield Problem("LOOM110", drawing.call, "the list of targets is empty; name at least one")
    if len(set(targets)) < len(targets):
        twice = {target for target in targets if targets.count(target) > 1}
        message = f"the list names {quoted(twice)} twice; a fan-out has one branch for each target"
        yield Problem("LOOM110", drawing.call, message)
    if END in targets:
        message = '"END" stands in a list; a branch that has nothing to do needs no target'
        yield Problem("LOOM110", drawing.call, message)


def _ways_out(declared: Declared) -> Iterator[Problem]:
    """LOOM105 and LOOM107."""
    drawn: dict[str, list[Drawing]] = {name: [] for name in (START, *declared.nodes)}
    for drawing in declared.drawings:
        drawn.setdefault(drawing.source, []).append(drawing)
        if drawing.is_switch and drawing.ways and drawing.ways[-1].condition is not None:
            message = "no `otherwise`: the run fails with NoEdgeError when no condition holds"
            yield Problem("LOOM107", drawing.call, message, "warning")
        if not drawing.ways:
            yield Problem("LOOM105", drawing.call, "the switch has no way; give it a condition or `otherwise`")
    for name, drawings in drawn.items():
        where = f'node "{name}"'
        if not drawings:
            yield Problem("LOOM105", where, f'"{name}" has no outgoing edge; draw one, to END if it is the last')
        elif len(drawings) > 1 and not any(drawing.is_switch or drawing.each for drawing in drawings):
            targets = ", ".join(f'"{t}"' for t in dict.fromkeys(t for drawing in drawings for t in drawing.targets))
            remedy = f'edge("{name}", [{targets}])' if "," in targets else f'edge("{name}", {targets})'
            yield Problem("LOOM105", where, f'"{name}" has {len(drawings)} edges; draw one, {remedy}')
        elif len(drawings) > 1:
            calls = " and ".join(sorted({drawing.call for drawing in drawings}))
            remedy = "keep one" if any(drawing.each for drawing in drawings) else "put them into one switch"
            yield Problem("LOOM105", where, f'"{name}" has {len(drawings)} ways out, {calls}; {remedy}')


def _reachability(declared: Declared) -> Iterator[Problem]:
    """LOOM102, LOOM103 and LOOM104."""
    successors = declared.successors
    shape: nx.DiGraph[str] = nx.DiGraph()
    shape.add_nodes_from([*successors, END])
    shape.add_edges_from((source, target) for source, targets in successors.items() for target in targets)
    from_start = reachable(shape, START)
    to_end = nx.ancestors(shape, END)  # pyright: ignore[reportUnknownMemberType] - networkx hides its types
    dead_ends = {name for name, targets in successors.items() if not targets}
    endless: set[str] = set()
    for component in nx.strongly_connected_components(shape):
        first = next(iter(component))
        is_cycle = len(component) > 1 or shape.has_edge(first, first)
        if is_cycle and not any(target not in component for name in component for target in shape[name]):
            endless |= component
            message = f"the cycle of {quoted(component)} has no way out; leave it by a switch"
            yield Problem("LOOM104", f'node "{min(component)}"', message)
    for name in declared.nodes:
        if name not in from_start:
            message = f'"{name}" cannot be reached from START; draw an edge to it or remove it'
            yield Problem("LOOM102", f'node "{name}"', message)
        if name not in to_end and name not in dead_ends and name not in endless:
            message = f'"{name}" cannot reach END: it only leads into a dead end or an endless cycle'
            yield Problem("LOOM103", f'node "{name}"', message)


def _ports(declared: Declared) -> Iterator[Problem]:
    """LOOM201 and LOOM202."""
    fields, eaches = declared.fields, declared.eaches
    for name, placed in declared.nodes.items():
        where = f'node "{name}"'
        if placed.reads or placed.writes:
            yield from _unknown_ports(placed, where)
        for port, read in placed.inputs:
            if name in eaches and port.name == eaches[name].bind:
                continue
            if read not in fields:
                if not port.has_default or port.name in placed.reads:
                    yield _no_field(declared, where, f'port "{port.name}" reads "{read}"', read)
            elif not fits(fields[read].values.type, port.type):
                yield _misfit(where, port, "wants", fields[read])
        for port, written in placed.outputs:
            if written not in fields:
                yield _no_field(declared, where, f'port "{port.name}" writes "{written}"', written)
            elif not fits(port.type, fields[written].values.type):
                yield _misfit(where, port, "gives", fields[written])
        yield from _shared_fields(placed)


def _misfit(where: str, port: Port, verb: str, field: Field) -> Problem:
    held = f'field "{field.name}" holds {type_name(field.values.type)}'
    return Problem("LOOM202", where, f'port "{port.name}" {verb} {type_name(port.type)}, {held}')


def _unknown_ports(placed: Placed, where: str) -> Iterator[Problem]:
    for mapping, ports, word in (
        (placed.reads, [port.name for port, _ in placed.inputs], "reads"),
        (placed.writes, [port.name for port, _ in placed.outputs], "writes"),
    ):
        for name in sorted(mapping.keys() - set(ports)):
            message = f'{word}= maps "{name}", which is no port; ports are {quoted(ports)}.{did_you_mean(name, ports)}'
            yield Problem("LOOM201", where, message)


def _shared_fields(placed: Placed) -> Iterator[Problem]:
    """LOOM204 in the small: two outputs of one node, of which one would be lost."""
    written = [field for _, field in placed.outputs]
    if len(set(written)) == len(written):
        return
    for field in sorted({field for field in written if written.count(field) > 1}):
        ports = quoted(port.name for port, name in placed.outputs if name == field)
        message = f'the ports {ports} of "{placed.name}" write it at once; map each to a field of its own'
        yield Problem("LOOM204", f'field "{field}"', message)


def _no_field(declared: Declared, where: str, what: str, name: str) -> Problem:
    known = declared.fields
    hint = did_you_mean(name, known)
    message = f"{what}, which is no field of {declared.state.__name__}; fields are {quoted(known)}.{hint}"
    return Problem("LOOM201", where, message)


def _fields(declared: Declared) -> Iterator[Problem]:
    """LOOM205 and LOOM207, and reducers and inputs that do not fit."""
    read = {name for placed in declared.nodes.values() for _, name in placed.inputs}
    ways = [way for drawing in declared.drawings for way in drawing.ways]
    read |= {name for way in ways if way.condition for name in way.condition.reads}
    read |= {each.over for each in declared.eaches.values()}
    used = read | declared.written | set(declared.inputs)
    for name, field in declared.fields.items():
        where = f'field "{name}"'
        if field.values.flaw:
            message = f"{type_name(field.values.type)} cannot be saved as JSON: {field.values.flaw}"
            yield Problem("LOOM205", where, message)
        if flaw := reducer_flaw(field):
            yield Problem("LOOM202", where, flaw)
        if name not in used:
            yield Problem("LOOM207", where, f'nothing reads or writes "{name}"; remove it', "warning")
    for name in declared.inputs:
        if name not in declared.fields:
            yield _no_field(declared, f'graph "{declared.name}"', f'inputs= names "{name}"', name)


def _conditions(declared: Declared) -> Iterator[Problem]:
    """LOOM206."""
    for drawing in declared.drawings:
        for way in drawing.ways:
            if way.condition and (flaw := flaw_in(way.condition, declared.fields)):
                yield Problem("LOOM206", drawing.call, flaw)


def _eaches(declared: Declared) -> Iterator[Problem]:
    """LOOM208."""
    for drawing in declared.drawings:
        if drawing.each:
            for message in _each_flaws(declared, drawing, drawing.each):
                yield Problem("LOOM208", drawing.call, message)


def _each_flaws(declared: Declared, drawing: Drawing, each: Each) -> Iterator[str]:
    fields, placed = declared.fields, declared.nodes.get(each.node)
    field = fields.get(each.over)
    item = list_item(field.values.type) if field else None
    if field is None:
        yield f'over="{each.over}" is no field; fields are {quoted(fields)}.{did_you_mean(each.over, fields)}'
    elif item is None:
        yield f'over="{each.over}" holds {type_name(field.values.type)}; expected a list or a tuple of one type'
    if placed is None:
        return
    ports = {port.name: port for port, _ in placed.inputs}
    if each.bind not in ports:
        hint = did_you_mean(each.bind, ports)
        yield f'bind="{each.bind}" is no port of "{each.node}"; ports are {quoted(ports)}.{hint}'
    elif item is not None and not fits(item, ports[each.bind].type):
        wanted = type_name(ports[each.bind].type)
        yield f'port "{each.bind}" wants {wanted}, an item of "{each.over}" is {type_name(item)}'
    for _, written in placed.outputs:
        if written in fields and fields[written].reducer is None:
            yield (
                f'"{each.node}" writes field "{written}" once for each item, and it has no reducer; '
                "give it one (append, merge, add, Reducer)"
            )
    others = [d.call for d in declared.drawings if d is not drawing and each.node in d.targets]
    if others or each.node in declared.joins:
        by = ", ".join(sorted(set(others))) or "a list"
        yield f'"{each.node}" is also reached by {by}, where its port "{each.bind}" would have no item'


def _gates(declared: Declared) -> Iterator[Problem]:
    """LOOM301: take every gate out; no ungated `write` node may be reachable from START or from itself.

    An inner graph was checked by itself.
    """
    writers = [
        name
        for name, placed in declared.nodes.items()
        if placed.node.effect == "write" and not placed.ungated and not isinstance(placed.node, GraphNode)
    ]
    if not writers:
        return
    successors = declared.successors
    open_ways: nx.DiGraph[str] = nx.DiGraph()
    open_ways.add_nodes_from([START, *declared.nodes])
    for source, targets in successors.items():
        if source == START or not declared.nodes[source].is_gate:
            open_ways.add_edges_from((source, t) for t in targets if t != END and not declared.nodes[t].is_gate)
    from_start = reachable(open_ways, START)
    for name in writers:
        again = any(name == target or name in reachable(open_ways, target) for target in open_ways[name])
        if name in from_start or again:
            origin = "START" if name in from_start else f'"{name}" itself'
            message = (
                f'"{name}" writes to the world and can be reached from {origin} without passing a gate; '
                'put a veto or approve node on every way to it, or say ungated="why"'
            )
            yield Problem("LOOM301", f'node "{name}"', message)


def _policies(declared: Declared) -> Iterator[Problem]:
    """LOOM302."""
    for name, placed in declared.nodes.items():
        for message in _not_honoured(placed):
            yield Problem("LOOM302", f'node "{name}"', message)


def _not_honoured(placed: Placed) -> Iterator[str]:
    node = placed.node
    if placed.cache and node.effect == "write":
        yield "a cache would leave its effect out the second time; a node that writes cannot have one"
    if placed.cache and placed.is_gate:
        yield (
            f'a cache would reuse its verdict in other runs; a gate, of kind "{node.kind}", cannot have one: '
            "it decides each time"
        )
    if placed.cache and isinstance(node, GraphNode):
        yield "a graph cannot have a cache; give its nodes one"
    if isinstance(node, GraphNode) and (placed.retry or placed.timeout_s is not None):
        yield "a graph cannot have a retry or a timeout of its own; give its nodes one"
    if placed.timeout_s is not None and isinstance(node, FunctionNode) and not (node.is_async or node.thread):
        yield (
            f"timeout_s={placed.timeout_s:g} cannot stop a sync function that runs inline; make it async, or let "
            "it run in a thread"
        )
