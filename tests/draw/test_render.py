import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import graphviz  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.image import SVGImageSnapshotExtension

import loom
from loom.draw.dot import dot_text
from loom.draw.render import png, svg
from loom.draw.words import shown
from loom.errors import LoomError
from loom.types.outline import Outline, OutlineEdge, OutlineNode

SVG = "{http://www.w3.org/2000/svg}"
TEXTS = st.text(st.characters(), max_size=60)
NAMES = TEXTS.filter(lambda name: name not in ("START", "END"))


def drawn(outline: Outline) -> ElementTree.Element:
    return ElementTree.fromstring(svg(dot_text(outline), title=outline.name, description="what it shows"))


def letters(picture: ElementTree.Element) -> str:
    return "".join("".join(text.itertext()) for text in picture.iter(f"{SVG}text")).translate({160: None, 32: None})


@pytest.mark.parametrize("name", ["review", "agent", "harness", "nested", "loops", "odd"])
def test_svg_is_as_reviewed(name: str, outlines: dict[str, Outline], snapshot: SnapshotAssertion) -> None:
    outline = outlines[name]
    picture = svg(dot_text(outline), title=outline.name, description="what it shows")
    assert picture == snapshot(extension_class=SVGImageSnapshotExtension)


@settings(max_examples=60, deadline=None)
@given(name=NAMES, label=TEXTS, kind=TEXTS, effect=TEXTS, ungated=TEXTS)
def test_any_text_is_drawn_as_it_is(name: str, label: str, kind: str, effect: str, ungated: str) -> None:
    inner = Outline(name, (), ())
    nodes = (OutlineNode(name, kind, effect, ungated=ungated), OutlineNode(name + "!", kind, effect, inner=inner))
    edges = (OutlineEdge(name, name + "!", label, "switch"), OutlineEdge(name, name))
    picture = drawn(Outline(name, nodes, edges))
    for text in (name, label, kind, effect, ungated):
        assert "".join(shown(text).split()) in "".join(letters(picture).split())


def test_every_outline_can_be_drawn(outline: Outline) -> None:
    assert drawn(outline).tag == f"{SVG}svg"


def test_nothing_becomes_a_link_or_a_script(outlines: dict[str, Outline]) -> None:
    tags = {element.tag for element in drawn(outlines["odd"]).iter()}
    assert tags == {
        SVG + tag for tag in ("svg", "title", "desc", "g", "polygon", "path", "text", "ellipse", "polyline")
    }


def test_a_screen_reader_finds_title_and_description(outlines: dict[str, Outline]) -> None:
    picture = drawn(outlines["odd"])
    assert picture.get("role") == "img"
    assert picture.findtext(f"{SVG}title") == outlines["odd"].name
    assert picture.findtext(f"{SVG}desc") == "what it shows"


def test_texts_are_set_in_fonts_of_one_width(outlines: dict[str, Outline]) -> None:
    fonts = {text.get("font-family") for text in drawn(outlines["agent"]).iter(f"{SVG}text")}
    assert fonts == {"Helvetica,Arial,Liberation Sans,sans-serif"}


def test_no_line_is_drawn_over_words(outlines: dict[str, Outline]) -> None:
    (graph,) = drawn(outlines["loops"]).findall(f"{SVG}g")
    parts = list(graph)
    first = next(at for at, part in enumerate(parts) if "tries < 3" in (part.text or "").replace("\u00a0", " "))
    assert {part.tag for part in parts[first - 1 :]} == {f"{SVG}polygon", f"{SVG}text"}
    assert not [edge for edge in parts if edge.get("class") == "edge" and edge.find(f"{SVG}text") is not None]


def test_png_is_a_picture_and_the_same_each_time(outlines: dict[str, Outline]) -> None:
    dot = dot_text(outlines["harness"])
    assert png(dot).startswith(b"\x89PNG\r\n")
    assert png(dot) == png(dot)


def test_a_drawing_that_fails_says_why() -> None:
    with pytest.raises(LoomError, match="syntax error in line 1"):
        svg("digraph {", title="", description="")


def draw_elsewhere(packages: Path, programs: Path) -> str:
    """Draw in a Python that finds nothing but Loom and the graphviz package; return what it says."""
    (packages / "graphviz").symlink_to(Path(str(graphviz.__file__)).parent)
    (packages / "loom").symlink_to(Path(str(loom.__file__)).parent)
    code = (
        f"import sys; sys.path.append({str(packages)!r})\n"
        "from loom.draw import draw; from loom.errors import LoomError; from loom.types.outline import Outline\n"
        "try: draw(Outline('g', (), ()))\n"
        "except LoomError as error: print(error)"
    )
    environment = {**os.environ, "PATH": str(programs)}
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_a_missing_renderer_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    said = draw_elsewhere(tmp_path, tmp_path)
    assert 'the program "graphviz-pure" is not installed' in said
    assert 'run "pip install --force-reinstall graphviz-pure"' in said


def test_a_renderer_that_does_not_start_is_named(tmp_path: Path) -> None:
    program = tmp_path / "graphviz-pure"
    program.write_text("not a program")
    program.chmod(0o755)
    assert f'cannot draw: "{program}" does not start' in draw_elsewhere(tmp_path, tmp_path)
