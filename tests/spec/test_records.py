from typing import Any

import pytest

from loom import SpecError
from loom.spec.places import Source
from loom.spec.records import parsed

# Any, in this module: specs that are none.

LEAST = {"name": "g", "state": "agent"}


def refusal(spec: Any) -> str:
    with pytest.raises(SpecError) as caught:
        parsed(spec, Source("s"))
    return str(caught.value)


def test_a_spec_needs_a_name_and_a_state_alone() -> None:
    record = parsed(LEAST, Source())
    assert (record.version, record.nodes, record.edges) == (1, [], [])
    assert refusal({}) == 's has 2 flaws:\n  all of it: "name" is missing\n  all of it: "state" is missing'


WRONG: list[tuple[Any, str]] = [
    ([], "s: got list, expected a mapping with a name, a state, nodes, edges"),
    ({"name": 5}, "s, name: got 5, expected a text"),
    ({"version": 2}, "s, version: got 2: Input should be 1"),
    ({"nods": []}, 's: got the key "nods"; expected some of "cache", "edges", "inputs", "name", "nodes",'),
    ({"nods": []}, 'Did you mean "nodes"?'),
    ({"timeout_s": "5"}, "s, timeout_s: got '5', expected a number"),
    ({"timeout_s": 0}, "s, timeout_s: got 0: Input should be greater than 0"),
    ({"inputs": "topic"}, "s, inputs: got 'topic', expected a list"),
    ({"retry": {"max_attempts": 1.5}}, "s, retry.max_attempts: got 1.5, expected a whole number"),
    ({"retry": {"jitter": 1}}, "s, retry.jitter: got 1, expected true or false"),
    ({"retry": {"every": 1}}, 's, retry: got the key "every"; expected some of "backoff_s"'),
    ({"nodes": [5]}, "s, nodes[0]: got 5, expected a mapping"),
    ({"nodes": [{"type": "act"}]}, 's, nodes[0]: "name" is missing'),
    ({"nodes": [{"name": "x"}]}, 's, nodes[0]: node "x": expected either "type" or "graph"'),
    ({"nodes": [{"name": "x", "type": "act", "graph": LEAST}]}, 'expected either "type" or "graph"'),
    ({"nodes": [{"name": "x", "graph": LEAST, "settings": {"a": 1}}]}, 'node "x": a graph has no "settings"'),
    ({"nodes": [{"name": "x", "type": "act", "pause_after": ["y"]}]}, '"pause_after" are of a "graph"'),
    ({"nodes": [{"name": "x", "graph": {**LEAST, "name": 1}}]}, "s, nodes[0].graph.name: got 1, expected a text"),
    ({"nodes": [{"name": "x", "type": "act", "reads": {"a": 1}}]}, "s, nodes[0].reads.a: got 1, expected a text"),
    ({"edges": [{}]}, 's, edges[0]: got {}, expected a mapping with one of "each", "edge", "switch"'),
    (
        {"edges": [{"edge": ["a", "b"], "switch": "a"}]},
        'expected a mapping with one of "each", "edge", "switch": one edge, switch or each per entry',
    ),
    ({"edges": ["a"]}, "s, edges[0]: got 'a', expected a mapping with one of"),
    ({"edges": [{"edge": ["a"]}]}, "s, edges[0].edge: got ['a']: List should have at least 2 items"),
    ({"edges": [{"edge": ["a", 3]}]}, "s, edges[0].edge[1]: got 3, expected a node's name or a list of names"),
    ({"edges": [{"switch": "a"}]}, 's, edges[0]: "ways" is missing'),
    ({"edges": [{"switch": "a", "ways": [{"to": "b"}]}]}, 's, edges[0].ways[0]: expected either "when" or "func'),
    ({"edges": [{"switch": "a", "ways": [{"when": "x", "to": "b"}] * 2}]}, 'two ways with the condition "x"'),
    ({"edges": [{"each": "a", "node": "b", "over": "c"}]}, 's, edges[0]: "bind" is missing'),
    ({"edges": [{"each": "a", "to": "b"}]}, 's, edges[0]: got the key "to"; expected some of "bind", "each"'),
    ({"nodes": {"x": object()}}, "s: it holds what is no JSON: Unable to serialize"),
    ({"name": "\ud800"}, "s: it holds what is no JSON"),
]


@pytest.mark.parametrize(("spec", "said"), WRONG)
def test_another_form_is_told_with_what_was_got_and_expected(spec: Any, said: str) -> None:
    assert said in refusal(spec if isinstance(spec, list) else {**LEAST, **spec})


def test_what_leads_to_itself_or_too_deep_is_refused() -> None:
    around: dict[str, Any] = {**LEAST}
    around["nodes"] = [{"name": "x", "graph": around}]
    deep: dict[str, Any] = {**LEAST}
    for _ in range(2000):
        deep = {**LEAST, "nodes": [{"name": "x", "graph": deep}]}
    for spec in (around, deep):
        assert refusal(spec).startswith("s: ")
