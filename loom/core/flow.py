"""Data-flow over a graph: what branches may do at once, and what may be read before it is written.

**Branches** (LOOM106, 108, 204). `branches.relate` gives, for every fan-out, the pairs of nodes that
may be at work at once. A node paired with itself, or the opener met again while a branch lives, is
LOOM106; two joins that wait for each other are LOOM108; two writers of one field without a reducer
are LOOM204.

**Definite assignment** (LOOM203). For every node the set of fields that are surely written in its
past is the largest solution of: what all edges into the node bring, plus what the node writes. At a
join the branches that must arrive add what they surely bring: a branch of a fan-out must arrive if
the fan-out's source dominates the join and no way from the branch's first node avoids it. A node
writes a field surely if the port has no default.

Both over-approximate: every way of a switch counts as possible, whatever its condition says.
"""

from collections import deque
from collections.abc import Iterator

import networkx as nx

from loom.core.branches import ENDED, OPENED_BY_START, Reach, relate
from loom.core.declared import END, START, Declared, Drawing
from loom.errors import Problem, quoted


def branch_problems(declared: Declared) -> Iterator[Problem]:
    """LOOM106, LOOM108 and LOOM204."""
    names = list(declared.nodes)
    index = {name: number for number, name in enumerate(names)} | {END: ENDED, START: OPENED_BY_START}
    successors = [[index[t] for t in targets] for name, targets in declared.successors().items() if name != START]
    joins = frozenset(index[name] for name in names if declared.is_join(name))
    reach = Reach(successors)
    clashes: dict[str, str] = {}
    returns: dict[str, None] = {}
    deadlocks: dict[tuple[str, str], None] = {}
    pairs: dict[tuple[int, int], None] = {}
    for source, targets in declared.fan_outs():
        relation = relate(successors, joins, reach, index[source], [index[target] for target in targets])
        clashes |= {names[number]: source for number in sorted(relation.clashes)}
        returns |= {source: None} if relation.returns else {}
        deadlocks |= {(names[a], names[b]): None for a, b in sorted(relation.deadlocks)}
        pairs |= dict.fromkeys(relation.pairs_at_work())
    for name, source in clashes.items():
        message = (
            f'branches from "{source}" may be at work at "{name}" at once; make it a join '
            "(the stop after a list, or node(…, join=True)), or keep the branches apart"
        )
        yield Problem("LOOM106", f'node "{name}"', message)
    for name in returns:
        message = f'a branch jumps back to "{name}" before the fan-out it opened is over; join the branches first'
        yield Problem("LOOM106", f'node "{name}"', message)
    for first, second in deadlocks:
        message = f'the joins "{first}" and "{second}" wait for each other: each can still be reached from the other'
        yield Problem("LOOM108", f'node "{first}"', message)
    yield from _double_writes(declared, names, pairs)


def _double_writes(declared: Declared, names: list[str], pairs: dict[tuple[int, int], None]) -> Iterator[Problem]:
    writes = {
        name: {field for _, field in placed.outputs if declared.fields[field].reducer is None}
        for name, placed in declared.nodes.items()
    }
    clashes = {
        (field, *sorted((names[a], names[b]))): None for a, b in pairs for field in writes[names[a]] & writes[names[b]]
    }
    for field, first, second in sorted(clashes):
        message = (
            f'"{first}" and "{second}" may write it at once, and it has no reducer; '
            "give it one (append, merge, add, Reducer) or let one branch write it"
        )
        yield Problem("LOOM204", f'field "{field}"', message)


def unwritten_reads(declared: Declared) -> Iterator[Problem]:
    """LOOM203."""
    given = set(declared.given())
    doubtful = {
        name for name, field in declared.fields.items() if not field.has_default and name not in given
    } & declared.written()
    if not doubtful:
        return
    before = _surely_written(declared, doubtful)
    reported: set[tuple[str, str]] = set()
    eaches = declared.eaches()
    for name, placed in declared.nodes.items():
        item = eaches[name].bind if name in eaches else None
        reads = {field for port, field in placed.inputs if not port.has_default and port.name != item}
        for field in sorted(reads & doubtful - before[name]):
            yield _unwritten(f'node "{name}"', f'"{name}" may read', field)
    for drawing in declared.drawings:
        written = before[drawing.source] | _writes(declared, drawing.source)
        for field in sorted(_read_by(drawing) & doubtful - written):
            if (drawing.source, field) not in reported:
                reported.add((drawing.source, field))
                reader = "over= may read" if drawing.each else "a condition may read"
                yield _unwritten(drawing.call, reader, field)


def _unwritten(where: str, what: str, field: str) -> Problem:
    message = (
        f'{what} "{field}" before anything writes it; give the field a default, '
        f'or say that it is always given, Graph(…, inputs=({quoted([field])},))'
    )
    return Problem("LOOM203", where, message)


def _read_by(drawing: Drawing) -> set[str]:
    read = {name for way in drawing.ways if way.condition for name in way.condition.reads}
    return read | {drawing.each.over} if drawing.each else read


def _writes(declared: Declared, name: str) -> frozenset[str]:
    """Return the fields that a node surely writes."""
    if name == START:
        return frozenset()
    return frozenset(field for port, field in declared.nodes[name].outputs if not port.has_default)


def _surely_written(declared: Declared, fields: set[str]) -> dict[str, frozenset[str]]:
    """Return, for START and each node, which of `fields` are surely written before it starts."""
    successors = declared.successors()
    shape: "nx.DiGraph[str]" = nx.DiGraph()
    shape.add_nodes_from(successors)
    shape.add_edges_from((s, t) for s, targets in successors.items() for t in targets if t != END)
    writes = {name: _writes(declared, name) & fields for name in successors}
    groups = {name: _must_arrive(declared, shape, name) for name in declared.nodes if declared.is_join(name)}
    everything = frozenset(fields)
    before = dict.fromkeys(successors, everything)
    before[START] = frozenset()
    todo = deque(shape)
    while todo:  # sets only shrink, so this ends
        name = todo.popleft()
        after = {source: before[source] | writes[source] for source in shape.pred[name]}
        if not after:
            continue
        found = frozenset.intersection(*after.values())
        for group in groups.get(name, ()):
            found |= frozenset.intersection(*(after[source] for source in group))
        if found != before[name]:
            before[name] = found
            todo.extend(target for target in shape[name] if target not in todo)
    return before


def _must_arrive(declared: Declared, shape: "nx.DiGraph[str]", join: str) -> list[set[str]]:
    """Return, for each branch that must arrive at a join, the sources of the edges it arrives by."""
    dominators = nx.immediate_dominators(shape, START)
    found: list[set[str]] = []
    for source, targets in declared.fan_outs():
        if not _dominates(dominators, source, join):
            continue
        around = nx.DiGraph(shape)
        around.remove_nodes_from([join] if source == START else [join, source])
        leaves = {name for name, ends in declared.successors().items() if END in ends}
        for target in targets:
            if target == join:
                found.append({source})
                continue
            if target not in around:
                continue
            region = {target} | nx.descendants(around, target)
            escapes = region & leaves or (source != START and any(source in shape[name] for name in region))
            arrivals = region & set(shape.pred[join])
            if not escapes and arrivals:
                found.append(arrivals)
    return found


def _dominates(dominators: dict[str, str], name: str, other: str) -> bool:
    while other in dominators and dominators[other] != other:
        other = dominators[other]
        if other == name:
            return True
    return name == START
