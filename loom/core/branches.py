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

Positions are numbers: `2 * n` is node n at work, `2 * n + 1` is waiting at join n. Sets of positions
are the bits of an int, so that wide fan-outs take no longer than they must. `END` is -1 among targets.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

Pair = tuple[int, int]
ENDED = -1
OPENED_BY_START = -2


class Reach:
    """Which nodes can reach a join on paths that do not pass through an opener. Worked out on demand."""

    def __init__(self, successors: Sequence[Sequence[int]]) -> None:
        self._successors = successors
        self._known: dict[Pair, frozenset[int]] = {}
        self._positions: dict[Pair, int] = {}

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

    def positions(self, opener: int, join: int) -> int:
        """Return the positions, as bits, of the nodes that `of` returns."""
        key = (opener, join)
        if key not in self._positions:
            self._positions[key] = sum(0b11 << 2 * node for node in self.of(opener, join))
        return self._positions[key]


class Relation:
    """What may happen at once in one fan-out. `clashes`, `returns` and `deadlocks` are what must not."""

    def __init__(self, opener: int, count: int) -> None:
        self.clashes: set[int] = set()
        self.returns = False
        self.deadlocks: set[Pair] = set()
        self.unfollowed: dict[int, int] = {}
        self._opener = opener
        self._beside = [0] * (2 * count)

    def is_over_at(self, join: int) -> bool:
        """Tell whether nothing of the fan-out can be alive beside this join, be it only waiting."""
        return not self._beside[2 * join]

    def is_at_work(self, node: int) -> bool:
        """Tell whether a node may be at work beside another branch of the fan-out."""
        return bool(self._beside[2 * node])

    def are_at_work(self, first: int, second: int) -> bool:
        """Tell whether two nodes may be at work at once."""
        return bool(self._beside[2 * first] >> 2 * second & 1)

    def waited_at(self, node: int, *, waits: bool = False) -> set[int]:
        """Return the joins that are waited at beside a node that is at work, or `waits` to be."""
        return {partner // 2 for partner in bits(self._beside[2 * node + waits]) if partner % 2}

    def meet(self, position: int, partners: int, *, each_tells: bool = False) -> None:
        """Take in the pairs of a position with partners, which are bits; note those that are new.

        With `each_tells` the partners will be told of their own pairs by themselves.
        """
        if partners >> position & 1:
            partners ^= 1 << position  # two that wait at one join become one
            if position % 2 == 0:
                self.clashes.add(position // 2)
        if self._opener != OPENED_BY_START:
            at_opener = 2 * self._opener
            if partners and (position == at_opener or partners >> at_opener & 1):
                self.returns = True
            partners = 0 if position == at_opener else partners & ~(1 << at_opener)
        new = partners & ~self._beside[position]
        if new:
            self._add(position, new)
            for partner in () if each_tells else bits(new):
                self._add(partner, 1 << position)

    def _add(self, position: int, new: int) -> None:
        self._beside[position] |= new
        self.unfollowed[position] = self.unfollowed.get(position, 0) | new


def relate(
    successors: Sequence[Sequence[int]], joins: frozenset[int], reach: Reach, opener: int, targets: Sequence[int]
) -> Relation:
    """Work out the relation of the fan-out from `opener` to `targets`."""
    relation = Relation(opener, len(successors))
    entered = [2 * node + (node in joins) for node in range(len(successors))]
    together = sum({1 << entered[target] for target in targets})
    for target in targets:
        relation.meet(entered[target], together & ~(1 << entered[target]), each_tells=True)
    while relation.unfollowed:
        position, partners = relation.unfollowed.popitem()
        node, is_waiting = divmod(position, 2)
        if is_waiting:
            coming = partners & reach.positions(opener, node)
            relation.meet(2 * node, partners & ~coming)
            for other in {partner // 2 for partner in bits(coming) if partner % 2}:
                if node in reach.of(opener, other):
                    relation.deadlocks.add((min(node, other), max(node, other)))
        else:
            for target in successors[node]:
                if target != ENDED:
                    relation.meet(entered[target], partners)
    return relation


def bits(number: int) -> Iterator[int]:
    """Yield the places of the bits that are set, the lowest first."""
    while number:
        low = number & -number
        yield low.bit_length() - 1
        number ^= low
