import asyncio
from collections.abc import Callable
from typing import Annotated, Any, cast

import pytest

from loom import END, START, Cache, ConfigError, Context, Graph, GraphError, Retry, State, append, node

# Any, in this module: settings of a type that no type checker would let pass.


class Board(State):
    text: str = ""
    items: Annotated[list[str], append] = []


@node(writes="items")
def note(text: str) -> list[str]:
    return [text]


def graph(**settings: Any) -> Graph[Board]:
    made = Graph("board", Board, **settings)
    for name in "abcd":
        made.node(name, note)
    return made


def edges(made: Graph[Any]) -> list[tuple[str, str]]:
    return [(edge.source, edge.target) for edge in made.compile().outline().edges]


# Drawing.


def test_a_chain_draws_consecutive_edges() -> None:
    made = graph()
    made.edge(START, "a", "b", "c", "d", END)
    assert edges(made) == [(START, "a"), ("a", "b"), ("b", "c"), ("c", "d"), ("d", END)]


def test_a_list_fans_out_and_the_next_stop_joins() -> None:
    made = graph()
    made.edge(START, "a", ["b", "c"], "d", END)
    assert edges(made) == [(START, "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", END)]
    joins = [one.name for one in made.compile().outline().nodes if one.is_join]
    assert joins == ["d"]


def test_a_chain_may_begin_with_a_list_or_end_with_one() -> None:
    made = graph()
    made.edge(START, ["a", "b"])
    made.edge(("a", "b"), "c", "d", END)
    assert [one.name for one in made.compile().outline().nodes if one.is_join] == ["c"]


def test_branches_that_end_at_once_need_no_join() -> None:
    made = graph()
    made.edge(START, ["a", "b", "c", "d"], END)
    assert [one.name for one in made.compile().outline().nodes if one.is_join] == []


def test_a_join_may_be_declared_where_no_list_leads() -> None:
    made = Graph("board", Board)
    for name in "abc":
        made.node(name, note, join=name == "c")
    made.edge(START, ["a", "b"])
    made.switch("a", {"text == 'x'": "c"}, otherwise="c")
    made.edge("b", "c", END)
    assert made.compile().run_sync({"text": "t"}).state.items == ["t", "t", "t"]


def test_a_switch_takes_the_first_way_that_is_open_and_may_fan_out() -> None:
    made = graph()
    made.switch(START, {"text == 'one'": "a", "len(text) > 0": ["a", "b"]}, otherwise="c")
    made.edge(["a", "b", "c"], "d", END)
    app = made.compile()
    assert [len(app.run_sync({"text": text}).state.items) for text in ("one", "more", "")] == [2, 3, 2]


def test_drawing_tells_no_problem_that_check_can_tell() -> None:
    made = graph()
    made.edge(END, "nowhere", START)
    made.edge("a", ["b", "b", END], ["c"])
    made.switch("nobody", {})
    made.node("a", note)
    made.each("x", "y", over="z", bind="q")
    assert made.check()


# What cannot be drawn.


def inner_note() -> Any:
    made = graph()
    made.edge(START, "a", "b", "c", "d", END)
    return made.compile().as_node(reads={"text": cast(Any, ["text"])}, writes={})


INNER_NOTE = inner_note()

WRONG_CALLS: list[tuple[Callable[[Any], None], str]] = [
    (lambda made: made.edge("a"), 'graph "board": edge() needs two stops or more; got 1'),
    (lambda made: made.edge(), "edge() needs two stops or more; got 0"),
    (lambda made: made.edge("a", None), 'graph "board", edge(): a stop is a name or a list of names; got None'),
    (lambda made: made.edge("a", ["b", 3]), "a stop is a name or a list of names; got ['b', 3]"),
    (lambda made: made.edge("a", {"b"}), "a stop is a name or a list of names; got {'b'}"),  # has no order
    (lambda made: made.switch("a", {"text": 3}), 'graph "board", switch("a"): a stop is a name or a list of names'),
    (lambda made: made.switch("a", {}, otherwise=3), "a stop is a name or a list of names; got 3"),
    (lambda made: made.switch(["a"], {"text": "b"}), "a switch has one source, a name; got ['a']"),
    (lambda made: made.switch("a", ["b"]), "expected {condition: target}; got ['b']"),
    (
        lambda made: made.each("a", "b", over="items", bind="text", max_concurrency=0),
        "max_concurrency must be a whole number of at least 1; got int: 0",
    ),
    (lambda made: made.node("e", note, retry=3), 'graph "board", node "e": retry must be a Retry; got 3'),
    (lambda made: made.node("e", note, timeout_s=0), 'node "e": timeout_s must be more than 0 seconds; got int: 0'),
    (lambda made: made.node("e", note, timeout_s="1"), "timeout_s must be more than 0 seconds; got str: '1'"),
    (
        lambda made: made.node("e", note, timeout_s=float("nan")),
        "timeout_s must be more than 0 seconds; got float: nan",
    ),
    (lambda made: made.node("e", note, cache=60), 'node "e": cache must be a Cache; got 60'),
    (lambda made: made.node(3, note), "a node's name is a string that can be saved; got 3"),
    (lambda made: made.node("e", note, reads=["text"]), 'node "e": expected reads={"port": "field"}; got [\'text\']'),
    (lambda made: made.node("e", note, writes="text"), 'expected writes={"port": "field"}; got \'text\''),
    (lambda made: made.node("e", note, reads={"text": ["text"]}), "got {'text': ['text']}; both are names"),
    (lambda made: made.node("e", note, reads={3: "text", "text": "text"}), "got {3: 'text', 'text': 'text'}; both are"),
    (
        lambda made: made.node("e", note, writes={"items": None}),
        'expected writes={"port": "field"}; got {\'items\': None}',
    ),
    (lambda made: made.node("e", INNER_NOTE), 'node "e": expected reads={"port": "field"}; got {\'text\': [\'text\']}'),
    (
        lambda made: made.node("e", note, ungated=True),
        'node "e": ungated is a text, the reason why, and join True or False; got ungated=True',
    ),
    (lambda made: made.node("e", note, ungated=5), "True or False; got ungated=5, join=False"),
    (lambda made: made.node("e", note, join="yes"), "and join True or False; got ungated='', join='yes'"),
    (
        lambda made: made.node("e", note, timeout_s=True),
        'node "e": timeout_s must be more than 0 seconds; got bool: True',
    ),
    (lambda made: made.node("e\ud800", note), "a node's name is a string that can be saved; got 'e\\ud800'"),
    (lambda made: made.each("a", "b", over=["items"], bind="text"), "over and bind are names; got ['items'], 'text'"),
    (
        lambda made: made.each("a", "b", over="items", bind=None),
        'graph "board", each("a"): over and bind are names; got',
    ),
    (
        lambda made: made.each("a", "b", over="items", bind="text", max_concurrency=True),
        "a whole number of at least 1; got bool: True",
    ),
    (lambda made: made.compile(pause_before=[["a"]]), "graph \"board\": pause_before is a list of names; got [['a']]"),
    (lambda made: made.compile(pause_after=["a", 3]), "pause_after is a list of names; got ['a', 3]"),
    (lambda made: made.compile(pause_before="a"), "graph \"board\": pause_before is a list of names; got 'a'"),
    (lambda made: made.compile(pause_after=3), "pause_after is a list of names; got 3"),
    (lambda made: made.node("e", print), "expected a Node, a function made by @node"),
]


@pytest.mark.parametrize(("draw", "message"), WRONG_CALLS)
def test_a_call_of_the_wrong_form_is_refused_at_once(draw: Callable[[Any], None], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        draw(graph())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Graph("board", cast(Any, dict)), "graph \"board\" needs a subclass of State; got <class 'dict'>"),
        (lambda: Graph("board", cast(Any, Board())), 'graph "board" needs a subclass of State; got Board('),
        (lambda: Graph(cast(Any, 3), Board), "a graph's name is a string that can be saved; got 3"),
        (lambda: graph(inputs="text"), "inputs is a list of names; got 'text', write inputs=(\"text\",)"),
        (lambda: graph(inputs=3), 'graph "board": inputs is a list of names; got 3'),
        (lambda: graph(inputs=[["text"]]), "graph \"board\": inputs is a list of names; got [['text']]"),
        (lambda: graph(inputs=[1, 2]), 'graph "board": inputs is a list of names; got [1, 2]'),
        (lambda: Graph("board\ud800", Board), "a graph's name is a string that can be saved; got 'board\\ud800'"),
        (lambda: graph(timeout_s=True), 'graph "board": timeout_s must be more than 0 seconds; got bool: True'),
        (lambda: graph(retry=3), 'graph "board": retry must be a Retry; got 3'),
        (lambda: graph(timeout_s=-1), 'graph "board": timeout_s must be more than 0 seconds; got int: -1'),
        (lambda: graph(cache=3), 'graph "board": cache must be a Cache; got 3'),
    ],
)
def test_a_graph_with_settings_of_the_wrong_type_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)


def test_a_breakpoint_that_is_no_node_is_refused() -> None:
    made = graph()
    made.edge(START, "a", "b", "c", "d", END)
    with pytest.raises(ConfigError, match=r'graph "board" cannot pause at "aa", which is no node. Did you mean "a"\?'):
        made.compile(pause_before=["aa"])


def test_a_breakpoint_is_a_node() -> None:
    made = graph()
    made.edge(START, "a", "b", "c", "d", END)
    result = made.compile(pause_before=["b"], pause_after=["c"]).run_sync({"text": "t"})
    assert (result.status, result.state.items) == ("paused", ["t"])


def test_a_breakpoint_after_a_node_that_only_leads_to_the_end_would_hold_nothing() -> None:
    made = graph()
    made.edge(START, "a", ["b", "c"], "d")
    made.switch("d", {"text": END}, otherwise=END)
    with pytest.raises(ConfigError) as caught:
        made.compile(pause_after=["b", "d"])
    assert str(caught.value) == (
        'graph "board" cannot pause after "d", which leads to END alone: a breakpoint after a node holds what follows, '
        'and nothing does; pause before "d"'
    )


def test_a_breakpoint_after_a_node_that_may_go_on_holds_what_follows() -> None:
    made = Graph("board", Board)
    made.node("a", note)
    made.edge(START, "a")
    made.switch("a", {"len(items) > 1": END}, otherwise="a")
    app = made.compile(pause_after=["a"])
    paused = app.run_sync({"text": "t"})
    assert (paused.status, paused.state.items) == ("paused", ["t"])
    result = asyncio.run(app.resume(paused.run_id))
    assert (result.status, result.state.items) == ("completed", ["t", "t"])


# Compiling.


def test_a_compiled_graph_is_placed_with_its_own_maps_and_more() -> None:
    inner = graph()
    inner.edge(START, "a", "b", "c", "d", END)

    class Outer(State):
        title: str = ""
        lines: Annotated[list[str], append] = []

    outer = Graph("outer", Outer)
    made = inner.compile().as_node(reads={"text": "title"}, writes={"items": "items"})
    outer.node("inner", made, writes={"items": "lines"})
    outer.edge(START, "inner", END)
    assert outer.compile().run_sync({"title": "t"}).state.lines == ["t"] * 4


def test_compile_raises_every_problem_at_once() -> None:
    made = graph()
    made.edge(START, "a", "nowhere")
    with pytest.raises(GraphError) as caught:
        made.compile()
    assert caught.value.graph == "board"
    assert list(caught.value.problems) == made.check()
    assert len(caught.value.problems) > 3


def test_a_graph_is_data_and_comes_back_from_it() -> None:
    made = Graph("straight", State, timeout_s=3)
    made.edge(START, END)
    spec = made.to_spec()
    back: Graph[Any] = Graph.from_spec(spec, allow=("loom",))
    assert (back.name, back.state, back.to_spec()) == ("straight", State, spec)


def test_warnings_stop_nothing() -> None:
    made = graph()
    made.edge(START, "a", "b", "c", "d")
    made.switch("d", {"text == ''": END})
    assert [one.severity for one in made.check()] == ["warning"]
    assert made.compile().run_sync().status == "completed"


def test_a_compiled_graph_stays_as_it_is_when_more_is_drawn() -> None:
    made = graph()
    made.edge(START, "a", "b", "c", "d", END)
    app = made.compile()
    before = app.outline()
    made.node("e", note)
    made.edge("e", END)
    assert app.outline() == before
    assert app.run_sync({"text": "t"}).state.items == ["t"] * 4
    with pytest.raises(GraphError):
        made.compile()


def test_policies_of_the_graph_are_those_of_its_nodes_unless_they_have_their_own() -> None:
    calls: list[str] = []

    @node(writes="items")
    def flaky(text: str) -> list[str]:
        calls.append(text)
        if len(calls) < 3:
            raise ConnectionError
        return [text]

    made = Graph("flaky", Board, retry=Retry(max_attempts=3, backoff_s=0), timeout_s=5, cache=Cache())
    made.node("a", flaky)
    made.edge(START, "a", END)
    app = made.compile()
    assert app.run_sync({"text": "t"}).state.items == ["t"]
    assert app.run_sync({"text": "t"}).state.items == ["t"]
    assert len(calls) == 3  # the second run was given what the first found
    own = Graph("own", Board, retry=Retry(max_attempts=3, backoff_s=0))
    own.node("a", flaky, retry=Retry(max_attempts=1))
    own.edge(START, "a", END)
    calls.clear()
    with pytest.raises(Exception, match="ConnectionError"):
        own.compile().run_sync({"text": "t"})
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["veto", "approve"])
def test_a_cache_of_the_graph_leaves_gates_out_so_every_run_is_approved_by_itself(kind: str) -> None:
    @node(writes="text", kind=kind)
    async def approve(ctx: Context) -> str:
        return "sent" if await ctx.ask("Send it?", answer_type=bool) else ""

    made = Graph("gated", Board, cache=Cache())
    made.node("approve", approve)
    made.edge(START, "approve", END)
    app = made.compile()
    for answer in (True, False):
        paused = app.run_sync()
        assert paused.status == "paused", "a run was let pass by the answer that another one was given"
        result = asyncio.run(app.resume(paused.run_id, answers={paused.asks[0].id: answer}))
        assert result.state.text == ("sent" if answer else "")
