"""Tests of how a run begins."""

import pytest

from loom import END, START, ConfigError, Graph, State, node
from loom.runs.inputs import new_run_id


class Ask(State):
    question: str
    tries: int = 3
    seen: list[str] = []


@node(writes="seen")
async def look(question: str) -> list[str]:
    return [question]


def app() -> Graph[Ask]:
    graph = Graph("ask", Ask)
    graph.node("look", look)
    graph.edge(START, "look", END)
    return graph


def test_ids_sort_by_time_and_differ() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [one[:11] for one in ids] == sorted(one[:11] for one in ids)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, 'graph "ask" needs the input "question", which has no default'),
        (
            {"question": "?", "trys": 1},
            'has no field "trys"; fields are "question", "seen", "tries". Did',
        ),
        ({"question": "?", "tries": "many"}, "field \"tries\": got 'many', expected int"),
    ],
)
def test_inputs_that_do_not_fit_are_told(inputs: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        app().compile().run_sync(inputs)
    assert told in str(caught.value)


def test_defaults_fill_what_is_left_out_and_are_not_shared() -> None:
    compiled = app().compile()
    first, second = compiled.run_sync({"question": "a"}), compiled.run_sync({"question": "b"})
    assert (first.state.tries, first.state.seen, second.state.seen) == (3, ["a"], ["b"])
