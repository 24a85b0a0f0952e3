import contextlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from loom import (
    END,
    START,
    Cache,
    ConfigError,
    Context,
    Graph,
    GraphError,
    GraphResult,
    Limits,
    Node,
    Problem,
    Retry,
    Runtime,
    State,
    append,
    merge,
    node,
)
from loom.core.context import Effect
from loom.core.node import AnyNode
from loom.runs.app import CompiledGraph


class Board(State):
    text: str = ""
    number: int = 0
    items: Annotated[list[str], append] = []


@node
def idle() -> None:
    """Read and write nothing."""


@node(writes="text")
def tell(text: str, number: int, items: list[str]) -> str:
    return text


@node(writes="text")
def say() -> str:
    return "said"


def drawn(names: str, *edges: Any, **nodes: Any) -> Graph[Board]:
    """Return a graph of idle nodes of these one-letter names, with these chains of edges."""
    graph = Graph("drawn", Board)
    for name in names:
        graph.node(name, idle)
    graph.node("uses", tell, **nodes)
    graph.edge(START, "uses")
    for chain in edges:
        graph.edge(*chain)
    return graph


def found(graph: Graph[Any], code: str = "") -> list[Problem]:
    """Return the problems of a graph: all errors, or all of one code."""
    return [one for one in graph.check() if (one.code == code if code else one.severity == "error")]


def only(graph: Graph[Any], code: str) -> Problem:
    """Return the one problem of a graph, which is of this code and which compile() raises."""
    errors = found(graph)
    assert [one.code for one in errors] == [code], errors
    with pytest.raises(GraphError) as caught:
        graph.compile()
    assert errors[0] in caught.value.problems
    return errors[0]


def fine(graph: Graph[Any]) -> None:
    assert found(graph) == []
    graph.compile()


# The shape.


def test_101_an_edge_to_an_unknown_node() -> None:
    graph = drawn("a", ("uses", "b"))
    graph.edge("a", END)
    unknown = next(one for one in found(graph) if one.code == "LOOM101")
    assert unknown.where == 'edge("uses")'
    assert unknown.message == '"b" is no node; nodes are "a", "uses".'
    fine(drawn("a", ("uses", "a", END)))


def test_101_suggests_the_nearest_name() -> None:
    graph = drawn("", ("uses", END))
    graph.edge("use", END)
    assert only(graph, "LOOM101").message.endswith(' Did you mean "uses"?')


def test_101_a_switch_to_an_unknown_node() -> None:
    graph = drawn("")
    graph.switch("uses", {"number > 1": "usse"}, otherwise=END)
    problem = only(graph, "LOOM101")
    assert problem.where == 'switch("uses")'
    assert 'Did you mean "uses"?' in problem.message


def test_101_an_each_of_an_unknown_node() -> None:
    graph = drawn("")
    graph.each("uses", "usse", over="items", bind="text")
    assert found(graph, "LOOM101")[0].where == 'each("uses")'


def test_101_start_is_no_target_and_end_no_source() -> None:
    graph = drawn("a", ("uses", "a"))
    graph.edge(END, "a", END)
    graph.switch("a", {"number": START}, otherwise=END)
    graph.each("a", END, over="items", bind="x")
    assert [one.message for one in found(graph, "LOOM101")] == [
        '"END" cannot be the source here; name a node',
        '"START" cannot be a target here; name a node',
        '"END" cannot be a target here; name a node',
    ]


def test_102_a_node_that_start_does_not_lead_to() -> None:
    problem = only(drawn("a", ("uses", END), ("a", END)), "LOOM102")
    assert problem.where == 'node "a"'
    assert problem.message == '"a" cannot be reached from START; draw an edge to it or remove it'
    fine(drawn("a", ("uses", "a", END)))


def test_103_a_node_that_only_leads_into_a_dead_end() -> None:
    graph = drawn("ab", ("uses", "a", "b"))
    problems = {one.code: one for one in found(graph)}
    assert problems["LOOM105"].where == 'node "b"'  # the dead end itself
    assert {one.where for one in found(graph, "LOOM103")} == {'node "a"', 'node "uses"'}
    fine(drawn("ab", ("uses", "a", "b", END)))


def test_104_a_cycle_without_a_way_out() -> None:
    graph = drawn("ab", ("uses", "a", "b", "a"))
    (problem,) = found(graph, "LOOM104")
    assert problem.where == 'node "a"'
    assert problem.message == 'the cycle of "a", "b" has no way out; leave it by a switch'
    assert [one.where for one in found(graph, "LOOM103")] == ['node "uses"']  # which only leads into it
    left = drawn("ab", ("uses", "a", "b"))
    left.switch("b", {"number > 3": END}, otherwise="a")
    fine(left)


def test_104_a_node_that_only_leads_to_itself() -> None:
    assert found(drawn("a", ("uses", "a", "a")), "LOOM104")[0].message.startswith('the cycle of "a" has no way out')


def test_105_a_node_without_a_way_out() -> None:
    graph = drawn("a")
    graph.switch("uses", {"number > 1": "a"}, otherwise=END)
    problem = only(graph, "LOOM105")
    assert (problem.where, problem.message) == (
        'node "a"',
        '"a" has no outgoing edge; draw one, to END if it is the last',
    )
    graph.edge("a", END)
    fine(graph)


def test_105_start_without_a_way_out() -> None:
    graph = Graph("empty", Board)
    assert {one.where for one in found(graph, "LOOM105")} == {'node "START"'}


def test_105_two_edges_are_to_be_drawn_as_one_list() -> None:
    problem = only(drawn("ab", ("uses", "a", END), ("uses", "b", END)), "LOOM105")
    assert problem.message == '"uses" has 2 edges; draw one, edge("uses", ["a", "b"])'
    problem = only(drawn("", ("uses", END), ("uses", END)), "LOOM105")
    assert problem.message == '"uses" has 2 edges; draw one, edge("uses", "END")'


def test_105_an_edge_beside_a_switch() -> None:
    graph = drawn("a", ("uses", "a", END))
    graph.switch("uses", {"number > 1": "a"}, otherwise=END)
    problem = only(graph, "LOOM105")
    assert problem.message == '"uses" has 2 ways out, edge("uses") and switch("uses"); put them into one switch'


def test_105_an_edge_beside_an_each() -> None:
    graph = drawn("", ("uses", END))
    graph.node("item", per_item)
    graph.each("uses", "item", over="items", bind="text")
    graph.edge("item", END)
    assert '"uses" has 2 ways out, each("uses") and edge("uses"); keep one' in only(graph, "LOOM105").message


def test_105_a_switch_with_no_way() -> None:
    graph = drawn("")
    graph.switch("uses", {})
    assert found(graph, "LOOM105")[0].message == "the switch has no way; give it a condition or `otherwise`"


def test_107_a_switch_without_otherwise_is_a_warning() -> None:
    graph = drawn("")
    graph.switch("uses", {"number > 1": END})
    assert found(graph) == []
    (problem,) = found(graph, "LOOM107")
    assert (problem.where, problem.severity) == ('switch("uses")', "warning")
    assert problem.message == "no `otherwise`: the run fails with NoEdgeError when no condition holds"
    graph.compile()
    closed = drawn("")
    closed.switch("uses", {"number > 1": END}, otherwise=END)
    assert found(closed, "LOOM107") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("uses", 'the name "uses" is taken; give this node another'),
        (START, 'the name "START" is reserved; give the node another'),
        (END, 'the name "END" is reserved; give the node another'),
        ("", "a node's name is empty; give it one"),
        (" ", "a node's name is empty; give it one"),
        ("a/b", 'the name "a/b" has a "/", which stands for nodes of inner graphs; leave it out'),
    ],
)
def test_109_a_name_that_cannot_be(name: str, message: str) -> None:
    graph = drawn("", ("uses", END))
    graph.node(name, idle)
    problem = found(graph, "LOOM109")[0]
    assert (problem.where, problem.message) == (f'node "{name}"', message)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (("uses", ["a", "b", "a"], "c", END), 'the list names "a" twice; a fan-out has one branch for each target'),
        (("uses", ["a", END]), '"END" stands in a list; a branch that has nothing to do needs no target'),
        (("uses", list[str]()), "the list of targets is empty; name at least one"),
        (
            ("uses", ["a", "b"], ["c", "d"], END),
            "list ['c', 'd'] follows list ['a', 'b']; put a node between them where the branches join",
        ),
    ],
)
def test_110_a_list_that_cannot_be(chain: tuple[Any, ...], message: str) -> None:
    assert message in [one.message for one in found(drawn("abcd", chain), "LOOM110")]


def test_110_a_list_may_be_followed_by_a_node_and_a_node_by_a_list() -> None:
    fine(drawn("abcd", ("uses", ["a", "b"], "c", "d", END)))
    fine(drawn("abcde", ("uses", ["a", "b"], "e", ["c", "d"], END)))


# The data.


@node(writes="text")
def echo(text: str) -> str:
    return text


@node(writes="text")
def misspelt(txet: str, limit: int = 3) -> str:
    return txet


def placed(made: AnyNode, **options: Any) -> Graph[Board]:
    graph = Graph("placed", Board)
    graph.node("uses", tell)
    graph.node("one", made, **options)
    graph.edge(START, "uses", "one", END)
    return graph


def test_201_a_port_that_reads_no_field() -> None:
    problem = only(placed(misspelt), "LOOM201")
    assert problem.where == 'node "one"'
    assert problem.message == (
        'port "txet" reads "txet", which is no field of Board; fields are "items", "number", "text". '
        'Did you mean "text"?'
    )
    fine(placed(misspelt, reads={"txet": "text"}))


def test_201_a_port_that_writes_no_field() -> None:
    @node(writes="txt")
    def writer() -> str:
        return ""

    assert 'port "txt" writes "txt", which is no field of Board' in only(placed(writer), "LOOM201").message
    fine(placed(writer, writes={"txt": "text"}))


def test_201_a_port_with_a_default_may_have_no_field_but_not_be_mapped_to_none() -> None:
    fine(placed(misspelt, reads={"txet": "text"}))
    graph = placed(misspelt, reads={"txet": "text", "limit": "limits"})
    assert 'port "limit" reads "limits"' in only(graph, "LOOM201").message


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"reads": {"txt": "text"}}, 'reads= maps "txt", which is no port; ports are "text". Did you mean "text"?'),
        ({"writes": {"out": "text"}}, 'writes= maps "out", which is no port; ports are "text".'),
    ],
)
def test_201_a_map_of_a_port_the_node_does_not_have(option: dict[str, dict[str, str]], message: str) -> None:
    assert only(placed(echo, **option), "LOOM201").message == message


def test_201_inputs_that_name_no_field() -> None:
    graph = Graph("asked", Board, inputs=("txt",))
    graph.node("uses", tell)
    graph.edge(START, "uses", END)
    problem = only(graph, "LOOM201")
    assert problem.where == 'graph "asked"'
    assert problem.message.startswith('inputs= names "txt", which is no field of Board')


def test_202_a_port_that_wants_another_type_than_the_field_holds() -> None:
    problem = only(placed(echo, reads={"text": "number"}), "LOOM202")
    assert (problem.where, problem.message) == ('node "one"', 'port "text" wants str, field "number" holds int')


def test_202_a_port_that_gives_another_type_than_the_field_holds() -> None:
    problem = only(placed(echo, writes={"text": "number"}), "LOOM202")
    assert (problem.where, problem.message) == ('node "one"', 'port "text" gives str, field "number" holds int')


def test_202_a_reducer_that_does_not_suit_its_field() -> None:
    class Wrong(Board):
        names: Annotated[str, append] = ""

    @node
    def use(text: str, number: int, items: list[str], names: str) -> None: ...

    graph = Graph("wrong", Wrong)
    graph.node("use", use)
    graph.edge(START, "use", END)
    problem = only(graph, "LOOM202")
    assert (problem.where, problem.message) == ('field "names"', 'reducer "append" wants list or tuple, got str')


class Client:
    """A live object."""


class Login(BaseModel):
    password: SecretStr


def holding(annotation: object) -> Graph[Any]:
    kind: Any = type("Holding", (State,), {"__annotations__": {"kept": annotation}, "__module__": __name__})
    graph: Graph[Any] = Graph("holding", kind, inputs=("kept",))
    graph.node("idle", idle)
    graph.edge(START, "idle", END)
    return graph


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Client, "Client cannot be saved as JSON: Cannot generate a JsonSchema"),
        (Client | None, "belong to Runtime"),
        (Callable[[], None], "belong to Runtime"),
        (list[Login], "SecretStr is a secret, which a saved state would lose; keep secrets in the environment"),
    ],
)
def test_205_a_field_that_cannot_be_saved(annotation: object, message: str) -> None:
    problem = only(holding(annotation), "LOOM205")
    assert problem.where == 'field "kept"'
    assert message in problem.message
    fine(holding(dict[str, list[int]]))


def test_206_a_condition_that_is_wrong() -> None:
    graph = drawn("")
    graph.switch("uses", {"numer > 1": END, "number >": END, "text.upper() == 'A'": END}, otherwise=END)
    problems = found(graph)
    assert [(one.code, one.where) for one in problems] == [("LOOM206", 'switch("uses")')] * 3
    assert 'reads "numer", which is no field' in problems[0].message
    assert 'Did you mean "number"?' in problems[0].message
    right = drawn("")
    right.switch("uses", {"number > 1": END}, otherwise=END)
    fine(right)


def test_207_a_field_that_nothing_uses_is_a_warning() -> None:
    graph = Graph("unused", Board)
    graph.node("echo", echo)
    graph.edge(START, "echo")
    graph.switch("echo", {"number > 1": END}, otherwise=END)
    assert found(graph) == []
    (problem,) = found(graph, "LOOM207")
    assert (problem.where, problem.severity) == ('field "items"', "warning")
    assert problem.message == 'nothing reads or writes "items"; remove it'
    graph.compile()


@pytest.mark.parametrize("use", ["read", "written", "tested", "given"])
def test_207_reading_writing_testing_and_giving_are_uses(use: str) -> None:
    class One(State):
        one: int = 0

    @node
    def read(one: int) -> None: ...

    @node(writes="one")
    def write() -> int:
        return 1

    graph = Graph("use", One, inputs=("one",) if use == "given" else ())
    graph.node("a", read if use == "read" else write if use == "written" else idle)
    graph.edge(START, "a")
    graph.switch("a", {"one > 1" if use == "tested" else is_over: END}, otherwise=END)
    assert found(graph, "LOOM207") == []


def is_over() -> bool:
    return True


def test_207_running_over_a_list_is_a_use() -> None:
    class Tasks(State):
        tasks: list[str] = []

    @node
    def work(task: str) -> None: ...

    graph = Graph("tasks", Tasks)
    graph.node("work", work)
    graph.each(START, "work", over="tasks", bind="task")
    graph.edge("work", END)
    assert graph.check() == []


@node(writes="items")
def per_item(text: str) -> list[str]:
    return [text]


def each_of(over: str = "items", bind: str = "text", made: AnyNode = per_item, join: bool = False) -> Graph[Board]:
    graph = Graph("each", Board)
    graph.node("uses", tell)
    graph.node("item", made, join=join)
    graph.edge(START, "uses")
    graph.each("uses", "item", over=over, bind=bind)
    graph.edge("item", END)
    return graph


def test_208_each_over_a_list_into_a_port_is_fine() -> None:
    fine(each_of())


@node(writes="items")
def counted(text: int) -> list[str]:
    return []


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (each_of(over="item"), 'over="item" is no field; fields are "items", "number", "text". Did you mean "items"?'),
        (each_of(over="text"), 'over="text" holds str; expected a list or a tuple of one type'),
        (each_of(bind="txt"), 'bind="txt" is no port of "item"; ports are "text". Did you mean "text"?'),
        (each_of(made=counted), 'port "text" wants int, an item of "items" is str'),
        (each_of(made=echo), '"item" writes field "text" once for each item, and it has no reducer; give it one'),
        (each_of(join=True), '"item" is also reached by a list, where its port "text" would have no item'),
    ],
)
def test_208_an_each_that_cannot_be(graph: Graph[Board], message: str) -> None:
    problem = found(graph, "LOOM208")[0]
    assert problem.where == 'each("uses")'
    assert message in problem.message


def test_208_what_an_each_runs_over_is_checked_where_its_node_is_unknown_too() -> None:
    graph = drawn("", ("uses", END))
    graph.each(START, "nobody", over="itms", bind="task")
    assert [one.code for one in found(graph) if one.where == 'each("START")'] == ["LOOM101", "LOOM208"]


def test_208_the_node_of_an_each_is_reached_by_nothing_else() -> None:
    graph = Graph("each", Board)
    graph.node("uses", tell)
    graph.node("item", per_item)
    graph.switch(START, {"number": "uses"}, otherwise="item")
    graph.each("uses", "item", over="items", bind="text")
    graph.edge("item", END)
    assert '"item" is also reached by switch("START")' in only(graph, "LOOM208").message


class Several(BaseModel):
    first: str
    second: str


def test_204_two_ports_of_one_node_that_write_one_field() -> None:
    @node
    def several() -> Several:
        return Several(first="", second="")

    problem = only(placed(several, writes={"first": "text", "second": "text"}), "LOOM204")
    assert problem.where == 'field "text"'
    assert problem.message == 'the ports "first", "second" of "one" write it at once; map each to a field of its own'


# The safety.


def acting(kind: str = "node", effect: Effect = "pure") -> AnyNode:
    @node(kind=kind, effect=effect)
    def act() -> None: ...

    return act


def gated(nodes: Mapping[str, AnyNode], *edges: tuple[str, ...], **switches: tuple[str, str]) -> Graph[Board]:
    """Draw a graph; a keyword is a switch from the node of that name to one of two."""
    graph = Graph("gated", Board)
    for name, made in nodes.items():
        graph.node(name, made)
    for chain in edges:
        graph.edge(*chain)
    for source, (then, otherwise) in switches.items():
        graph.switch(source, {"number > 1": then}, otherwise=otherwise)
    return graph


VETO, APPROVE, WRITE, PURE = acting("veto"), acting("approve"), acting(effect="write"), acting()


def test_301_a_write_node_that_start_reaches_without_a_gate() -> None:
    problem = only(gated({"act": WRITE}, (START, "act", END)), "LOOM301")
    assert problem.where == 'node "act"'
    assert problem.message == (
        '"act" writes to the world and can be reached from START without passing a gate; '
        'put a veto or approve node on every way to it, or say ungated="why"'
    )


@pytest.mark.parametrize("gate", [VETO, APPROVE])
def test_301_a_gate_on_every_way_is_enough(gate: AnyNode) -> None:
    fine(gated({"gate": gate, "act": WRITE}, (START, "gate", "act", END)))


def test_301_one_way_around_the_gate_is_too_much() -> None:
    graph = gated(
        {"plan": PURE, "gate": VETO, "act": WRITE}, (START, "plan"), ("gate", "act", END), plan=("gate", "act")
    )
    assert "from START" in only(graph, "LOOM301").message


def test_301_a_write_node_must_not_reach_itself_around_the_gate() -> None:
    nodes = {"gate": VETO, "act": WRITE, "look": PURE}
    again = gated(nodes, (START, "gate", "act", "look"), look=("act", END))
    assert 'can be reached from "act" itself without passing a gate' in only(again, "LOOM301").message
    fine(gated(nodes, (START, "gate", "act", "look"), look=("gate", END)))
    twice = gated({"gate": VETO, "act": WRITE}, (START, "gate", "act"), act=("act", END))
    assert 'from "act" itself' in only(twice, "LOOM301").message


def test_301_a_second_write_node_after_a_gated_one_may_follow() -> None:
    graph = gated({"gate": VETO, "act": WRITE, "post": WRITE}, (START, "gate", "act", "post", END))
    fine(graph)  # no way from START or from itself avoids the gate


def test_301_a_reason_lets_a_write_node_run_without_a_gate() -> None:
    graph = Graph("ungated", Board)
    graph.node("act", WRITE, ungated="confined to the workspace")
    graph.edge(START, "act", END)
    fine(graph)


def test_301_a_gate_that_writes_is_a_gate() -> None:
    fine(gated({"gate": acting("approve", "write")}, (START, "gate", END)))


def test_301_an_inner_graph_has_been_checked_by_itself() -> None:
    inner = Graph("inner", Board)
    inner.node("act", WRITE, ungated="a test")
    inner.edge(START, "act", END)
    made = inner.compile().as_node(reads={}, writes={})
    assert made.effect == "write"
    fine(gated({"inner": made}, (START, "inner", END)))


@pytest.mark.parametrize("effect", ["pure", "read", "model"])
def test_301_is_about_writing_alone(effect: Effect) -> None:
    fine(gated({"act": acting(effect=effect)}, (START, "act", END)))


def test_301_holds_for_node_classes_too() -> None:
    class Send(Node[Several, Several]):
        kind: ClassVar[str] = "act"
        effect: ClassVar[Effect] = "write"

        async def run(self, inputs: Several, ctx: Context) -> Several:
            return inputs

    graph = Graph("send", Board)
    graph.node("send", Send(), reads={"first": "text", "second": "text"}, writes={"first": "text", "second": "text"})
    graph.edge(START, "send", END)
    assert "LOOM301" in {one.code for one in found(graph)}


def test_302_a_timeout_on_a_sync_function_that_runs_inline() -> None:
    @node(thread=False)
    def inline() -> None: ...

    @node
    async def awaited() -> None: ...

    problem = only(placed(inline, timeout_s=1.5), "LOOM302")
    assert problem.where == 'node "one"'
    assert problem.message == (
        "timeout_s=1.5 cannot stop a sync function that runs inline; make it async, or let it run in a thread"
    )
    fine(placed(inline))
    fine(placed(awaited, timeout_s=1.5))
    fine(placed(idle, timeout_s=1.5))


def test_302_a_timeout_of_the_whole_graph_counts_too() -> None:
    @node(thread=False)
    def inline() -> None: ...

    graph = Graph("timed", Board, timeout_s=2)
    graph.node("uses", tell)
    graph.node("one", inline)
    graph.edge(START, "uses", "one", END)
    assert "timeout_s=2 cannot stop" in only(graph, "LOOM302").message


def test_302_a_cache_on_a_node_that_writes_to_the_world() -> None:
    graph = Graph("cached", Board)
    graph.node("act", WRITE, ungated="a test", cache=Cache(ttl_s=1))
    graph.edge(START, "act", END)
    assert "a cache would leave its effect out the second time" in only(graph, "LOOM302").message
    fine(placed(echo, cache=Cache(ttl_s=1)))


@pytest.mark.parametrize("kind", ["veto", "approve"])
def test_302_a_cache_on_a_gate(kind: str) -> None:
    @node(writes="number", kind=kind)
    async def gate(ctx: Context) -> int:
        return 1 if await ctx.ask("Go on?", answer_type=bool) else 0

    problem = only(placed(gate, cache=Cache(ttl_s=1)), "LOOM302")
    assert problem.where == 'node "one"'
    assert problem.message == (
        f'a cache would reuse its verdict in other runs; a gate, of kind "{kind}", cannot have one: '
        "it decides each time"
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"cache": Cache(ttl_s=1)}, "a graph cannot have a cache; give its nodes one"),
        ({"retry": Retry()}, "a graph cannot have a retry or a timeout of its own; give its nodes one"),
        ({"timeout_s": 1}, "a graph cannot have a retry or a timeout of its own; give its nodes one"),
    ],
)
def test_302_policies_on_a_graph_used_as_a_node(option: dict[str, Any], message: str) -> None:
    inner = drawn("", ("uses", END)).compile().as_node(reads={}, writes={"text": "text"})
    assert only(placed(inner, **option), "LOOM302").message == message
    fine(placed(inner))


# All of it together.


def test_all_problems_are_found_at_once_in_the_order_of_their_codes() -> None:
    class Many(Board):
        client: Client | None = None
        unused: dict[str, int] = {}

    graph = Graph("many", Many)
    graph.node("a", misspelt)
    graph.node("a", idle)
    graph.node("b", WRITE)
    graph.node("c", echo, reads={"text": "number"})
    graph.edge(START, ["a", "a"])
    graph.edge("a", "nowhere")
    graph.switch("b", {"nmber > 1": END})
    codes = [one.code for one in graph.check()]
    assert codes == sorted(codes)
    expected = {"101", "102", "105", "107", "109", "110", "201", "202", "205", "206", "207"}
    assert set(codes) == {f"LOOM{code}" for code in expected}
    with pytest.raises(GraphError, match='graph "many" has ') as caught:
        graph.compile()
    assert list(caught.value.problems) == graph.check()
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)


class Late(Board):
    late: str


@node(writes="late")
def tell_late() -> str:
    return "late"


@node
def need_late(late: str) -> None: ...


@node(writes="nmber")
def misspell() -> int:
    return 1


@node(thread=False)
def at_once() -> None: ...


def also_unknown(graph: Graph[Any]) -> None:
    graph.node("also", misspell)
    graph.edge("last", "also", END)


def also_mistyped(graph: Graph[Any]) -> None:
    graph.node("also", say, writes={"text": "number"})
    graph.edge("last", "also", END)


def also_wrongly_decided(graph: Graph[Any]) -> None:
    graph.switch("last", {"nmber > 1": END, "a b": END}, otherwise=END)


def also_wrongly_repeated(graph: Graph[Any]) -> None:
    graph.node("also", echo)
    graph.each("last", "also", over="number", bind="texxt")
    graph.edge("also", END)


def also_ungated(graph: Graph[Any]) -> None:
    graph.node("also", WRITE)
    graph.edge("last", "also", END)


def also_timed(graph: Graph[Any]) -> None:
    graph.node("also", at_once, timeout_s=3)
    graph.edge("last", "also", END)


def also_named(graph: Graph[Any]) -> None:
    graph.node("al/so", idle)
    graph.edge("last", "al/so", END)


def also_unreached(graph: Graph[Any]) -> None:
    graph.node("also", idle)
    graph.edge("also", ["lost", "left"], "meet", "last", END)
    for name in ("lost", "left", "meet"):
        graph.node(name, idle)


def also_endless(graph: Graph[Any]) -> None:
    graph.node("also", idle)
    graph.node("again", idle)
    graph.edge("last", "also", "again", "also")


def also_leading_into_a_cycle(graph: Graph[Any]) -> None:
    also_endless(graph)
    graph.node("out", idle)
    graph.edge("out", END)


@pytest.mark.parametrize(
    ("also", "codes"),
    [
        (also_unreached, {"102"}),
        (also_endless, {"103", "104"}),
        (also_leading_into_a_cycle, {"102", "103", "104"}),
        (also_named, {"109"}),
        (also_unknown, {"201"}),
        (also_mistyped, {"202"}),
        (also_wrongly_decided, {"206"}),
        (also_wrongly_repeated, {"208"}),
        (also_ungated, {"301"}),
        (also_timed, {"302"}),
    ],
)
def test_what_leaves_the_shape_as_it_is_hides_no_problem_of_the_data(
    also: Callable[[Graph[Any]], None], codes: set[str]
) -> None:
    graph = Graph("late", Late)
    graph.node("first", need_late)
    graph.node("a", tell)
    graph.node("b", tell)
    graph.node("last", tell_late)
    graph.edge(START, "first", ["a", "b"], "last")
    also(graph)
    assert {one.code for one in found(graph)} == {f"LOOM{code}" for code in codes | {"203", "204"}}


def test_a_problem_reads_as_a_line() -> None:
    graph = drawn("")
    graph.switch("uses", {"number > 1": END})
    (problem,) = graph.check()
    assert str(problem) == (
        'LOOM107 (warning) at switch("uses"): no `otherwise`: the run fails with NoEdgeError when no condition holds'
    )


def test_checking_changes_nothing() -> None:
    graph = drawn("a", ("uses", "b"))
    assert graph.check() == graph.check()
    graph.node("b", idle)
    graph.edge("b", "a", END)
    fine(graph)


# Whatever is drawn, check() tells of it and compile() gives an error or an app that runs.

NAMES = ["a", "b", "c", START, END, "", "x/y", "unknown"]
names = st.sampled_from(NAMES)
stops = names | st.lists(names, max_size=3)
conditions = st.sampled_from(["number > 1", "len(items) > 2", "nmber", "a b", is_over, 3])


class Wild(State):
    text: str
    number: int = 0
    items: Annotated[list[str], append] = []
    table: Annotated[dict[str, int], merge] = {}


@node
def both(text: str, number: int = 2) -> Several:
    return Several(first=text, second="")


actions = st.one_of(
    st.tuples(
        st.just("node"),
        names,
        st.sampled_from([idle, tell, say, echo, misspelt, per_item, both, VETO, WRITE]),
        st.fixed_dictionaries(
            {},
            optional={
                "join": st.booleans(),
                "ungated": st.just("a test"),
                "reads": st.dictionaries(st.sampled_from(["text", "txet"]), st.sampled_from(["text", "number", "x"])),
                "writes": st.dictionaries(st.sampled_from(["first", "second", "text"]), st.sampled_from(["text", "x"])),
                "timeout_s": st.just(1),
            },
        ),
    ),
    st.tuples(st.just("edge"), st.lists(stops, min_size=2, max_size=5)),
    st.tuples(st.just("switch"), names, st.dictionaries(conditions, stops, max_size=3), st.none() | stops),
    st.tuples(st.just("each"), names, names, st.sampled_from(["items", "text", "x"]), st.sampled_from(["text", "x"])),
)


@settings(max_examples=50)
@given(st.lists(actions, max_size=12), st.sampled_from([(), ("text",), ("x",)]))
def test_whatever_is_drawn_is_checked_and_compiled_or_refused(steps: list[Any], inputs: tuple[str, ...]) -> None:
    graph = Graph("wild", Wild, inputs=inputs)
    for step in steps:
        match step:
            case ("node", name, made, options):
                graph.node(name, made, **options)
            case ("edge", chain):
                graph.edge(*chain)
            case ("switch", source, ways, otherwise):
                graph.switch(source, ways, otherwise)
            case (_, source, name, over, bind):
                graph.each(source, name, over=over, bind=bind)
            case _:
                raise AssertionError(step)
    problems = graph.check()
    has_error = any(problem.severity == "error" for problem in problems)
    if has_error:
        with pytest.raises(GraphError) as caught:
            graph.compile()
        assert list(caught.value.problems) == problems
    else:
        graph.compile()


@st.composite
def sound(draw: st.DrawFn) -> Graph[Wild]:
    """Return graphs that often compile: each node leads to the one after it, some elsewhere too."""
    graph = Graph("sound", Wild)
    kinds: list[AnyNode] = [idle, tell, say, echo, per_item]
    count = draw(st.integers(1, 6))
    stops = [*"abcdef"[:count], END]
    for name in stops[:-1]:
        graph.node(name, draw(st.sampled_from(kinds)), join=draw(st.booleans()))
    graph.edge(START, "a")
    for index, name in enumerate(stops[:-1], 1):
        ahead, kind = stops[index:-1], draw(st.sampled_from(["edge", "switch", "fan"]))
        if kind == "switch":
            graph.switch(name, {"number > 1": draw(st.sampled_from(stops)), "len(items) > 3": END}, stops[index])
        elif kind == "fan" and len(ahead) > 1:
            graph.edge(name, [ahead[0], draw(st.sampled_from(ahead[1:]))])
        else:
            graph.edge(name, stops[index])
    return graph


@settings(max_examples=50)
@given(sound())
def test_an_app_of_a_graph_without_problems_runs_without_missing_anything(graph: Graph[Wild]) -> None:
    try:
        app = graph.compile()
    except GraphError:
        return
    assert ended(app).status in {"completed", "stopped"}


def ended(app: CompiledGraph[Wild]) -> GraphResult[Wild]:
    runtime = Runtime(limits=Limits(max_steps=20))
    with contextlib.suppress(ConfigError):  # `text` must be given where no node writes it
        return app.run_sync(runtime=runtime)
    return app.run_sync({"text": ""}, runtime=runtime)
