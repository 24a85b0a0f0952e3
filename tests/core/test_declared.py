from typing import Annotated

from pydantic import BaseModel

from loom import END, START, State, append, node
from loom.core.condition import parse
from loom.core.declared import Declared, Drawing, Each, Placed, Way, bound
from loom.core.node import AnyNode, Port, inputs_of, outputs_of


class Board(State):
    text: str
    number: int = 0
    free: str
    items: Annotated[list[str], append] = []


class Out(BaseModel):
    text: str
    number: int = 0


@node(kind="veto")
def gate(text: str, limit: int = 3) -> Out:
    return Out(text=text)


def placed(name: str, made: AnyNode, *, writes: dict[str, str] | None = None, is_join: bool = False) -> Placed:
    return Placed(
        name=name,
        node=made,
        reads={},
        writes=writes or {},
        inputs=bound(inputs_of(made), {}),
        outputs=bound(outputs_of(made), writes or {}),
        retry=None,
        timeout_s=None,
        cache=None,
        ungated="",
        is_join=is_join,
    )


def declared(*drawings: Drawing, joins: str = "", inputs: tuple[str, ...] = ()) -> Declared:
    made = Declared("board", Board, inputs)
    for name in "abc":
        made.nodes[name] = placed(name, gate, is_join=name in joins)
    made.drawings.extend(drawings)
    return made


def edge(source: str, *targets: str) -> Drawing:
    return Drawing(source, (Way(None, targets),))


def switch(source: str, then: tuple[str, ...], otherwise: str) -> Drawing:
    return Drawing(source, (Way(parse("number > 1"), then), Way(None, (otherwise,))), is_switch=True)


def test_ports_are_bound_to_fields_of_their_names_unless_mapped() -> None:
    text, number = Port("text", str), Port("number", int)
    assert bound((text, number), {"text": "title"}) == ((text, "title"), (number, "number"))


def test_a_gate_is_a_node_of_kind_veto_or_approve() -> None:
    @node(kind="approve")
    def approve() -> None: ...

    @node(kind="act")
    def act() -> None: ...

    assert [placed("a", one).is_gate for one in (gate, approve, act)] == [True, True, False]


def test_a_drawing_is_called_as_it_was_drawn() -> None:
    each = Drawing("a", (Way(None, ("b",)),), each=Each("b", "items", "text", 4))
    assert [one.call for one in (edge("a", "b"), switch("a", ("b",), END), each)] == [
        'edge("a")',
        'switch("a")',
        'each("a")',
    ]


def test_the_targets_of_a_drawing_are_those_of_all_its_ways_each_once() -> None:
    assert switch("a", ("c", "b"), "b").targets == ("c", "b")


def test_successors_are_known_nodes_and_end_of_start_and_every_node() -> None:
    made = declared(edge(START, "a", "nowhere"), switch("a", ("b", "c"), END), edge("nowhere", "b"), edge("a", "b"))
    assert made.successors() == {START: ("a",), "a": ("b", "c", END), "b": (), "c": ()}


def test_fan_outs_are_lists_of_targets_also_of_a_switch() -> None:
    made = declared(edge(START, "a"), switch("a", ("b", "c"), END), edge("b", "a", "c"))
    assert list(made.fan_outs()) == [("a", ("b", "c")), ("b", ("a", "c"))]


def test_a_join_is_declared_or_follows_a_list() -> None:
    made = declared(joins="a")
    made.list_joins.add("b")
    assert [made.is_join(name) for name in ("a", "b", "c", "nowhere")] == [True, True, False, False]


def test_what_is_given_are_inputs_and_fields_without_default_that_no_node_writes() -> None:
    assert declared().written() == {"text", "number"}
    assert declared().given() == ("free",)
    assert declared(inputs=("number", "free")).given() == ("number", "free")


def test_eaches_are_known_by_the_node_that_runs() -> None:
    each = Each("b", "items", "text", 4)
    assert declared(edge(START, "a"), Drawing("a", (Way(None, ("b",)),), each=each)).eaches() == {"b": each}


def test_a_copy_stays_as_it_is_when_more_is_drawn() -> None:
    made = declared(edge(START, "a"))
    copied = made.copy()
    made.nodes["d"] = made.nodes["a"]
    made.drawings.append(edge("a", "d"))
    made.list_joins.add("d")
    assert list(copied.nodes) == ["a", "b", "c"]
    assert copied.drawings == [edge(START, "a")]
    assert not copied.is_join("d")
    assert copied.fields is made.fields
