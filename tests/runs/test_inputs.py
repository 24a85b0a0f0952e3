import math
import os
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from loom import END, START, ConfigError, Graph, GraphResult, State, append, node
from loom.runs.app import CompiledGraph
from loom.runs.inputs import new_run_id

# Any, in this module: inputs, of any field.


class Task(BaseModel):
    title: str
    size: int = 1


class Brief(State):
    topic: str
    limit: int = 3
    words: Annotated[list[str], append] = []
    task: Task | None = None
    price: Decimal = Decimal("1.50")
    due: datetime | None = None
    stamps: list[int] = Field(default_factory=lambda: [1, 2])
    double: int = Field(default_factory=lambda data: data["limit"] * 2)
    positive: Annotated[int, Field(gt=0)] = 1


@node
def look(topic: str, limit: int, words: list[str]) -> None: ...


def app(*inputs: str) -> CompiledGraph[Brief]:
    graph = Graph("brief", Brief, inputs=inputs)
    graph.node("look", look)
    graph.edge(START, "look", END)
    return graph.compile()


def run(**given: Any) -> GraphResult[Brief]:
    return app().run_sync(given)


def test_inputs_and_defaults_are_the_first_state() -> None:
    state = run(topic="tea", limit=5).state
    assert (state.topic, state.limit, state.words, state.price) == ("tea", 5, [], Decimal("1.50"))


def test_a_default_is_made_for_each_run_and_may_follow_what_is_given() -> None:
    first, second = run(topic="a", limit=5), run(topic="b")
    assert (first.state.double, second.state.double) == (10, 6)
    first.state.stamps.append(3)
    assert second.state.stamps == run(topic="c").state.stamps == [1, 2]


def test_inputs_are_converted_as_pydantic_does() -> None:
    due = datetime(2026, 1, 2, tzinfo=UTC)
    state = run(topic="a", limit="7", task={"title": "t"}, price="2", due=due.isoformat()).state
    assert (state.limit, state.task, state.price, state.due) == (7, Task(title="t"), Decimal(2), due)


def test_an_input_that_is_changed_later_does_not_reach_the_state() -> None:
    words, task = ["a"], Task(title="t")
    result = run(topic="a", words=words, task=task)
    words.append("b")
    task.title = "changed"
    assert (result.state.words, result.state.task) == (["a"], Task(title="t"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"topic": "a", "limits": 3},
            (
                'graph "brief" has no field "limits"; fields are "double", "due", "limit", "positive", "price", '
                '"stamps", "task", "topic", "words". Did you mean "limit"?'
            ),
        ),
        ({"topic": "a", 3: 3}, 'graph "brief" has no field "3"; fields are'),
        ({}, 'graph "brief" needs the input "topic", which has no default; pass it to run'),
        ({"topic": 3}, 'graph "brief", field "topic": got 3, expected str: Input should be a valid string'),
        ({"topic": None}, 'field "topic": got None, expected str'),
        ({"topic": "a", "limit": "many"}, "field \"limit\": got 'many', expected int: Input should be a valid integer"),
        ({"topic": "a", "task": {"titel": "x"}}, "expected Task | None: title: Field required"),
        ({"topic": "a", "words": "text"}, "field \"words\": got 'text', expected list[str]"),
        ({"topic": "a", "positive": 0}, "Input should be greater than 0"),
        ({"topic": "\ud800"}, 'field "topic": got'),
        ("topic", 'graph "brief" takes values by field, as in {"name": value}; got \'topic\''),
        ([("topic", "a")], 'graph "brief" takes values by field'),
    ],
)
def test_inputs_that_do_not_fit_are_refused_by_the_name_of_the_field(given: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        app().run_sync(given)
    assert message in str(caught.value)


def test_a_long_input_is_cut_in_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        run(topic=["x" * 1000])
    assert len(str(caught.value)) < 300


MANY: Any = "many"


class Unfit(State):
    made: int = Field(default_factory=lambda: 1 // 0)
    wrong: int = Field(default_factory=lambda: MANY)
    limit: Annotated[int, Field(max_length=3)]  # which pydantic finds no fault with, until there is a value


@node
def use(limit: int, made: int, wrong: int) -> None: ...


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"limit": 1}, 'field "made": its default_factory raised ZeroDivisionError: integer division or modulo by'),
        ({"limit": 1, "made": 1}, "field \"wrong\": got 'many', expected int: Input should be a valid integer"),
        (
            {"limit": 1, "made": 1, "wrong": 1},
            'field "limit": got 1, expected int: TypeError: Unable to apply constraint',
        ),
    ],
)
def test_whatever_keeps_a_field_from_its_value_is_told_with_the_field(given: dict[str, Any], said: str) -> None:
    graph = Graph("unfit", Unfit)
    graph.node("use", use)
    graph.edge(START, "use", END)
    with pytest.raises(ConfigError) as caught:
        graph.compile().run_sync(given)
    assert str(caught.value).startswith(f'graph "unfit", {said}')


def test_a_field_that_is_always_given_is_demanded_though_it_has_a_default() -> None:
    with pytest.raises(ConfigError, match='needs the input "limit"'):
        app("limit").run_sync({"topic": "a"})
    assert app("limit").run_sync({"topic": "a", "limit": 1}).status == "completed"


def test_a_field_that_a_node_writes_may_be_left_out_or_given() -> None:
    @node(writes="topic")
    def find(limit: int, words: list[str]) -> str:
        return "found"

    graph = Graph("found", Brief)
    graph.node("find", find)
    graph.edge(START, "find", END)
    assert graph.compile().run_sync().state.topic == "found"
    assert graph.compile().run_sync({"topic": "given"}).state.topic == "found"


def test_the_inputs_of_a_run_stay_as_they_were() -> None:
    given = {"topic": "a", "words": ["b"]}
    app().run_sync(given)
    assert given == {"topic": "a", "words": ["b"]}


class Numbers(State):
    one: float
    many: list[float] = []
    either: str | float = 0.0


@given(st.floats(), st.lists(st.floats()), st.floats() | st.text())
def test_any_number_starts_a_run_as_it_will_be_read_back(one: float, many: list[float], either: str | float) -> None:
    @node
    async def use(one: float, many: list[float], either: str | float) -> None: ...

    graph = Graph("numbers", Numbers)
    graph.node("use", use)
    graph.edge(START, "use", END)
    state = graph.compile().run_sync({"one": one, "many": many, "either": either}).state
    assert repr((state.one, state.many)) == repr((one, many))
    spelled = {math.inf: "Infinity", -math.inf: "-Infinity"}
    is_number = isinstance(either, float) and math.isfinite(either)
    assert state.either == (either if is_number or isinstance(either, str) else spelled.get(either, "NaN"))


def test_run_ids_sort_by_time_and_are_unlike_one_another() -> None:
    ids = [new_run_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert [one[:11] for one in ids] == sorted(one[:11] for one in ids)
    assert all(len(one) == 21 for one in ids)


def test_forked_processes_have_ids_of_their_own() -> None:
    ids = set[str]()
    for _ in range(4):
        reading, told = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: the child starts none
            child = os.fork()
        if child == 0:
            os.write(told, new_run_id().encode())
            os._exit(0)
        os.waitpid(child, 0)
        ids.add(os.read(reading, 100).decode()[11:])
        os.close(reading)
        os.close(told)
    assert len(ids) == 4
