from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loom import END, START
from tests.core.reference import interpreted
from tests.core.sketches import Choice, Sketch, Ways, idle, sketches


def sketched(ways: dict[str, Ways], joins: str = "") -> Sketch:
    sketch = Sketch({START: ("a",), **ways}, frozenset(joins), frozenset())
    assert [problem for problem in sketch.graph(idle).check() if problem.severity == "error"] == []
    return sketch


def first(count: int) -> int:
    return 0


def last(count: int) -> int:
    return count - 1


# Each with what comes out of it by hand: the final log, and what the node in question saw.
BY_HAND = {
    "a chain": (sketched({"a": ("b",), "b": (END,)}), "a1 b1", "b", "a1"),
    "a loop": (sketched({"a": ("b",), "b": Choice(2, (END,), ("a",))}), "a1 b1 a2 b2", "b", "a1 b1 a2"),
    "a fan-out and a join": (
        sketched({"a": ("c", "b"), "b": ("d",), "c": ("d",), "d": (END,)}, "d"),
        "a1 c1 b1 d1",
        "d",
        "a1 c1 b1",
    ),
    "a branch that ends": (
        sketched({"a": ("b", "c", "d"), "b": (END,), "c": ("e",), "d": ("e",), "e": (END,)}, "e"),
        "a1 b1 c1 d1 e1",
        "e",
        "a1 c1 d1",
    ),
    "a fan-out in a fan-out": (
        sketched({"a": ("b", "c"), "b": ("d", "e"), "d": ("f",), "e": ("f",), "c": ("f",), "f": (END,)}, "f"),
        "a1 b1 d1 e1 c1 f1",
        "f",
        "a1 b1 d1 e1 c1",
    ),
    "a join of two of three": (
        sketched({"a": ("b", "c", "d"), "b": ("e",), "c": ("e",), "d": ("f",), "e": ("f",), "f": (END,)}, "ef"),
        "a1 b1 c1 e1 d1 f1",
        "e",
        "a1 b1 c1",
    ),
    "a fan-out in a loop": (
        sketched({"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": Choice(2, (END,), ("a",))}, "d"),
        "a1 b1 c1 d1 a2 b2 c2 d2",
        "a",
        "a1 b1 c1 d1",
    ),
    "a branch that skips to the join": (
        sketched({"a": ("b", "c"), "b": Choice(1, ("e",), ("d",)), "c": ("e",), "d": ("e",), "e": (END,)}, "e"),
        "a1 b1 c1 e1",
        "e",
        "a1 b1 c1",
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
@pytest.mark.parametrize("choose", [first, last])
def test_the_reference_gives_what_is_worked_out_by_hand(case: str, choose: Callable[[int], int]) -> None:
    sketch, log, name, saw = BY_HAND[case]
    seen, final = interpreted(sketch, choose)
    assert final["log"] == log.split()
    assert [" ".join(log) for node, log, _ in seen if node == name][-1] == saw


@settings(max_examples=100, derandomize=True)
@given(sketches(), st.randoms(use_true_random=False))
def test_the_reference_does_not_depend_on_timing(sketch: Sketch, chance: Random) -> None:
    assert interpreted(sketch, first) == interpreted(sketch, last) == interpreted(sketch, chance.randrange)
