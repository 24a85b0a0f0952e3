# pyright: reportPrivateUsage=false
# A walk is made of a plan, which is what a compiled graph keeps to itself.
from collections.abc import Callable, Sequence
from dataclasses import fields
from random import Random
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loom import END, START, Graph, LoomError, State, append, node
from loom.core.plan import Plan
from loom.core.walk import Branch, Walk
from tests.core.reference import interpreted
from tests.core.sketches import INPUTS, Seen, Sketch, idle, sketches

Ways = str | list[str]


class Log(State):
    log: Annotated[list[str], append] = []
    mark: str = ""


@node(writes="log")
async def noop(log: list[str]) -> list[str]:
    return log


def drawn(*edges: tuple[Ways, ...], switches: dict[str, list[Ways]] | None = None, joins: str = "") -> Graph[Log]:
    """Draw edges as `graph.edge` takes them, and switches whose ways the test chooses among; nodes are letters."""
    graph = Graph("drawn", Log)
    stops = [stop for edge in edges for stop in edge]
    stops += [stop for source, ways in (switches or {}).items() for stop in (source, *ways)]
    names = {name for stop in stops for name in ([stop] if isinstance(stop, str) else stop)}
    for name in sorted(names - {START, END}):
        graph.node(name, noop, join=name in joins)
    for edge in edges:
        graph.edge(*edge)
    for source, ways in (switches or {}).items():
        graph.switch(source, {f"len(log) == {number}": way for number, way in enumerate(ways)}, otherwise=ways[-1])
    return graph


class Stepper:
    """A walk whose steps a test takes one by one: each writes its node's name to `log`."""

    def __init__(self, graph: Graph[Log]) -> None:
        self.plan = graph.compile()._plan
        self.walk = Walk(self.plan)
        self.order: list[str] = []
        self.walk.start({"log": []}, self.plan.start[0].targets)

    def due(self) -> list[str]:
        return [self.name(branch) for branch in self.walk.due()]

    def name(self, branch: Branch) -> str:
        return self.plan.tasks[branch.at].name

    def at(self, name: str) -> Branch:
        (branch,) = [branch for branch in self.walk.live.values() if self.name(branch) == name]
        return branch

    def sees(self, name: str) -> str:
        return "".join(self.at(name).view["log"])

    def step(self, name: str, to: Sequence[str] | None = None) -> str:
        """Finish the step that is due at a node; return the names that became due."""
        branch = self.at(name)
        assert branch in self.walk.due(), f"{name} waits"
        self.walk.absorb(branch, {"log": [name]})
        self.order.append(name)
        ways = [way.targets for way in self.plan.tasks[branch.at].ways]
        wanted = ways[0] if to is None else tuple(self.plan.index[target] for target in to)
        assert wanted in ways
        return "".join(self.name(branch) for branch in self.walk.move(branch, wanted))

    def steps(self, names: str) -> "Stepper":
        for name in names:
            self.step(name)
        return self

    def final(self) -> str:
        assert not self.walk.live
        return "".join(self.walk.view()["log"])


def test_a_chain_is_walked_node_by_node_on_the_trunk() -> None:
    steps = Stepper(drawn((START, "a", "b", END)))
    assert steps.due() == ["a"]
    assert steps.at("a").id == ""
    assert steps.step("a") == "b"
    assert (steps.at("b").id, steps.sees("b"), sum(steps.walk.visits.values())) == ("", "a", 1)
    assert steps.step("b") == ""
    assert steps.final() == "ab"


def test_a_loop_counts_visits_and_sees_its_own_writes() -> None:
    steps = Stepper(drawn((START, "a", "b"), switches={"b": ["a", END]}))
    steps.steps("abab")
    assert steps.sees("a") == "abab"
    assert steps.walk.visits == {0: 2, 1: 2}
    steps.step("a")
    steps.step("b", to=[END])
    assert steps.final() == "ababab"


def test_a_fan_out_gives_each_branch_the_state_as_it_was() -> None:
    steps = Stepper(drawn((START, "a", ["b", "c"], "d", END))).steps("a")
    assert steps.due() == ["b", "c"]
    assert [steps.at(name).id for name in "bc"] == ["0", "1"]
    assert [steps.sees(name) for name in "bc"] == ["a", "a"]
    assert steps.step("b") == ""
    assert steps.sees("c") == "a"
    assert steps.step("c") == "d"
    assert (steps.at("d").id, steps.sees("d")) == ("", "abc")


@pytest.mark.parametrize("order", ["bc", "cb"])
def test_a_join_applies_writes_in_the_order_of_the_list(order: str) -> None:
    assert Stepper(drawn((START, "a", ["b", "c"], "d", END))).steps(f"a{order}d").final() == "abcd"
    assert Stepper(drawn((START, "a", ["c", "b"], "d", END))).steps(f"a{order}d").final() == "acbd"


def test_start_may_fan_out() -> None:
    steps = Stepper(drawn((START, ["a", "b"], "c", END)))
    assert [branch.id for branch in steps.walk.due()] == ["0", "1"]
    assert steps.steps("bac").final() == "abc"


def test_a_fast_branch_runs_on_while_a_slow_sibling_works() -> None:
    steps = Stepper(drawn((START, "a", ["b", "c"]), ("b", "d", "e", "f", END), ("c", "f"), joins="f"))
    assert steps.steps("abde").due() == ["c"]
    assert steps.step("c") == "f"
    assert steps.sees("f") == "abdec"


@pytest.mark.parametrize("order", ["decf", "cedf", "fdec", "dcfe"])
def test_nested_fan_outs_close_from_the_inside(order: str) -> None:
    graph = drawn((START, "a", ["b", "c"]), ("b", ["d", "e"], "f", "g", END), ("c", "g"), joins="g")
    steps = Stepper(graph).steps("ab")
    assert [steps.at(name).id for name in "dec"] == ["0.0", "0.1", "1"]
    for name in [one for one in order if one != "f"]:
        steps.step(name)
    assert (steps.at("f").id, steps.sees("f")) == ("0", "abde")
    assert steps.step("f") == "g"
    assert (steps.at("g").id, steps.sees("g")) == ("", "abdefc")


def test_a_join_of_some_branches_goes_on_beside_the_others() -> None:
    graph = drawn((START, ["a", "b", "c"]), (["a", "b"], "d", "e"), ("c", "e"), ("e", END), joins="e")
    steps = Stepper(graph)
    steps.step("b")
    assert steps.step("a") == "d"
    assert steps.sees("d") == "ab"
    assert steps.at("d").id == "1+d"
    assert steps.steps("d").due() == ["c"]
    assert steps.steps("ce").final() == "abdce"


def test_a_join_does_not_wait_for_a_branch_that_can_no_longer_come() -> None:
    graph = drawn((START, ["a", "b"]), ("a", "d", "e", END), ("c", "e"), switches={"b": ["c", "d"]}, joins="de")
    steps = Stepper(graph).steps("a")
    assert steps.step("b", to=["c"]) == "cd", "the switch led away from d"
    assert steps.sees("d") == "a"
    assert steps.steps("d").due() == ["c"]
    assert steps.steps("ce").final() == "adbce"


def test_a_branch_may_skip_to_the_join_by_a_switch() -> None:
    graph = drawn((START, ["a", "b"]), ("c", "d"), ("b", "d", END), switches={"a": ["d", "c"]}, joins="d")
    steps = Stepper(graph).steps("b")
    assert steps.step("a", to=["d"]) == "d"
    assert steps.steps("d").final() == "abd"


def test_a_branch_that_ends_is_in_the_final_state_and_not_seen_after_the_join() -> None:
    graph = drawn((START, ["a", "b", "c"]), ("a", "d"), ("c", "d"), ("d", END), ("b", "e", END), joins="d")
    steps = Stepper(graph).steps("bec")
    assert steps.step("a") == "d"
    assert steps.sees("d") == "ac"
    assert steps.steps("d").final() == "abecd"


@pytest.mark.parametrize("first", ["a", "b"])
def test_branches_may_all_end_without_a_join(first: str) -> None:
    steps = Stepper(drawn((START, ["a", "b"]), ("a", END), ("b", END)))
    assert steps.steps(first + ("b" if first == "a" else "a")).final() == "ab"


def test_a_fan_out_inside_a_loop_opens_and_closes_each_time() -> None:
    graph = drawn((START, "a", ["b", "c"], "d"), switches={"d": ["a", END]})
    steps = Stepper(graph).steps("acbd")
    assert steps.sees("a") == "abcd"
    steps.steps("a")
    assert [branch.id for branch in steps.walk.due()] == ["0", "1"]
    steps.steps("bc")
    steps.step("d", to=[END])
    assert steps.final() == "abcdabcd"


def test_a_loop_inside_a_branch_leaves_the_sibling_alone() -> None:
    graph = drawn((START, ["a", "b"]), ("b", "c", END), switches={"a": ["a", "c"]}, joins="c")
    steps = Stepper(graph).steps("aa")
    assert steps.sees("b") == ""
    assert steps.step("b") == ""
    assert steps.sees("a") == "aa"
    assert steps.step("a", to=["c"]) == "c"
    assert steps.sees("c") == "aaab"


def test_a_lone_branch_passes_a_join_without_waiting() -> None:
    steps = Stepper(drawn((START, "a", "b", END), joins="ab"))
    assert steps.due() == ["a"]
    assert steps.step("a") == "b"


def test_a_fan_out_straight_into_joins_starts_them_one_after_the_other() -> None:
    steps = Stepper(drawn((START, ["b", "c"]), ("b", "c", END), joins="bc"))
    assert steps.due() == ["b"]
    assert steps.step("b") == "c"
    assert steps.sees("c") == "b"


def test_a_fan_out_is_not_over_while_one_of_its_branches_waits_elsewhere() -> None:
    graph = drawn((START, ["a", "b"]), ("a", ["b", "c"]), ("b", "c", "d", END), joins="abc")
    steps = Stepper(graph)
    assert steps.due() == ["a"]
    assert steps.step("a") == "b"
    assert [branch.id for branch in steps.walk.live.values()] == ["0+a.1", "1+b"]
    assert steps.sees("b") == "a"
    assert steps.steps("bcd").final() == "abcd"


@pytest.mark.parametrize("order", ["fgh", "fhg", "hfg"])
def test_branches_that_came_from_a_wait_keep_their_places_whatever_the_timing(order: str) -> None:
    graph = drawn(
        (START, ["a", "b", "e"]), ("a", "c"), ("b", "c"), ("f", "g", END), ("h", END),
        switches={"e": ["d", "c"], "c": ["h", "d"], "d": ["f", "h"]}, joins="cdh",
    )  # fmt: skip
    assert Stepper(graph).steps(f"abecd{order}").final() == "abchedfg"


def test_a_fan_out_from_start_may_lead_to_a_join_that_is_the_second_node() -> None:
    steps = Stepper(drawn((START, ["a", "b"]), ("a", "b", "c", END), joins="b"))
    assert steps.steps("abc").final() == "abc"


def test_the_last_write_wins_inside_one_branch() -> None:
    graph = Graph("marks", Log)
    for name in "ab":
        graph.node(name, noop, writes={"log": "log"})
    graph.edge(START, "a", "b", END)
    plan = graph.compile()._plan
    walk = Walk(plan)
    (branch,) = walk.start({"log": [], "mark": ""}, (0,))
    walk.absorb(branch, {"mark": "one"})
    (branch,) = walk.move(branch, (1,))
    assert branch.view["mark"] == "one"
    walk.absorb(branch, {"mark": "two"})
    assert walk.move(branch, (-1,)) == []
    assert walk.view()["mark"] == "two"


def test_the_first_write_to_an_absent_field_becomes_its_value_without_sharing_it() -> None:
    plan = drawn((START, "a", "b", END)).compile()._plan
    walk = Walk(plan)
    (branch,) = walk.start({}, (0,))
    write = ["a"]
    walk.absorb(branch, {"log": write})
    (branch,) = walk.move(branch, (1,))
    walk.absorb(branch, {"log": ["b"]})
    assert branch.view["log"] == ["a", "b"]
    assert write == ["a"], "a write belongs to the step that made it"


def test_places_sort_as_a_tree_is_read() -> None:
    graph = drawn((START, "a", ["b", "c"]), ("b", ["d", "e"], "f", "g", END), ("c", "g"), joins="g")
    steps = Stepper(graph)
    places: dict[str, tuple[int, ...]] = {}
    for name in "acbedfg":
        places[name] = steps.at(name).place
        steps.step(name)
    assert "".join(sorted(places, key=lambda name: places[name])) == "abdefcg"


def test_the_trunk_is_seen_as_it_was_until_the_fan_out_is_over() -> None:
    steps = Stepper(drawn((START, "a", ["b", "c"], "d", END))).steps("ab")
    assert steps.walk.view()["log"] == ["a"]
    assert steps.walk.view("0")["log"] == ["a", "b"]
    assert steps.walk.view("1")["log"] == ["a"]
    steps.steps("c")
    assert steps.walk.view()["log"] == ["a", "b", "c"]


def test_asking_for_a_branch_that_is_not_alive_names_those_that_are() -> None:
    steps = Stepper(drawn((START, ["a", "b"], "c", END)))
    with pytest.raises(LoomError, match='no branch "7" is alive here; alive are "0", "1"'):
        steps.walk.view("7")


def test_the_same_steps_give_the_same_walk() -> None:
    graph = drawn((START, "a", ["b", "c"]), ("b", ["d", "e"], "f", "g", END), ("c", "g"), joins="g")
    first, second = Stepper(graph), Stepper(graph)
    for name in "abecdf":
        assert first.step(name) == second.step(name)
        assert list(first.walk.live) == list(second.walk.live)
        assert [branch.view for branch in first.walk.live.values()] == [
            branch.view for branch in second.walk.live.values()
        ]


def walked(sketch: Sketch, choose: Callable[[int], int]) -> tuple[list[Seen], dict[str, Any]]:
    """Walk a sketch, choosing which of the due branches steps next; return what each step saw, and the final state."""
    plan = sketch.graph(idle).compile()._plan
    walk = Walk(plan)
    seen: list[Seen] = []
    due = walk.start({**INPUTS, "log": []}, plan.start[0].targets)
    while walk.live:
        assert sorted(branch.id for branch in due) == sorted(branch.id for branch in walk.due())
        branch = due.pop(choose(len(due)))
        task = plan.tasks[branch.at]
        seen.append((task.name, tuple(branch.view["log"]), branch.view["mark"]))
        walk.absorb(branch, sketch.act(task.name, branch.view))
        way = next(way for way in task.ways if way.holds is None or way.holds(branch.view))
        due += walk.move(branch, way.targets)
    return sorted(seen), dict(walk.view())


@settings(max_examples=150, derandomize=True)
@given(sketches(), st.randoms(use_true_random=False))
def test_every_order_of_steps_gives_what_the_reference_gives(sketch: Sketch, chance: Random) -> None:
    expected = interpreted(sketch, chance.randrange)
    for _ in range(3):
        assert walked(sketch, chance.randrange) == expected


def test_a_walk_in_which_every_branch_waits_is_an_error_by_name() -> None:
    class Stuck(Plan):
        """Says of every join that it can still be reached, as no checked graph does."""

        def can_reach(self, node: int, join: int, opener: int) -> bool:
            return True

    steps = Stepper(drawn((START, ["a", "b", "c", "d"]), (["a", "b"], "x"), (["c", "d"], "y"), ("x", END), ("y", END)))
    plan = steps.plan
    steps.walk.plan = Stuck(**{each.name: getattr(plan, each.name) for each in fields(plan)})
    steps.steps("abc")
    with pytest.raises(LoomError, match='every live branch waits, at the joins "x", "y"'):
        steps.step("d")
