"""Data-flow over a graph: what branches may do at once, and what may be read before it is written.

**Branches** (LOOM106, 108, 204). `branches.relate` gives, for every fan-out, the pairs of nodes that
may be at work at once. A node paired with itself, or the opener met again while a branch lives, is
LOOM106; two joins that wait for each other, in one fan-out or over two of which one opens the other,
are LOOM108; two writers of one field without a reducer are LOOM204.

**Definite assignment** (LOOM203). For every node the set of fields that are surely written in its
past is the largest solution of: what all edges into the node bring, plus what the node writes. At a
join the branches that must arrive add what they surely bring: a branch of a fan-out must arrive if
every way to the join passes the fan-out's source and no way from the branch's first node avoids the
join, but for the other branches of fan-outs on it. So do the branches of a fan-out on the way of such
a branch. Where a switch chooses between fan-outs, only what all its ways to the join bring is sure.
END counts as a join at which all branches arrive. A node writes a field surely if the port has no
default and it is not the node of an `each`, whose list may be empty; the ports of an inner graph have
none where its END surely brings the field.

Both over-approximate: every way of a switch counts as possible, whatever its condition says. What a
branch brings that a switch leads past one join to the next is not followed.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, product

import networkx as nx

from loom.core.branches import ENDED, OPENED_BY_START, Reach, Relation, relate
from loom.core.declared import END, START, Declared, Drawing
from loom.errors import Problem, quoted


def reachable(shape: "nx.Graph[str]", name: str) -> set[str]:
    """Return the nodes that can be reached from a node, itself not counted."""
    return nx.descendants(shape, name)  # pyright: ignore[reportUnknownMemberType] - networkx hides its types


def branch_problems(declared: Declared) -> Iterator[Problem]:
    """LOOM106, LOOM108 and LOOM204."""
    names = list(declared.nodes)
    index = {name: number for number, name in enumerate(names)} | {END: ENDED, START: OPENED_BY_START}
    successors = [[index[t] for t in targets] for name, targets in declared.successors.items() if name != START]
    joins = frozenset(index[name] for name in names if name in declared.joins)
    reach = Reach(successors)
    clashes: dict[str, str] = {}
    returns: dict[str, None] = {}
    deadlocks: dict[tuple[str, str], None] = {}
    relations: list[Relation] = []
    opened: dict[int, list[Relation]] = {}
    for source, targets in declared.fan_outs():
        relation = relate(successors, joins, reach, index[source], [index[target] for target in targets])
        clashes |= {names[number]: source for number in sorted(relation.clashes)}
        returns |= {source: None} if relation.returns else {}
        deadlocks |= {(names[a], names[b]): None for a, b in sorted(relation.deadlocks)}
        relations.append(relation)
        opened.setdefault(index[source], []).append(relation)
    deadlocks |= {(names[a], names[b]): None for a, b in sorted(_nested_deadlocks(opened, reach))}
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
    yield from _double_writes(declared, index, relations)


def _nested_deadlocks(opened: Mapping[int, list[Relation]], reach: Reach) -> set[tuple[int, int]]:
    """Return the joins that wait for each other over two fan-outs: one of them is waited at in the outer one too."""
    found: set[tuple[int, int]] = set()
    for outer, relations in opened.items():
        for around, inner in product(relations, opened.keys() - {OPENED_BY_START}):
            for join in around.waited_at(inner) if around.is_at_work(inner) else ():
                for other in set[int]().union(*(inside.waited_at(join, waits=True) for inside in opened[inner])):
                    if join in reach.of(inner, other) and other in reach.of(outer, join):
                        found.add((min(join, other), max(join, other)))
    return found


def _double_writes(declared: Declared, index: Mapping[str, int], relations: list[Relation]) -> Iterator[Problem]:
    writers: dict[str, list[str]] = {}
    for name in sorted(declared.nodes):
        for _, field in declared.nodes[name].outputs:
            if field in declared.fields and declared.fields[field].reducer is None:
                writers.setdefault(field, []).append(name)
    clashes = {
        (field, first, second)
        for relation in relations
        for field, names in writers.items()
        for first, second in combinations([name for name in names if relation.is_at_work(index[name])], 2)
        if relation.are_at_work(index[first], index[second])
    }
    for field, first, second in sorted(clashes):
        message = (
            f'"{first}" and "{second}" may write it at once, and it has no reducer; '
            "give it one (append, merge, add, Reducer) or let one branch write it"
        )
        yield Problem("LOOM204", f'field "{field}"', message)


def unwritten_reads(declared: Declared, *, is_tree: bool) -> Iterator[Problem]:
    """LOOM203. `is_tree` tells that branches meet at joins alone; else only the outer fan-outs are followed."""
    doubtful = _doubtful(declared)
    if not doubtful:
        return
    before = _surely_written(declared, doubtful, is_tree)
    eaches = declared.eaches
    for name, placed in declared.nodes.items():
        item = eaches[name].bind if name in eaches else None
        reads = {field for port, field in placed.inputs if not port.has_default and port.name != item}
        for field in sorted(reads & doubtful - before[name]):
            yield _unwritten(declared, f'node "{name}"', f'"{name}" may read', field)
    for drawing in declared.drawings:
        written = before[drawing.source] | _writes(declared, drawing.source)
        for field in sorted(_read_by(drawing) & doubtful - written):
            reader = "over= may read" if drawing.each else "a condition may read"
            yield _unwritten(declared, drawing.call, reader, field)


def written_at_end(declared: Declared) -> frozenset[str]:
    """Return the fields of a graph without problems that surely have a value when a run of it is over."""
    doubtful = _doubtful(declared)
    sure = declared.fields.keys() - doubtful
    return frozenset(sure | _surely_written(declared, doubtful, is_tree=True)[END] if doubtful else sure)


def _doubtful(declared: Declared) -> set[str]:
    """Return the fields that have no value before some node writes them."""
    known = declared.written & declared.fields.keys()
    return {name for name in known.difference(declared.given) if not declared.fields[name].has_default}


def _unwritten(declared: Declared, where: str, what: str, field: str) -> Problem:
    reasons = [
        f'"{name}" may end without having written it'
        if name not in declared.eaches
        else f'"{name}" writes it for each item of "{declared.eaches[name].over}", which may be empty'
        for name, placed in declared.nodes.items()
        for port, written in placed.outputs
        if written == field and (name in declared.eaches or port.has_default)
    ]
    message = (
        f'{what} "{field}" before anything writes it{": " if reasons else ""}{", ".join(reasons)}; give the field '
        f"a default, or say that it is always given, Graph(…, inputs=({quoted([field])},))"
    )
    return Problem("LOOM203", where, message)


def _read_by(drawing: Drawing) -> set[str]:
    read = {name for way in drawing.ways if way.condition for name in way.condition.reads}
    return read | {drawing.each.over} if drawing.each else read


def _writes(declared: Declared, name: str) -> frozenset[str]:
    """Return the fields that a node surely writes, by the time that what follows it starts."""
    if name in (START, END) or name in declared.eaches:  # which runs over nothing where the list is empty
        return frozenset()
    return frozenset(field for port, field in declared.nodes[name].outputs if not port.has_default)


def _surely_written(declared: Declared, fields: set[str], is_tree: bool) -> dict[str, frozenset[str]]:
    """Return, for START, each node and END, which of `fields` are surely written before it."""
    arrivals = _Arrivals(declared, is_tree)
    shape = arrivals.shape
    writes = {name: _writes(declared, name) & fields for name in shape}
    joins = {*declared.joins, END} & reachable(shape, START)
    fans = {name: arrivals.fans_before(name, START, frozenset()) for name in joins}
    before = dict.fromkeys(shape, frozenset(fields))
    before[START] = frozenset()
    todo = deque(shape)
    while todo:  # sets only shrink, so this ends
        name = todo.popleft()
        after = {source: before[source] | writes[source] for source in shape.pred[name]}
        if not after:
            continue
        found = _common(after.values()).union(*(_brought(fan, after) for fan in fans.get(name, ())))
        if found != before[name]:
            before[name] = found
            todo.extend(target for target in shape[name] if target not in todo)
    return before


@dataclass(frozen=True, slots=True)
class _Branch:
    """A branch that must arrive at a join: from which nodes it may come, which fan-outs it passes on its way."""

    sources: frozenset[str]
    passes: tuple["_Fan", ...]


_Fan = tuple[tuple[_Branch, ...], ...]
"""A fan-out: for each of its ways that lead to the join, the branches that must arrive."""


def _brought(fan: _Fan, after: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return what the branches of a fan-out surely bring to the join, whichever way is taken."""
    empty = frozenset[str]()
    return _common(empty.union(*(_brought_by(one, after) for one in way)) for way in fan)


def _brought_by(branch: _Branch, after: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return _common(after[source] for source in branch.sources).union(*(_brought(fan, after) for fan in branch.passes))


def _common(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    first, *others = sets
    return first.intersection(*others)


class _Arrivals:
    """Which branches of which fan-outs must arrive at a join. END is one too, at which every branch arrives."""

    def __init__(self, declared: Declared, is_tree: bool) -> None:
        successors = declared.successors
        self._declared = declared
        self._is_tree = is_tree
        self._ways = {drawing.source: drawing.ways for drawing in declared.drawings}
        self.shape: nx.DiGraph[str] = nx.DiGraph()
        self.shape.add_edges_from((s, t) for s, targets in successors.items() for t in targets)

    def fans_before(self, join: str, root: str, openers: frozenset[str]) -> tuple[_Fan, ...]:
        """Return the fan-outs that every way from `root` to `join` passes, without passing `openers`.

        What lies before another join on the way is left out: that one knows it already.
        """
        dominators = nx.immediate_dominators(nx.restricted_view(self.shape, openers, ()), root)
        found: list[_Fan] = []
        name = join
        while name != root:
            name = dominators[name]
            if any(len(way.targets) > 1 for way in self._ways[name]):
                found.append(self._fan(name, join, openers | {name}))
            if name in self._declared.joins:
                break
        return tuple(found)

    def _fan(self, source: str, join: str, openers: frozenset[str]) -> _Fan:
        ways: list[tuple[_Branch, ...]] = []
        for way in self._ways[source]:
            found = [self._branch(source, target, join, openers) for target in way.targets]
            if any(may_arrive for may_arrive, _ in found):
                ways.append(tuple(branch for _, branch in found if branch))
        return tuple(ways)

    def _branch(self, source: str, target: str, join: str, openers: frozenset[str]) -> tuple[bool, _Branch | None]:
        """Tell whether the branch that begins at `target` may arrive, and how, if it must."""
        if target == join:
            return True, _Branch(frozenset({source}), ())
        if target == END or target in openers:
            return False, None
        region = {target} | reachable(nx.restricted_view(self.shape, openers | {join}, ()), target)
        sources = region & set(self.shape.pred[join])
        if not sources or not self._must_arrive(target, join, region):
            return bool(sources), None
        passes = self.fans_before(join, target, openers) if self._is_tree else ()
        return True, _Branch(frozenset(sources), passes)

    def _must_arrive(self, target: str, join: str, region: set[str]) -> bool:
        """Tell whether a branch in a region comes to a join: by every way of a switch, by any branch of a fan-out."""
        sure = {*region - {END}, join}
        while lost := {n for n in sure - {join} if not all(sure.intersection(way.targets) for way in self._ways[n])}:
            sure -= lost
        return target in sure
