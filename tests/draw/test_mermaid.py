import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from loom.draw.mermaid import mermaid_text
from loom.types.outline import Outline, OutlineEdge, OutlineNode

TEXTS = st.text(st.characters(), max_size=60)
NAMES = TEXTS.filter(lambda name: name not in ("START", "END"))
TEXT = r'"(?:[^"<`&]|<br/>|</?[bi]>)*"'
BRACKETS = r"\[\[T\]\]|\[/T/\]|\[/T\\\]|\[\\T/\]|\(\[T\]\)|\[\(T\)\]|\(\(\w+\)\)|\{\{T\}\}|\(T\)|\[T\]|>T\]"
STATEMENTS = [
    r"flowchart TD",
    r"accTitle: Graph [^\"<`&]*",
    rf"\w+(?:{BRACKETS.replace('T', TEXT)}):::\w+",
    rf"subgraph \w+\[{TEXT}\]",
    r"end",
    rf"\w+ (?:-->|-\.->|==>)(?:\|{TEXT}\|)? \w+",
    r"classDef \w+ [\w#:, -]+",
    r"class \w+(?:,\w+)* \w+",
    r"linkStyle \d+(?:,\d+)* [\w#:,-]+",
]


def is_flowchart(text: str) -> bool:
    grammar = re.compile("|".join(f"(?:{statement})" for statement in STATEMENTS))
    return all(grammar.fullmatch(line.lstrip(" ")) for line in text.removesuffix("\n").split("\n"))


def small(name: str, label: str = "") -> str:
    return mermaid_text(Outline(name, (OutlineNode(name, "node", "pure"),), (OutlineEdge("START", name, label),)))


def test_mermaid_is_as_reviewed(outline: Outline, snapshot: SnapshotAssertion) -> None:
    assert mermaid_text(outline) == snapshot


def test_every_line_is_a_statement(outline: Outline) -> None:
    assert is_flowchart(mermaid_text(outline))


@given(NAMES, TEXTS, TEXTS, TEXTS, TEXTS)
def test_no_text_leaves_its_quotes(name: str, label: str, kind: str, effect: str, ungated: str) -> None:
    inner = Outline(name, (), ())
    nodes = (OutlineNode(name, kind, effect, ungated=ungated), OutlineNode(name + "!", kind, effect, inner=inner))
    text = mermaid_text(Outline(name, nodes, (OutlineEdge(name, name + "!", label, "switch"),)))
    assert is_flowchart(text)


@pytest.mark.parametrize(
    "name", ["end", "graph", "subgraph", "style", "class", "classDef", "click", "default", "1st", ""]
)
def test_a_word_of_mermaids_grammar_is_no_identifier(name: str) -> None:
    assert "START --> n1\n" in small(name)


@pytest.mark.parametrize("name", ["write", "endpoint", "End", "read_file2"])
def test_a_plain_name_is_its_identifier(name: str) -> None:
    assert f"START --> {name}\n" in small(name)


def test_a_label_cannot_change_mermaids_settings() -> None:
    assert "%%{" not in small('%%{init: {"securityLevel": "loose"}}%%', "%%{init}%%")


def test_a_backslash_n_is_not_a_new_line_and_dollars_no_formula() -> None:
    assert '"#92;#8288;n #36;#8288;#36;#8288;x"' in small("a", "\\n $$x")


def test_fan_outs_are_coloured_by_their_number(outlines: dict[str, Outline]) -> None:
    assert "linkStyle 1,2 stroke:#0f766e" in mermaid_text(outlines["fan_out"])


def test_fan_outs_of_inner_graphs_are_numbered_as_they_are_written() -> None:
    inner = Outline(
        "in",
        (OutlineNode("a", "node", "pure"),),
        (OutlineEdge("START", "a"), OutlineEdge("a", "END", "", "fan_out")),
    )
    outer = Outline("out", (OutlineNode("in", "node", "pure", inner=inner),), (OutlineEdge("START", "in"),))
    assert "linkStyle 1 stroke" in mermaid_text(outer)


def test_a_label_is_no_order_to_turn_the_graph() -> None:
    assert "direction" not in small("direction LR", "direction\tTB").replace("n1", "")
    assert '|"direction"|' in small("a", "direction")


def test_a_blank_label_is_no_label() -> None:
    assert "START --> a\n" in small("a", " \n")


def test_a_number_begins_no_list(outlines: dict[str, Outline]) -> None:
    assert 'judge -->|"<b>1.</b> score >= 0.8"| END' in mermaid_text(outlines["review"])


def test_an_arrow_into_an_inner_graph_ends_at_its_border(outlines: dict[str, Outline]) -> None:
    text = mermaid_text(outlines["loops"])
    assert 'poll -->|"<b>2.</b> is_ready"| draft\n' in text
    assert 'draft_END -.->|"otherwise"| draft_START\n' in text
