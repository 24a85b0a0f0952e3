"""What branches of a fan-out may do beside each other: known before anything runs.

For each fan-out a relation over pairs of positions is worked out. A position is a node at work or a
join waited at. The relation starts with the pairs of the fan-out's targets and grows:

- each edge of one partner gives new pairs with the other;
- entering a join means waiting there;
- a wait becomes work only where the partner cannot reach the join any more;
- two that wait at the same join become one, so their pair ends.

It over-approximates: it takes every way of a switch as possible and every relative speed. "Can reach"
is reachability on paths that do not pass through the node that opened the fan-out, so that fan-outs
work inside loops.

Positions are numbers: `n` is node n at work, `~n` is waiting at join n. `END` is -1 among targets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

Pair = tuple[int, int]
ENDED = -1
OPENED_BY_START = -2


class Reach:
    """Which nodes can reach a join on paths that do not pass through an opener. Worked out on demand."""

    def __init__(self, successors: Sequence[Sequence[int]]) -> None:
        self._successors = successors
        self._known: dict[Pair, frozenset[int]] = {}

    @cached_property
    def _predecessors(self) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in self._successors]
        for source, targets in enumerate(self._successors):
            for target in targets:
                if target != ENDED:
                    found[target].append(source)
        return found

    def of(self, opener: int, join: int) -> frozenset[int]:
        """Return the nodes from which `join` can be reached without passing `opener` again."""
        key = (opener, join)
        if key not in self._known:
            found: set[int] = set()
            todo = [join]
            while todo:
                for source in self._predecessors[todo.pop()]:
                    if source not in found and source != opener:
                        found.add(source)
                        todo.append(source)
            self._known[key] = frozenset(found)
        return self._known[key]


@dataclass(slots=True)
class Relation:
    """What may happen at once in one fan-out. `clashes` and `deadlocks` are what must not."""

    opener: int
    beside: dict[int, set[int]] = field(default_factory=dict[int, set[int]])
    clashes: set[int] = field(default_factory=set[int])
    returns: bool = False
    deadlocks: set[Pair] = field(default_factory=set[Pair])

    def is_new(self, a: int, b: int) -> bool:
        """Take in a pair; tell whether it leads to others that are not known yet."""
        if a == b:
            if a >= 0:
                self.clashes.add(a)
            return False  # two that wait at one join become one
        if self.opener in (a, b) and self.opener != OPENED_BY_START:  # which is no position: ~1 has the same number
            self.returns = True
            return False
        if b in self.beside.setdefault(a, set()):
            return False
        self.beside[a].add(b)
        self.beside.setdefault(b, set()).add(a)
        return True

    def is_over_at(self, join: int) -> bool:
        """Tell whether nothing of the fan-out can be alive beside this join, be it only waiting."""
        return not self.beside.get(join)

    def pairs_at_work(self) -> list[Pair]:
        """Return the pairs of nodes that may be at work at once, smaller number first, sorted."""
        return sorted((a, b) for a, others in self.beside.items() if a >= 0 for b in others if b > a)


def relate(
    successors: Sequence[Sequence[int]], joins: frozenset[int], reach: Reach, opener: int, targets: Sequence[int]
) -> Relation:
    """Work out the relation of the fan-out from `opener` to `targets`."""
    relation = Relation(opener)

    def entered(target: int) -> int:
        return ~target if target in joins else target

    def follow(mover: int, partner: int) -> Iterator[Pair]:
        if mover >= 0:
            yield from ((entered(target), partner) for target in successors[mover] if target != ENDED)
            return
        join, other = ~mover, partner if partner >= 0 else ~partner
        if other not in reach.of(opener, join):
            yield join, partner
        elif partner < 0 and join in reach.of(opener, other):
            relation.deadlocks.add((min(join, other), max(join, other)))

    todo = [(entered(first), entered(second)) for first, second in combinations(targets, 2)]
    while todo:
        a, b = todo.pop()
        if relation.is_new(a, b):
            todo += [*follow(a, b), *follow(b, a)]
    return relation
