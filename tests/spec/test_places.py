from loom.spec.places import Source, written


def test_a_place_is_written_as_a_path() -> None:
    assert written(("nodes", 2, "settings", "model")) == "nodes[2].settings.model"
    assert written(()) == ""


def test_a_flaw_is_told_with_file_line_and_place() -> None:
    source = Source('"graph.yaml"', {("nodes",): 3, ("nodes", 0): 4, ("name",): 1})
    assert str(source.refusal((("nodes", 0, "type"), "why"))) == '"graph.yaml", line 4, nodes[0].type: why'
    assert str(source.refusal(((), "why"))) == '"graph.yaml": why'
    assert str(Source().refusal((("name",), "why"))) == "the spec, name: why"


def test_flaws_are_told_together() -> None:
    said = str(Source(lines={("name",): 1}).refusal((("name",), "one"), ((), "two")))
    assert said == "the spec has 2 flaws:\n  line 1, name: one\n  all of it: two"
