from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.core.branches import ENDED, OPENED_BY_START, Reach, Relation, relate

# A drawing by names: "." is END, a capital letter is a join.
Drawing = Mapping[str, str]
Position = tuple[str, bool]  # a node, and whether it is only waited at


def related(drawing: Drawing, opener: str, targets: str) -> tuple[Relation, dict[str, int]]:
    index = {name: number for number, name in enumerate(drawing)}
    successors = [[ENDED if t == "." else index[t] for t in ends] for ends in drawing.values()]
    joins = frozenset(index[name] for name in drawing if name.isupper())
    number = OPENED_BY_START if opener == "START" else index[opener]
    relation = relate(successors, joins, Reach(successors), number, [index[target] for target in targets])
    return relation, index


def at_work(drawing: Drawing, opener: str, targets: str) -> set[str]:
    relation, index = related(drawing, opener, targets)
    return {a + b for a in index for b in index if a < b and relation.are_at_work(index[a], index[b])}


DIAMOND = {"a": "J", "b": "J", "J": "."}
LONG = {"a": "b", "b": "J", "c": "d", "d": "J", "J": "."}
SKIPPED = {"a": "J", "b": "Kx", "x": "J", "J": "K", "K": "."}
LOOP = {"o": "ab", "a": "J", "b": "J", "J": "o."}
PARTIAL = {"a": "J", "b": "J", "c": "K", "J": "K", "K": "."}
NESTED = {"a": "cd", "c": "K", "d": "K", "K": "J", "b": "J", "J": "."}


@pytest.mark.parametrize(
    ("drawing", "opener", "targets", "pairs"),
    [
        (DIAMOND, "START", "ab", {"ab"}),
        (LONG, "START", "ac", {"ac", "ad", "bc", "bd"}),
        (SKIPPED, "START", "ab", {"ab", "ax"}),
        (LOOP, "o", "ab", {"ab"}),
        (NESTED, "START", "ab", {"ab", "bc", "bd", "Kb"}),
        (NESTED, "a", "cd", {"cd"}),
        ({"a": ".", "b": "c", "c": "."}, "START", "ab", {"ab", "ac"}),
    ],
    ids=["diamond", "every speed", "a branch that skips a join", "in a loop", "outer", "inner", "ends"],
)
def test_nodes_of_different_branches_may_be_at_work_at_once(
    drawing: Drawing, opener: str, targets: str, pairs: set[str]
) -> None:
    relation, _ = related(drawing, opener, targets)
    assert at_work(drawing, opener, targets) == pairs
    assert (relation.clashes, relation.returns, relation.deadlocks) == (set(), False, set())


@pytest.mark.parametrize(
    ("drawing", "targets", "join", "is_over"),
    [
        (DIAMOND, "ab", "J", True),
        (LONG, "ac", "J", True),
        (NESTED, "ab", "J", True),
        (NESTED, "ab", "K", False),  # b may still be at work
        ({"a": "J", "b": "J", "c": ".", "J": "."}, "abc", "J", False),  # so may c
        (PARTIAL, "abc", "J", False),  # c may wait at K
        (PARTIAL, "abc", "K", True),
    ],
)
def test_a_fan_out_is_over_at_a_join_that_nothing_of_it_outlives(
    drawing: Drawing, targets: str, join: str, is_over: bool
) -> None:
    relation, index = related(drawing, "START", targets)
    assert relation.is_over_at(index[join]) is is_over


@pytest.mark.parametrize(
    "drawing",
    [
        {"a": "m", "b": "m", "m": "."},
        {"a": "b", "b": "."},
        {"a": "x", "b": "x", "x": "y", "y": "."},
        {"a": "Jm", "b": "Jm", "J": ".", "m": "."},
    ],
)
def test_two_branches_that_meet_outside_a_join_clash(drawing: Drawing) -> None:
    relation, _ = related(drawing, "START", "ab")
    assert relation.clashes


@pytest.mark.parametrize(
    ("drawing", "returns"),
    [
        ({"o": "ab", "a": "o", "b": "."}, True),
        ({"o": "ab", "a": "J", "b": "oJ", "J": "."}, True),
        ({"o": "oa", "a": "."}, True),
        (LOOP, False),
        ({"O": "ab", "a": "O", "b": "O."}, False),
        ({"O": "ab", "a": "O", "b": "O"}, False),
    ],
    ids=["at once", "by a switch", "the opener as its own target", "after the join", "b may end", "the opener joins"],
)
def test_a_branch_must_not_return_to_the_opener_while_another_lives(drawing: Drawing, returns: bool) -> None:
    opener = next(iter(drawing))
    relation, _ = related(drawing, opener, drawing[opener])
    assert relation.returns is returns


def test_a_fan_out_at_start_never_returns_whatever_the_numbers_of_its_joins() -> None:
    for drawing in ({"a": "J", "J": ".", "b": "J"}, {"J": ".", "a": "J", "b": "J"}, DIAMOND):
        relation, _ = related(drawing, "START", "ab")
        assert not relation.returns


@pytest.mark.parametrize(
    ("drawing", "deadlocks"),
    [
        ({"a": "J", "b": "K", "J": "K.", "K": "J."}, {"JK"}),
        ({"a": "J", "b": "K", "J": "K", "K": "."}, set[str]()),
        ({"a": "J", "b": "K", "J": ".", "K": "."}, set[str]()),
        ({"a": "J", "b": "K", "J": "x", "x": "K.", "K": "y", "y": "J."}, {"JK"}),
    ],
)
def test_joins_that_can_each_reach_the_other_wait_for_each_other(drawing: Drawing, deadlocks: set[str]) -> None:
    relation, index = related(drawing, "START", "ab")
    assert relation.deadlocks == {(index[pair[0]], index[pair[1]]) for pair in deadlocks}


def test_reach_does_not_pass_the_opener() -> None:
    reach = Reach([[1], [2], [0, 3], [ENDED]])
    assert reach.of(OPENED_BY_START, 1) == {0, 1, 2}
    assert reach.of(0, 1) == set()
    assert reach.of(0, 2) == {1}
    assert reach.of(OPENED_BY_START, 3) == {0, 1, 2}


# The same relation, grown pair by pair.


def slow(
    successors: Sequence[Sequence[int]], joins: frozenset[int], opener: int, targets: Sequence[int]
) -> tuple[set[tuple[int, int]], set[int], bool, set[tuple[int, int]]]:
    reach = Reach(successors)

    def position(node: int) -> tuple[int, bool]:
        return node, node in joins

    pairs: set[tuple[tuple[int, bool], tuple[int, bool]]] = set()
    new = [(position(a), position(b)) for a in targets for b in targets if a != b]
    clashes: set[int] = set()
    deadlocks: set[tuple[int, int]] = set()
    returns = False
    while new:
        a, b = new.pop()
        if a == b:
            clashes |= set() if a[1] else {a[0]}
        elif (opener, False) in (a, b):
            returns = True
        elif (a, b) not in pairs:
            pairs.add((a, b))
            new.append((b, a))
            if not a[1]:
                new += [(position(target), b) for target in successors[a[0]] if target != ENDED]
            elif b[0] not in reach.of(opener, a[0]):
                new.append(((a[0], False), b))
            elif b[1] and a[0] in reach.of(opener, b[0]):
                deadlocks.add((min(a[0], b[0]), max(a[0], b[0])))
    return {(a[0], b[0]) for a, b in pairs if not (a[1] or b[1])}, clashes, returns, deadlocks


@st.composite
def fan_outs(draw: st.DrawFn) -> tuple[list[list[int]], frozenset[int], int, list[int]]:
    count = draw(st.integers(2, 7))
    nodes = st.integers(0, count - 1)
    successors = draw(
        st.lists(st.lists(nodes | st.just(ENDED), min_size=1, max_size=3), min_size=count, max_size=count)
    )
    joins = draw(st.frozensets(nodes))
    opener = draw(nodes | st.just(OPENED_BY_START))
    return successors, joins, opener, draw(st.lists(nodes, min_size=2, max_size=4, unique=True))


@given(fan_outs())
def test_the_relation_is_that_of_growing_pair_by_pair(
    fan_out: tuple[list[list[int]], frozenset[int], int, list[int]],
) -> None:
    successors, joins, opener, targets = fan_out
    relation = relate(successors, joins, Reach(successors), opener, targets)
    count = range(len(successors))
    pairs = {(a, b) for a in count for b in count if relation.are_at_work(a, b)}
    assert (pairs, relation.clashes, relation.returns, relation.deadlocks) == slow(successors, joins, opener, targets)


def test_a_fan_out_of_a_thousand_is_related_at_once() -> None:
    successors = [[1000]] * 1000 + [[ENDED]]
    relation = relate(successors, frozenset({1000}), Reach(successors), OPENED_BY_START, range(1000))
    assert relation.are_at_work(0, 999)
    assert relation.is_over_at(1000)
