import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from loom import END, START, Graph, Problem, State, append, node
from loom.core.flow import written_at_end
from loom.core.node import AnyNode
from loom.core.plan import make_plan
from loom.core.walk import Walk


class Facts(State):
    """Three facts that nodes find out; nothing is known at the start."""

    x: int
    y: int
    z: int
    log: Annotated[list[str], append] = []


class FindsBoth(BaseModel):
    x: int
    y: int


class MayFind(BaseModel):
    x: int = 0


@node
def idle(log: list[str]) -> None: ...
@node(writes="x")
def finds_x() -> int:
    return 1


@node(writes="y")
def finds_y() -> int:
    return 1


@node(writes="z")
def finds_z() -> int:
    return 1


@node
def finds_both() -> FindsBoth:
    return FindsBoth(x=1, y=1)


@node
def may_find() -> MayFind:
    return MayFind()


@node
def needs_x(x: int) -> None: ...
@node
def needs_y(y: int) -> None: ...
@node
def needs_both(x: int, y: int) -> None: ...
@node
def wants_x(x: int = 0) -> None: ...


@node(writes="log")
def logs() -> list[str]:
    return [""]


Stop = str | list[str]
Edges = Mapping[str, Stop | tuple[Stop, ...]]
Nodes = Mapping[str, AnyNode]


def drawn(nodes: Nodes, edges: Edges, joins: str = "", inputs: Sequence[str] = ()) -> Graph[Facts]:
    """Draw a graph: a tuple of stops is a switch between them, anything else is an edge."""
    graph = Graph("facts", Facts, inputs=inputs)
    for name, made in nodes.items():
        graph.node(name, made, join=name in joins)
    for source, stops in edges.items():
        if isinstance(stops, tuple):
            ways = {f"len(log) > {number}": stop for number, stop in enumerate(stops)}
            _, otherwise = ways.popitem()
            graph.switch(source, ways, otherwise)
        else:
            graph.edge(source, stops)
    return graph


def errors(graph: Graph[Facts]) -> list[Problem]:
    return [problem for problem in graph.check() if problem.severity == "error"]


def codes(graph: Graph[Facts]) -> set[tuple[str, str]]:
    return {(problem.code, problem.where) for problem in errors(graph)}


def idles(names: str) -> dict[str, AnyNode]:
    return dict.fromkeys(names, idle)


# Branches that meet.


@pytest.mark.parametrize(
    ("names", "edges", "joins", "where"),
    [
        ("ab", {START: ["a", "b"], "a": "b", "b": END}, "", "b"),
        ("abc", {START: ["a", "b"], "a": "c", "b": "c", "c": END}, "", "c"),
        ("abcd", {START: ["a", "b"], "a": "c", "b": ("c", "d"), "c": END, "d": END}, "", "c"),
        ("abcde", {START: ["a", "b"], "a": ["c", "d"], "b": "e", "c": "e", "d": "e", "e": END}, "", "e"),
        ("sab", {START: "s", "s": ["a", "b"], "a": ("s", END), "b": END}, "", "s"),
        ("sabj", {START: "s", "s": ["a", "b"], "a": "j", "b": ("j", "s"), "j": END}, "j", "s"),
    ],
    ids=["into a sibling", "without a join", "by a switch", "of two depths", "back to the opener", "back by a switch"],
)
def test_106_a_node_that_may_be_at_work_twice_at_once(names: str, edges: Edges, joins: str, where: str) -> None:
    assert ("LOOM106", f'node "{where}"') in codes(drawn(idles(names), edges, joins))


@pytest.mark.parametrize(
    ("names", "edges", "joins"),
    [
        ("abc", {START: ["a", "b"], "a": "c", "b": "c", "c": END}, "c"),
        ("acb", {START: ["a", "b"], "a": "c", "b": "c", "c": END}, "c"),  # the join is the second node
        ("abcd", {START: ["a", "b"], "a": "c", "b": "d", "c": END, "d": END}, ""),
        ("abcde", {START: ["a", "b"], "a": ["c", "d"], "b": "e", "c": "e", "d": "e", "e": END}, "e"),
        ("sabj", {START: "s", "s": ["a", "b"], "a": "j", "b": "j", "j": ("s", END)}, "j"),
        ("abcj", {START: ["a", "b"], "a": "j", "b": ("j", "c"), "c": "j", "j": END}, "j"),
        ("abj", {START: ["a", "b"], "a": ("a", "j"), "b": "j", "j": END}, "j"),
        ("sab", {START: "s", "s": (["a", "b"], "a"), "a": END, "b": END}, ""),
        ("abcdjk", {START: ["a", "b"], "a": ["c", "d"], "c": "k", "d": "k", "k": "j", "b": "j", "j": END}, "jk"),
    ],
)
def test_106_branches_that_keep_apart_or_join_are_fine(names: str, edges: Edges, joins: str) -> None:
    assert errors(drawn(idles(names), edges, joins)) == []


def test_106_says_which_fan_out_and_what_to_do() -> None:
    edges: Edges = {START: ["a", "b"], "a": "c", "b": "c", "c": END}
    (problem,) = errors(drawn(idles("abc"), edges))
    assert problem.message == (
        'branches from "START" may be at work at "c" at once; make it a join '
        "(the stop after a list, or node(…, join=True)), or keep the branches apart"
    )
    back = drawn(idles("sab"), {START: "s", "s": ["a", "b"], "a": ("s", END), "b": END})
    assert errors(back)[0].message == (
        'a branch jumps back to "s" before the fan-out it opened is over; join the branches first'
    )


def test_108_two_joins_that_wait_for_each_other() -> None:
    edges: Edges = {START: ["a", "b"], "a": "j", "b": "k", "j": ("k", END), "k": ("j", END)}
    (problem,) = [one for one in errors(drawn(idles("abjk"), edges, "jk")) if one.code == "LOOM108"]
    assert problem.where == 'node "j"'
    assert problem.message == ('the joins "j" and "k" wait for each other: each can still be reached from the other')
    one_way: Edges = {START: ["a", "b"], "a": "j", "b": "k", "j": ("k", END), "k": END}
    assert errors(drawn(idles("abjk"), one_way, "jk")) == []


@pytest.mark.parametrize(
    ("names", "edges", "joins", "both"),
    [
        ("bdcr", {START: "b", "b": ["d", "r"], "d": "c", "c": (END, ["d", "r"]), "r": "b"}, "bdr", ("d", "r")),
        ("ab", {START: "a", "a": ["a", "b"], "b": (END, ["a", "b"])}, "ab", ("a", "b")),
    ],
)
def test_108_two_joins_that_wait_for_each_other_over_two_fan_outs(
    names: str, edges: Edges, joins: str, both: tuple[str, str]
) -> None:
    (problem,) = errors(drawn(idles(names), edges, joins))
    said = f'the joins "{both[0]}" and "{both[1]}" wait for each other: each can still be reached from the other'
    assert (problem.code, problem.message) == ("LOOM108", said)


def test_a_loop_of_fan_outs_in_a_branch_of_another_waits_for_nothing() -> None:
    edges: Edges = {
        START: ["s", "z"], "s": ["a", "b"], "a": "k", "b": "k", "k": ("s", "j"), "z": "j", "j": END,
    }  # fmt: skip
    assert errors(drawn(idles("szabkj"), edges, "kj")) == []


# Branches that write.


@pytest.mark.parametrize(
    ("nodes", "edges", "joins", "field"),
    [
        ({"a": finds_x, "b": finds_x}, {START: ["a", "b"], "a": END, "b": END}, "", "x"),
        ({"a": finds_x, "b": finds_both}, {START: ["a", "b"], "a": END, "b": END}, "", "x"),
        ({"a": idle, "b": finds_x, "c": finds_x}, {START: ["a", "b"], "a": "c", "b": END, "c": END}, "", "x"),
        (
            {"a": idle, "b": finds_x, "c": finds_x, "d": idle},
            {START: ["a", "b"], "a": ["c", "d"], "b": END, "c": END, "d": END},
            "",
            "x",
        ),
        # Over a partial join: c may still be at work when a and b have met.
        (
            {"a": idle, "b": idle, "c": finds_x, "j": finds_x, "k": idle},
            {START: ["a", "b", "c"], "a": "j", "b": "j", "c": "k", "j": "k", "k": END},
            "jk",
            "x",
        ),
    ],
    ids=["siblings", "of several ports", "later in a branch", "of two depths", "over a partial join"],
)
def test_204_two_branches_that_may_write_one_field(nodes: Nodes, edges: Edges, joins: str, field: str) -> None:
    assert codes(drawn(nodes, edges, joins)) == {("LOOM204", f'field "{field}"')}


@pytest.mark.parametrize(
    ("nodes", "edges", "joins"),
    [
        ({"a": finds_x, "b": finds_y}, {START: ["a", "b"], "a": END, "b": END}, ""),
        ({"a": logs, "b": logs}, {START: ["a", "b"], "a": END, "b": END}, ""),
        ({"a": finds_x, "b": idle, "c": finds_x}, {START: ["a", "b"], "a": "c", "b": "c", "c": END}, "c"),
        ({"s": finds_x, "a": finds_x, "b": idle}, {START: "s", "s": ["a", "b"], "a": END, "b": END}, ""),
        ({"a": finds_x, "b": finds_x}, {START: ("a", "b"), "a": END, "b": END}, ""),
        # c is over when j begins, for j waits for it too.
        (
            {"a": idle, "b": idle, "c": finds_x, "j": finds_x},
            {START: ["a", "b", "c"], "a": "j", "b": "j", "c": "j", "j": END},
            "j",
        ),
    ],
    ids=["other fields", "a reducer", "one after the join", "one before the fan-out", "a switch", "all joined"],
)
def test_204_writers_that_are_never_at_work_at_once_are_fine(nodes: Nodes, edges: Edges, joins: str) -> None:
    assert errors(drawn(nodes, edges, joins)) == []


def test_204_names_both_writers_and_what_to_do() -> None:
    graph = drawn({"b": finds_x, "a": finds_x}, {START: ["a", "b"], "a": END, "b": END})
    assert [problem.message for problem in errors(graph)] == [
        (
            '"a" and "b" may write it at once, and it has no reducer; '
            "give it one (append, merge, add, Reducer) or let one branch write it"
        )
    ]


# What is read before it is written.

DIAMOND = {START: ["a", "b"], "a": "j", "b": "j", "j": END}


@pytest.mark.parametrize(
    ("nodes", "edges", "joins"),
    [
        ({"a": needs_x, "b": finds_x}, {START: "a", "a": "b", "b": END}, ""),
        ({"a": finds_x, "b": needs_x}, {START: ("a", "b"), "a": "b", "b": END}, ""),
        ({"a": finds_x, "b": finds_y, "c": needs_x}, {START: ("a", "b"), "a": "c", "b": "c", "c": END}, ""),
        ({"a": may_find, "b": needs_x}, {START: "a", "a": "b", "b": END}, ""),
        ({"a": finds_x, "b": needs_x, "j": idle}, DIAMOND, "j"),
        ({"a": finds_x, "b": idle, "j": needs_x}, {START: ["a", "b"], "a": ("j", END), "b": "j", "j": END}, "j"),
        ({"a": needs_x, "b": finds_x}, {START: "a", "a": ("b", END), "b": "a"}, ""),
        # A fan-out that a switch may leave out is not sure to have run.
        (
            {"s": idle, "a": finds_x, "b": idle, "j": needs_x},
            {START: "s", "s": (["a", "b"], "j"), "a": "j", "b": "j", "j": END},
            "j",
        ),
        # Two fan-outs to choose from: only one of them finds x.
        (
            {"s": idle, "a": finds_x, "b": idle, "c": idle, "j": needs_x},
            {START: "s", "s": (["a", "b"], ["b", "c"]), "a": "j", "b": "j", "c": "j", "j": END},
            "j",
        ),
        # The inner branch that finds x may end elsewhere.
        (
            {"a": idle, "b": idle, "c": finds_x, "d": idle, "j": needs_x},
            {START: ["a", "b"], "a": ["c", "d"], "c": ("j", END), "d": "j", "b": "j", "j": END},
            "j",
        ),
        # a may go back to the opener, which is a join, while b goes on to j.
        (
            {"o": idle, "a": finds_x, "b": idle, "j": needs_x},
            {START: "o", "o": ["a", "b"], "a": ("o", "j"), "b": "j", "j": ("o", END)},
            "oj",
        ),
    ],
    ids=[
        "before",
        "a way around",
        "on one way of two",
        "a port that may stay unset",
        "by a sibling",
        "a branch that may end",
        "the first time round",
        "a fan-out left out",
        "one of two fan-outs",
        "an inner branch that may end",
        "a branch that may go back",
    ],
)
def test_203_a_field_that_may_be_read_before_it_is_written(nodes: Nodes, edges: Edges, joins: str) -> None:
    graph = drawn(nodes, edges, joins)
    reader = next(name for name, made in nodes.items() if made is needs_x)
    assert codes(graph) == {("LOOM203", f'node "{reader}"')}
    assert errors(drawn(nodes, edges, joins, inputs=("x",))) == []


@pytest.mark.parametrize(
    ("nodes", "edges", "joins"),
    [
        ({"a": finds_x, "b": needs_x}, {START: "a", "a": "b", "b": END}, ""),
        ({"a": finds_x, "b": finds_both, "c": needs_x}, {START: ("a", "b"), "a": "c", "b": "c", "c": END}, ""),
        ({"a": finds_x, "b": finds_y, "j": needs_both}, DIAMOND, "j"),
        ({"a": finds_x, "b": needs_x}, {START: "a", "a": "b", "b": ("a", END)}, ""),
        ({"a": finds_x, "b": idle, "c": needs_x}, {START: "a", "a": "b", "b": ("b", "c"), "c": END}, ""),
        ({"a": wants_x, "b": finds_x}, {START: "a", "a": "b", "b": END}, ""),
        ({"a": needs_x}, {START: "a", "a": END}, ""),  # no node finds it, so it must be given
        ({"a": finds_x, "b": needs_x, "c": idle}, {START: "a", "a": ["b", "c"], "b": END, "c": END}, ""),
        # Nested: both branches of the inner fan-out meet at the outer join.
        (
            {"a": idle, "b": idle, "c": finds_x, "d": finds_y, "j": needs_both},
            {START: ["a", "b"], "a": ["c", "d"], "c": "j", "d": "j", "b": "j", "j": END},
            "j",
        ),
        # Nested: they meet at a join of their own first.
        (
            {"a": idle, "b": idle, "c": finds_x, "d": finds_y, "k": idle, "j": needs_both},
            {START: ["a", "b"], "a": ["c", "d"], "c": "k", "d": "k", "k": "j", "b": "j", "j": END},
            "jk",
        ),
        # A loop around a fan-out, within a branch of another.
        (
            {"s": idle, "z": idle, "a": finds_x, "b": finds_y, "k": idle, "j": needs_both},
            {START: ["s", "z"], "s": ["a", "b"], "a": "k", "b": "k", "k": ("s", "j"), "z": "j", "j": END},
            "jk",
        ),
        # The switch before the fan-out has another way, but that one never comes to the join.
        (
            {"s": idle, "a": finds_x, "b": finds_y, "j": needs_both},
            {START: "s", "s": (END, ["a", "b"]), "a": "j", "b": "j", "j": END},
            "j",
        ),
        # Two fan-outs to choose from, and both find x.
        (
            {"s": idle, "a": finds_x, "b": idle, "c": finds_x, "j": needs_x},
            {START: "s", "s": (["a", "b"], ["b", "c"]), "a": "j", "b": "j", "c": "j", "j": END},
            "j",
        ),
        # A branch beside the one that arrives ends.
        (
            {"s": finds_x, "z": idle, "a": idle, "b": idle, "j": needs_x},
            {START: ["s", "z"], "s": ["a", "b"], "a": END, "b": "j", "z": "j", "j": END},
            "j",
        ),
        # A branch that leads straight to the join brings what its source found.
        ({"s": finds_x, "a": finds_y, "j": needs_both}, {START: "s", "s": ["a", "j"], "a": "j", "j": END}, "j"),
        # One after the other.
        (
            {"a": finds_x, "b": idle, "j": idle, "c": finds_y, "d": idle, "k": needs_both},
            {START: ["a", "b"], "a": "j", "b": "j", "j": ["c", "d"], "c": "k", "d": "k", "k": END},
            "jk",
        ),
    ],
    ids=[
        "before",
        "on both ways",
        "united at a join",
        "in a loop",
        "across a loop",
        "a port with a default",
        "given",
        "before the fan-out",
        "nested",
        "nested, joined twice",
        "nested in a loop",
        "the other way ends",
        "both fan-outs",
        "beside one that ends",
        "straight to the join",
        "in a row",
    ],
)
def test_203_a_field_that_is_surely_written_before_is_fine(nodes: Nodes, edges: Edges, joins: str) -> None:
    assert errors(drawn(nodes, edges, joins)) == []


def test_203_says_who_reads_and_what_to_do() -> None:
    (problem,) = errors(drawn({"a": needs_x, "b": finds_x}, {START: "a", "a": "b", "b": END}))
    assert problem.message == (
        '"a" may read "x" before anything writes it; give the field a default, '
        'or say that it is always given, Graph(…, inputs=("x",))'
    )


def test_203_follows_conditions_too() -> None:
    graph = Graph("facts", Facts)
    graph.node("a", idle)
    graph.node("b", finds_x)
    graph.edge(START, "a")
    graph.switch("a", {"x > 1": "b", "x > 2": "b"}, otherwise="b")
    graph.switch("b", {"x > 1": END}, otherwise=END)
    assert codes(graph) == {("LOOM203", 'switch("a")')}
    (problem,) = errors(graph)
    assert problem.message.startswith('a condition may read "x" before anything writes it')


def test_203_follows_conditions_at_start() -> None:
    graph = Graph("facts", Facts)
    graph.node("a", finds_x)
    graph.switch(START, {"x > 1": "a"}, otherwise="a")
    graph.edge("a", END)
    assert codes(graph) == {("LOOM203", 'switch("START")')}


class Lists(State):
    tasks: list[str]
    log: Annotated[list[str], append] = []


@node(writes="tasks")
def plans() -> list[str]:
    return []


@node(writes="log")
def works(task: str) -> list[str]:
    return [task]


@pytest.mark.parametrize("first", ["plan", "work"])
def test_203_follows_what_an_each_runs_over(first: str) -> None:
    graph = Graph("each", Lists)
    graph.node("plan", plans)
    graph.node("work", works)
    if first == "plan":
        graph.edge(START, "plan")
        graph.each("plan", "work", over="tasks", bind="task")
        graph.edge("work", END)
        assert graph.check() == []
    else:
        graph.each(START, "work", over="tasks", bind="task")
        graph.edge("work", "plan", END)
        (problem,) = graph.check()
        assert (problem.code, problem.where) == ("LOOM203", 'each("START")')
        assert problem.message.startswith('over= may read "tasks" before anything writes it')


class Found(State):
    """What a list of tasks comes to; nothing is found at the start."""

    tasks: list[str] = []
    notes: Annotated[list[str], append]


@node(writes="notes")
def notes_down(task: str) -> list[str]:
    return [task]


@node
def reads_notes(notes: list[str]) -> None: ...


def test_203_an_each_may_run_over_an_empty_list_and_write_nothing() -> None:
    graph = Graph("each", Found)
    graph.node("work", notes_down)
    graph.node("read", reads_notes)
    graph.each(START, "work", over="tasks", bind="task")
    graph.switch("work", {"len(notes) > 3": "read"}, otherwise="read")
    graph.edge("read", END)
    problems = graph.check()
    assert [(one.code, one.where) for one in problems] == [("LOOM203", 'node "read"'), ("LOOM203", 'switch("work")')]
    assert problems[0].message == (
        '"read" may read "notes" before anything writes it: "work" writes it for each item of "tasks", which may be '
        'empty; give the field a default, or say that it is always given, Graph(…, inputs=("notes",))'
    )


def test_203_a_field_with_a_default_may_be_read_after_an_each_over_nothing() -> None:
    class Safe(Found):
        notes: Annotated[list[str], append] = []

    graph = Graph("each", Safe)
    graph.node("work", notes_down)
    graph.node("read", reads_notes)
    graph.each(START, "work", over="tasks", bind="task")
    graph.edge("work", "read", END)
    assert graph.check() == []
    assert graph.compile().run_sync().status == "completed"


# What an inner graph has surely written when it is over.

OPENS: Edges = {START: ["a", "b"], "a": END, "b": END}


@pytest.mark.parametrize(
    ("nodes", "edges", "joins"),
    [
        ({"a": finds_x}, {START: "a", "a": END}, ""),
        ({"a": idle}, {START: "a", "a": END}, ""),  # no node finds it, so it is given
        ({"a": finds_x, "b": idle}, OPENS, ""),
        ({"a": idle, "b": finds_x}, OPENS, ""),
        ({"a": finds_x, "b": idle, "j": idle}, DIAMOND, "j"),
        ({"a": idle, "b": finds_x, "j": idle}, {START: ["a", "b"], "a": (END, "j"), "b": "j", "j": END}, "j"),
        ({"a": idle, "b": finds_x}, {START: "a", "a": ("a", "b"), "b": ("a", END)}, ""),
        ({"a": finds_x, "b": finds_x}, {START: ("a", "b"), "a": END, "b": END}, ""),
        (
            {"s": idle, "a": idle, "b": finds_x, "c": finds_x},
            {START: "s", "s": (["a", "b"], "c"), "a": END, "b": END, "c": END},
            "",
        ),
        (
            {"a": idle, "b": idle, "c": finds_x, "d": idle},
            {START: ["a", "b"], "a": ["c", "d"], "b": END, "c": END, "d": END},
            "",
        ),
    ],
    ids=[
        "at the end",
        "given",
        "in a branch",
        "in the other",
        "before a join",
        "where its sibling may end",
        "in a loop",
        "on both ways",
        "on the way of a fan-out too",
        "in a branch of a branch",
    ],
)
def test_203_what_an_inner_graph_surely_writes_may_be_read_after_it(nodes: Nodes, edges: Edges, joins: str) -> None:
    assert errors(around(drawn(nodes, edges, joins))) == []


@pytest.mark.parametrize(
    ("nodes", "edges", "joins"),
    [
        ({"a": idle, "b": finds_x}, {START: "a", "a": ("b", END), "b": END}, ""),
        ({"a": may_find}, {START: "a", "a": END}, ""),
        ({"a": idle, "b": finds_x, "c": idle}, {START: ["a", "c"], "a": ("b", END), "b": END, "c": END}, ""),
        (
            {"s": idle, "a": idle, "b": finds_x},
            {START: "s", "s": (["a", "b"], END), "a": END, "b": END},
            "",
        ),
        (
            {"s": idle, "a": finds_x, "b": idle, "c": idle},
            {START: "s", "s": (["a", "b"], ["b", "c"]), "a": END, "b": END, "c": END},
            "",
        ),
    ],
    ids=[
        "on one way of two",
        "a port that may stay unset",
        "in a branch that may end",
        "a fan-out left out",
        "one of two",
    ],
)
def test_203_what_an_inner_graph_may_end_without_may_not_be_read_after_it(
    nodes: Nodes, edges: Edges, joins: str
) -> None:
    (problem,) = errors(around(drawn(nodes, edges, joins)))
    assert (problem.code, problem.where) == ("LOOM203", 'node "read"')
    assert problem.message == (
        '"read" may read "x" before anything writes it: "inner" may end without having written it; '
        'give the field a default, or say that it is always given, Graph(…, inputs=("x",))'
    )


def around(inner: Graph[Facts]) -> Graph[Facts]:
    """Draw a graph that reads what an inner one found."""
    given = inner._declared.given  # pyright: ignore[reportPrivateUsage]
    graph = Graph("around", Facts)
    graph.node("inner", inner.compile().as_node(reads=dict.fromkeys(given, "y"), writes={"x": "x"}))
    graph.node("read", needs_x)
    graph.edge(START, "inner", "read", END)
    return graph


def test_where_branches_clash_the_data_is_followed_without_end_in_sight() -> None:
    graph = Graph("layers", Facts)
    layers = [[f"{number}{side}" for side in "ab"] for number in range(25)]
    for name in (name for layer in layers for name in layer):
        graph.node(name, finds_x)
    graph.node("end", needs_x, join=True)
    graph.edge(START, layers[0])
    for layer, following in pairwise(layers):
        for name in layer:
            graph.edge(name, following)
    for name in layers[-1]:
        graph.edge(name, "end")
    graph.edge("end", END)
    assert {"LOOM106", "LOOM204"} <= {problem.code for problem in graph.check()}


# The property: what a graph without problems reads was written, in every order of steps, on every way.


@node(writes="y")
def needs_x_finds_y(x: int) -> int:
    return x


NAMES = "abcdefg"
READS: dict[str, set[str]] = {"needs_x": {"x"}, "needs_both": {"x", "y"}, "needs_x_finds_y": {"x"}}
WRITES: dict[str, set[str]] = {"finds_x": {"x"}, "finds_y": {"y"}, "finds_both": {"x", "y"}, "needs_x_finds_y": {"y"}}
MADE: dict[str, AnyNode] = {
    "idle": idle,
    "finds_x": finds_x,
    "finds_y": finds_y,
    "finds_both": finds_both,
    "needs_x": needs_x,
    "needs_both": needs_both,
    "needs_x_finds_y": needs_x_finds_y,
}


@dataclass
class Sketch:
    """A graph as data: what each node does, where it leads, which are joins."""

    kinds: dict[str, str]
    edges: dict[str, Stop | tuple[Stop, ...]]
    joins: set[str]

    def graph(self) -> Graph[Facts]:
        return drawn({name: MADE[kind] for name, kind in self.kinds.items()}, self.edges, "".join(self.joins))

    def mend(self) -> bool:
        """Make joins where branches meet, idle nodes of those that read too early; tell whether it compiles."""
        while problems := errors(self.graph()):
            where = {problem.where[6:-1] for problem in problems if problem.code in {"LOOM106", "LOOM203"}}
            meeting = {problem.where[6:-1] for problem in problems if problem.code == "LOOM106"} - self.joins
            early = {name for name in where if self.kinds.get(name, "idle") in READS}
            if meeting & self.kinds.keys():
                self.joins |= meeting
            elif early:
                self.kinds |= dict.fromkeys(early, "idle")
            else:
                return False
        return True


@st.composite
def sketches(draw: st.DrawFn) -> Sketch:
    names = NAMES[: draw(st.integers(2, len(NAMES)))]
    edges: dict[str, Stop | tuple[Stop, ...]] = {}
    todo = [START]
    while todo:
        source = todo.pop()
        ahead = names[names.index(source) + 1 :] if source in names else names

        def forward(ahead: str = ahead) -> list[str]:
            return draw(st.lists(st.sampled_from(ahead), min_size=1, max_size=3, unique=True)) if ahead else [END]

        kind = draw(st.sampled_from(["edge", "edge", "edge", "switch", "loop", "leave"]))
        ways: list[list[str]] = [forward()]
        if kind == "switch":
            ways.append(forward())
        elif kind == "leave":
            ways.append([END])
        elif kind == "loop" and source != START:
            ways.append([draw(st.sampled_from([one for one in edges if one != START] or [source]))])
        stops: list[Stop] = [way if len(way) > 1 else way[0] for way in ways]
        edges[source] = tuple(stops) if len(stops) > 1 else stops[0]
        todo += {target for way in ways for target in way if target not in edges and target != END} - {*todo}
    used = [name for name in names if name in edges]
    kinds = {name: draw(st.sampled_from([*MADE])) for name in used}
    return Sketch(kinds, edges, draw(st.sets(st.sampled_from(used))))


@settings(max_examples=50)
@given(sketches(), st.randoms(use_true_random=False))
def test_203_holds_in_every_order_of_steps_on_every_way(sketch: Sketch, chance: random.Random) -> None:
    assume(sketch.mend())
    declared = sketch.graph()._declared  # pyright: ignore[reportPrivateUsage]
    plan = make_plan(declared, frozenset(), frozenset())
    for _ in range(10):
        walk = Walk(plan)
        walk.start(dict.fromkeys(plan.given, 1), chance.choice(plan.start).targets)
        for _ in range(20):
            due = walk.due()
            if not due:
                break
            branch = chance.choice(due)
            task = plan.tasks[branch.at]
            assert READS.get(sketch.kinds[task.name], set()) <= set(branch.view)
            walk.absorb(branch, dict.fromkeys(WRITES.get(sketch.kinds[task.name], ()), 1))
            walk.move(branch, chance.choice(task.ways).targets)
        if not walk.live:
            assert written_at_end(declared) <= {"log", *walk.view()}
