import re

from loom.draw.legend import legend
from loom.types.outline import Outline, OutlineNode


def words(label: str) -> list[str]:
    return [text.strip() for text in re.findall(">([^<>]+)<", label)]


def test_a_legend_names_what_occurs_and_nothing_else(outlines: dict[str, Outline]) -> None:
    assert words(legend(outlines["review"])) == [
        "kind",
        "node",
        "effect",
        "pure",
        "line",
        "1. 2.: tried in this order; dashed: otherwise",
    ]


def test_a_legend_explains_borders(outlines: dict[str, Outline]) -> None:
    assert "double: gate" in words(legend(outlines["agent"]))
    assert "red, dashed: writes without a gate" in words(legend(outlines["harness"]))
    assert "thick: join" in words(legend(outlines["fan_out"]))


def test_a_legend_explains_lines(outlines: dict[str, Outline]) -> None:
    assert "dot at the tail: all at once" in words(legend(outlines["fan_out"]))
    assert "double: once per item" in words(legend(outlines["each"]))


def test_a_legend_covers_inner_graphs(outlines: dict[str, Outline]) -> None:
    assert words(legend(outlines["nested"]))[:5] == ["kind", "approve", "act", "retrieve", "node"]


def test_kinds_of_the_users_own_come_last(outlines: dict[str, Outline]) -> None:
    assert words(legend(outlines["odd"]))[:5] == ["kind", "reason", "act", "node", "unheard_of"]


def test_a_legend_explains_numbers_where_there_are_any(outlines: dict[str, Outline]) -> None:
    assert "1. 2.: tried in this order; dashed: otherwise" in words(legend(outlines["nested"]))
    assert "dashed: otherwise" in words(legend(outlines["harness"]))


def test_entries_with_commas_are_told_apart() -> None:
    nodes = (OutlineNode("a", "act", "write", ungated="why"), OutlineNode("b", "node", "pure", is_join=True))
    assert "thick: join; red, dashed: writes without a gate" in words(legend(Outline("g", nodes, ())))


def test_a_graph_without_nodes_has_no_legend() -> None:
    assert legend(Outline("empty", (), ())) == ""
