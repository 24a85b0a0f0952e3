import json
from functools import partial
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from loom import END, START, Graph, Retry, SpecError, State, node
from loom.core.node import AnyNode, GraphNode
from loom.spec.read import graph_from
from loom.spec.text import data_from
from tests.core.sketches import Marked, Sketch, Wrote, sketches
from tests.programs import run_python
from tests.spec.corpus import GRAPHS, Drafter, Words, broken, classes, declared, fans, left, policies, right, ways

# Any, in this module: specs, the states of graphs, and settings.

HERE = ("tests.spec", "tests.core")


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_comes_back_from_json_and_yaml_with_its_fingerprint(name: str) -> None:
    graph = GRAPHS[name]()
    app, spec = graph.compile(), graph.to_spec()
    for read in (spec, json.loads(json.dumps(spec)), yaml.safe_load(yaml.safe_dump(spec, sort_keys=False))):
        back = Graph.from_spec(read, allow=HERE)
        assert back.compile().fingerprint == app.fingerprint
        assert back.compile().outline() == app.outline()
        assert back.to_spec() == spec == read


@pytest.mark.parametrize("name", GRAPHS.keys() - {"harness, whole", "classes", "nested"})
def test_a_graph_comes_back_where_the_keys_were_sorted_unless_its_settings_have_mappings(name: str) -> None:
    graph = GRAPHS[name]()
    back = Graph.from_spec(yaml.safe_load(yaml.safe_dump(graph.to_spec())), allow=HERE)
    assert back.compile().fingerprint == graph.compile().fingerprint


@node
async def plain(log: list[str], visits: int, mark: str) -> Wrote:
    return Wrote(log=[], visits=1)


@node
async def marking(log: list[str], visits: int, mark: str) -> Marked:
    return Marked(log=[], visits=1, mark="")


@given(sketches())
@settings(max_examples=60)
def test_any_graph_comes_back(sketch: Sketch) -> None:
    graph = sketch.graph(lambda _, marks: marking if marks else plain)
    back = Graph.from_spec(json.loads(json.dumps(graph.to_spec())), allow=HERE)
    assert back.compile().fingerprint == graph.compile().fingerprint
    assert back.to_spec() == graph.to_spec()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4, unique=True), st.text())
def test_any_name_comes_back_from_a_file(names: list[str], text: str) -> None:
    graph = Graph("no: yes", Words)
    for name in names:
        graph.node(name, Drafter(extra=text), ungated="on", reads={"topic": name})
    graph.edge(START, *names, END)
    spec = graph.to_spec()
    for written, file in ((yaml.safe_dump(spec, sort_keys=False), "x.yaml"), (json.dumps(spec), "x.json")):
        data, source = data_from(written, file)
        assert graph_from(data, HERE, source).to_spec() == data == spec


def test_a_graph_with_problems_is_written_and_read_with_them() -> None:
    graph = broken()
    back = Graph.from_spec(graph.to_spec(), allow=HERE)
    assert back.check() == graph.check() != []
    assert declared(back).joins == declared(graph).joins


def test_a_spec_reads_like_the_calls_that_declared_the_graph() -> None:
    spec = fans().to_spec()
    assert spec["edges"] == [{"edge": ["START", ["a", "b"], "c", ["d", "e"], "late", "END"]}]
    assert spec["nodes"][0] == {"name": "a", "type": "tests.spec.corpus:left"}
    assert ways().to_spec()["edges"][1] == {
        "switch": "a",
        "ways": [
            {"function": "tests.spec.corpus:is_good", "to": "END"},
            {"when": " score<0.1 ", "to": ["b", "c"]},
            {"when": "topic == 'a:b'", "to": "d"},
        ],
        "otherwise": ["b", "c"],
    }


def test_what_is_registered_is_written_by_its_name() -> None:
    spec = GRAPHS["harness"]().to_spec()
    assert (spec["state"], [one["type"] for one in spec["nodes"]]) == ("harness", ["generate"])


def test_only_what_differs_from_the_default_is_written() -> None:
    spec = policies().to_spec()
    assert [spec["retry"], spec["timeout_s"], spec["cache"]] == [{"max_attempts": 2}, 5, {"ttl_s": 60}]
    assert [sorted(one) for one in spec["nodes"]] == [
        ["name", "type"],
        ["cache", "name", "retry", "timeout_s", "type"],
        ["name", "type", "ungated"],
    ]
    assert spec["nodes"][1]["retry"]["on"] == ["TimeoutError", "RateLimitError", "tests.spec.corpus:OwnError"]
    assert "settings" not in classes().to_spec()["nodes"][0]


def one_node(made: AnyNode, **options: Any) -> Graph[Words]:
    graph = Graph("g", Words)
    graph.node("x", made, **options)
    graph.edge(START, "x", END)
    return graph


def local() -> Graph[Any]:
    @node(writes="words")
    async def inside() -> list[str]:
        return []

    return one_node(inside)


def with_local_error() -> Graph[Any]:
    class InsideError(Exception):
        pass

    return one_node(left, retry=Retry(on=(InsideError,)))


def with_lambda() -> Graph[Any]:
    graph = one_node(left)
    graph.switch("x", {lambda: True: END})
    return graph


def with_odd_condition() -> Graph[Any]:
    graph = one_node(left)
    graph.switch("x", {3: END})
    return graph


def with_local_state() -> Graph[Any]:
    class Inside(State):
        words: list[str] = []

    return Graph("g", Inside)


def rebound() -> Graph[Any]:
    inner = classes().compile().as_node(reads={"topic": "topic"}, writes={})
    return one_node(inner, reads={"topic": "words"})


def by_hand() -> Graph[Any]:
    return one_node(GraphNode(None, "", {}, {}, (), (), "pure"))


def named_twice() -> Graph[Any]:
    graph = one_node(left)
    graph.node("x", right)
    return graph


def hidden() -> Graph[Any]:
    return one_node(Drafter(key=SecretStr("s3cret-key"), extra=object()))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (local, r'graph "g", node "x": the node "local.<locals>.inside" cannot be named in a spec: .* at the top'),
        (
            lambda: one_node(node(writes="words")(partial(sorted, [])), reads={}),
            r'node "x": the node .*cannot be named',
        ),
        (with_local_error, r'graph "g", node "x": the exception ".*InsideError" cannot be named'),
        (with_lambda, r'graph "g", switch\("x"\): the condition "with_lambda.<locals>.<lambda>" cannot be named'),
        (with_odd_condition, r'switch\("x"\) has a condition that is neither an expression nor a function'),
        (with_local_state, r'graph "g": the state "with_local_state.<locals>.Inside" cannot be named'),
        (hidden, r'graph "g", node "x": the settings "extra", "key" of Drafter cannot be written as data'),
        (lambda: one_node(left, retry=Retry(max_backoff_s=float("inf"))), 'node "x": Out of range float values'),
        (lambda: one_node(Drafter(weight=float("nan"))), r'node "x": the settings "weight" of Drafter cannot'),
        (rebound, r'node "x": say which fields the graph reads and writes in as_node'),
        (by_hand, r'node "x": the graph in it was not made by as_node'),
        (named_twice, r'graph "g" has problems that a spec cannot hold'),
    ],
)
def test_what_cannot_be_data_is_refused_by_the_name_of_its_node(make: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        make().to_spec()
    assert "s3cret-key" not in str(caught.value)


SCRIPT = """
from loom import END, START, Graph, State, node
from loom.graphs.agent import AgentState
from loom.nodes.act import Act

class Own(State):
    words: list[str] = []

@node(writes="words")
async def own() -> list[str]:
    return []

def is_good(words: list[str]) -> bool:
    return True

def told(graph):
    try:
        graph.to_spec()
    except Exception as error:
        print(type(error).__name__, error)

told(Graph("g", Own))
graph = Graph("g", AgentState)
graph.node("x", own)
told(graph)
graph = Graph("g", AgentState)
graph.node("y", Act())
graph.switch("y", {is_good: END})
told(graph)
"""


def test_what_a_script_defines_is_refused_for_no_other_process_can_import_it() -> None:
    why = "cannot be named in a spec: it is defined in the script that runs, which no other process can import. Move it"
    assert [line.removesuffix(f" {why} to a module") for line in run_python(SCRIPT).splitlines()] == [
        'SpecError graph "g": the state "Own"',
        'SpecError graph "g", node "x": the node "own"',
        'SpecError graph "g", switch("y"): the condition "is_good"',
    ]


def test_a_secret_is_never_written() -> None:
    with pytest.raises(SpecError, match='the settings "key" of Drafter'):
        one_node(Drafter(key=SecretStr("s3cret-key"))).to_spec()
