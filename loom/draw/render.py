"""DOT text as SVG or PNG, by the program `graphviz-pure` alone.

A `dot` found on the machine would lay out and number things its own way; one program, which pip brings along, gives
the same bytes everywhere. It is called directly, because the graphviz package could only be told of it by a setting
that holds for the whole process.
"""

import re
import shutil
import subprocess
from html import escape
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from loom.draw.words import shown
from loom.errors import LoomError

_PROGRAM: Final = "graphviz-pure"
_TIMEOUT_S: Final = 60.0
# Texts are placed by the widths of Helvetica; the others named here have the same.
_FONT: Final = 'font-family="Helvetica,sans-Serif"'
_FONTS: Final = 'font-family="Helvetica,Arial,Liberation Sans,sans-serif"'
# The words of an arrow follow its line and head, on a ground without a border.
_WORDS: Final = re.compile(
    r'(<g id="edge\d+" class="edge">\n(?:(?!</g>).*\n)*?)(<polygon [^>]*stroke="none".*\n(?:<text .*\n)+)'
)


def svg(dot: str, *, title: str, description: str) -> str:
    """Return the picture as an SVG document; screen readers say its title and description.

    Raises:
        LoomError: the renderer is missing, fails or takes over a minute.
    """
    drawn = _render(dot, "-Tsvg").decode()
    words = f"<title>{escape(shown(title))}</title>\n<desc>{escape(shown(description))}</desc>"
    drawn = _over_lines(drawn.replace(_FONT, _FONTS))
    return re.sub(r"<svg ([^>]*)>", lambda tag: f'<svg role="img" {tag[1]}>\n{words}', drawn, count=1)


def png(dot: str) -> bytes:
    """Return the picture as a PNG file of 144 dots an inch.

    Raises:
        LoomError: the renderer is missing, fails or takes over a minute.
    """
    return _render(dot, "-Tpng", "-Gdpi=144")


def _over_lines(drawn: str) -> str:
    """Draw the words of arrows after all lines, of which Graphviz draws some over them."""
    texts = "".join(found[2] for found in _WORDS.finditer(drawn))
    rest, *end = _WORDS.sub(r"\1", drawn).rpartition("</g>")
    return "".join((rest, texts, *end))


def _render(dot: str, *flags: str) -> bytes:
    program = _program()
    try:
        done = subprocess.run(
            [program, "-q", *flags], input=dot.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise LoomError(
            f'cannot draw: "{program}" did not end within {_TIMEOUT_S:g} s; draw a smaller graph, or draw as "dot" '
            "and lay it out elsewhere"
        ) from error
    except OSError as error:
        raise LoomError(f'cannot draw: "{program}" does not start ({error}); {_advice()}') from error
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip() or "nothing"
        raise LoomError(f'cannot draw: "{program}" ended with status {done.returncode} and said: {said}; {_advice()}')
    return done.stdout


def _program() -> str:
    """Return where pip put the renderer, which need not be on PATH."""
    try:
        files = distribution(_PROGRAM).files or ()
    except PackageNotFoundError:
        files = ()
    for file in files:
        if file.stem == _PROGRAM and file.suffix in ("", ".exe"):
            return str(Path(str(file.locate())).resolve())
    if found := shutil.which(_PROGRAM):
        return found
    raise LoomError(f'cannot draw: the program "{_PROGRAM}" is not installed; {_advice()}')


def _advice() -> str:
    return f'run "pip install --force-reinstall {_PROGRAM}", or draw as "dot" or "mermaid", which need no program'
