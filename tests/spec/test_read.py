import sys
from pathlib import Path
from typing import Any

import pytest

from loom import END, START, Cache, Graph, GraphError, Retry, SpecError
from loom.spec.read import graph_from
from tests.spec.corpus import OwnError, declared, nested, policies, review

# Any, in this module: specs.

HERE = ("tests.spec",)
CORPUS = "tests.spec.corpus"


def test_a_graph_that_was_read_runs() -> None:
    graph = graph_from(
        {
            "name": "counting",
            "state": f"{CORPUS}:Words",
            "nodes": [
                {"name": "write", "type": f"{CORPUS}:Drafter", "settings": {"times": 2}},
                {"name": "judge", "type": f"{CORPUS}:judge"},
            ],
            "edges": [
                {"edge": ["START", "write", "judge"]},
                {"switch": "judge", "ways": [{"function": f"{CORPUS}:is_good", "to": "END"}], "otherwise": "write"},
            ],
        },
        HERE,
    )
    result = graph.compile().run_sync({"topic": "x"})
    assert (result.status, result.steps, result.state.words) == ("completed", 4, ["x"] * 4)


def test_policies_come_back_and_defaults_stay_defaults() -> None:
    nodes = declared(Graph.from_spec(policies().to_spec(), allow=HERE)).nodes
    assert [nodes["a"].retry, nodes["a"].timeout_s, nodes["a"].cache] == [Retry(2), 5, Cache(ttl_s=60)]
    retry = nodes["b"].retry
    assert retry
    assert (retry.max_attempts, retry.jitter, retry.on[-1]) == (5, False, OwnError)
    assert (nodes["c"].cache, nodes["c"].ungated) == (None, "only a test")


def test_breakpoints_of_a_graph_inside_a_node_are_kept() -> None:
    middle = nested().to_spec()["nodes"][0]["graph"]
    assert (middle["nodes"][0]["pause_before"], middle["nodes"][0]["pause_after"]) == (["grand"], ["plain"])
    assert Graph.from_spec(middle, allow=HERE).to_spec() == middle


SHOP = "spec_read_shop"


@pytest.fixture
def shop(on_path: Path) -> None:
    (on_path / f"{SHOP}.py").write_text("from loom import State\n\n\nclass S(State):\n    a: int = 0\n")


NO_PROMPT = {"name": "g", "state": "agent", "edges": [{"edge": [START, END]}]}
TWICE = [{"function": f"{CORPUS}:{name}", "to": "END"} for name in ("is_good", "is_as_good")]
MODEL = {"provider": "openai", "name": "gpt-5"}
REFUSED: list[dict[str, Any]] = [
    {"nodes": [{"name": "x", "type": "os:system"}]},
    {"nodes": [{"name": "x", "type": "nothing"}]},
    {"nodes": [{"name": "x", "type": "act", "retry": {"on": ["builtins:OSError"]}}]},
    {"nodes": [{"name": "x", "graph": {"name": "y", "state": "os:system"}}]},
    {"edges": [{"switch": "x", "ways": [{"function": "os:system", "to": "END"}]}]},
    {"retry": {"on": ["subprocess:TimeoutExpired"]}},
    {"nodes": "none"},
]


@pytest.mark.parametrize("part", REFUSED, ids=str)
def test_one_name_that_must_not_be_followed_keeps_every_other_from_being_imported(
    shop: None, part: dict[str, Any]
) -> None:
    with pytest.raises(SpecError):
        graph_from({"name": "g", "state": f"{SHOP}:S", **part}, (SHOP,))
    assert SHOP not in sys.modules


def test_nothing_but_what_is_registered_is_let_through_unless_it_is_allowed() -> None:
    spec = review().to_spec()
    with pytest.raises(SpecError, match=r"the spec has 3 flaws:\n  state: \".*\" must not be imported") as caught:
        graph_from(spec)
    assert "nodes[1].type: " in str(caught.value)
    assert graph_from({"name": "g", "state": "agent", "nodes": [{"name": "x", "type": "act"}]}).name == "g"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (
            {"nodes": [{"name": "x", "type": "reason", "settings": {"temperature": "hot", "temp": 1}}]},
            'nodes[0].settings: node "x", a "reason": "model" is missing',
        ),
        (
            {"nodes": [{"name": "x", "type": "reason", "settings": {"model": MODEL, "temp": 1}}]},
            'nodes[0].settings.temp: node "x", a "reason": there is no setting "temp"; there are "instructions", ',
        ),
        (
            {"nodes": [{"name": "x", "type": "reason", "settings": {"model": MODEL, "temperatur": 1}}]},
            'Did you mean "temperature"?',
        ),
        (
            {"nodes": [{"name": "x", "type": "observe", "settings": {"window": {"max_tokens": 1, "max": 1}}}]},
            'nodes[0].settings.window.max: node "x", a "observe": there is no setting "max"',
        ),
        (
            {"nodes": [{"name": "x", "type": "reason", "settings": {"model": {"provider": "openai"}}}]},
            "got {'provider': 'openai'}: ModelRef(name=…) is missing",
        ),
        (
            {"nodes": [{"name": "x", "type": "reason", "settings": {"model": {"provder": "openai", "name": "g"}}}]},
            '"extensions", "name", "organization", "provider". Did you mean "provider"?',
        ),
        (
            {"nodes": [{"name": "x", "type": f"{CORPUS}:left", "settings": {"a": 1}}]},
            f'nodes[0].settings: node "x" is a function, "{CORPUS}:left", which has no settings',
        ),
        ({"nodes": [{"name": "x", "type": "loom.core.node:Node"}]}, 'node class "Node" has no run method'),
        ({"nodes": [{"name": "x", "graph": NO_PROMPT}]}, 'as_node(reads=…) of graph "g" leaves'),
        ({"nodes": [{"name": "x", "type": f"{CORPUS}:Words"}]}, "nodes[0].type: "),
        (
            {"edges": [{"switch": "x", "ways": TWICE}]},
            f'ways[1].function: "{CORPUS}:is_as_good" is the condition of two',
        ),
        ({"edges": [{"switch": "x", "ways": [{"function": f"{CORPUS}:nope", "to": "END"}]}]}, "ways[0].function: "),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(part: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        graph_from({"name": "g", "state": "agent", **part}, ("tests", "loom"))
    assert said in str(caught.value)


def test_problems_of_a_graph_inside_a_node_are_passed_on() -> None:
    inner = {"name": "inner", "state": f"{CORPUS}:Words", "edges": [{"edge": [START, "nothing", END]}]}
    with pytest.raises(GraphError, match="LOOM101"):
        graph_from({"name": "g", "state": f"{CORPUS}:Words", "nodes": [{"name": "x", "graph": inner}]}, HERE)
