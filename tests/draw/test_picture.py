from hashlib import sha256

import pytest

from loom.draw import Format, draw
from loom.errors import ConfigError
from loom.types.outline import Outline, OutlineEdge, OutlineNode
from tests.programs import run_python


def test_every_format_is_drawn(outlines: dict[str, Outline]) -> None:
    review = outlines["review"]
    assert draw(review) == draw(review, "svg")
    assert draw(review).startswith("<?xml")
    assert draw(review, "dot").startswith("digraph review {")
    assert draw(review, "mermaid").startswith("flowchart TD\n")
    assert draw(review, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("form", ["dot", "mermaid"])
def test_another_order_of_conditions_is_another_picture(form: Format) -> None:
    ways = (OutlineEdge("a", "b", "rho >= 0.7", "switch"), OutlineEdge("a", "END", "rho >= 0.95", "switch"))
    one, other = (
        Outline("g", (OutlineNode("a", "node", "pure"), OutlineNode("b", "node", "pure")), edges)
        for edges in (ways, ways[::-1])
    )
    assert sorted(str(draw(one, form)).splitlines()) != sorted(str(draw(other, form)).splitlines())


def test_an_svg_tells_the_graph_in_words(outlines: dict[str, Outline]) -> None:
    assert "<title>Graph review</title>" in draw(outlines["review"])
    assert "judge to END, 1. score &gt;= 0.8; judge to END, 2. len(drafts) &gt;= 5; judge to write" in draw(
        outlines["review"]
    )


def test_an_unknown_format_is_refused_with_the_known_ones(outlines: dict[str, Outline]) -> None:
    known = 'graph "review" as \'smv\'; expected one of "dot", "mermaid", "png", "svg". Did you mean "svg"?'
    with pytest.raises(ConfigError, match=known.replace("?", r"\?").replace(".", r"\.")):
        draw(outlines["review"], "smv")  # type: ignore[call-overload]


@pytest.mark.parametrize("seed", ["0", "1", "4711"])
def test_the_bytes_are_the_same_in_every_process(seed: str, outlines: dict[str, Outline]) -> None:
    several = [outlines[name] for name in ("agent", "fan_out", "nested", "odd")]
    code = (
        "from hashlib import sha256\n"
        "from loom.draw import draw\n"
        "from loom.types.outline import Outline, OutlineEdge, OutlineNode\n"
        f"for outline in {several!r}:\n"
        '    for form in ("svg", "dot", "mermaid"):\n'
        "        print(sha256(draw(outline, form).encode()).hexdigest())\n"
        '    print(sha256(draw(outline, "png")).hexdigest())\n'
    )
    pictures = [
        picture
        for outline in several
        for picture in (
            draw(outline, "svg").encode(),
            draw(outline, "dot").encode(),
            draw(outline, "mermaid").encode(),
            draw(outline, "png"),
        )
    ]
    assert run_python(code, PYTHONHASHSEED=seed).split() == [sha256(picture).hexdigest() for picture in pictures]
