"""The one way to a picture: an outline and a format in, text or bytes out."""

from typing import Literal, get_args, overload

from loom.draw.dot import dot_text
from loom.draw.mermaid import mermaid_text
from loom.draw.render import png, svg
from loom.draw.words import told
from loom.errors import ConfigError, did_you_mean, quoted, short
from loom.types.outline import Outline

Format = Literal["svg", "dot", "mermaid", "png"]


@overload
def draw(outline: Outline, format: Literal["svg", "dot", "mermaid"] = "svg") -> str: ...
@overload
def draw(outline: Outline, format: Literal["png"]) -> bytes: ...
@overload
def draw(outline: Outline, format: Format) -> str | bytes: ...
def draw(outline: Outline, format: Format = "svg") -> str | bytes:  # noqa: A002 - the name users know
    """Draw a graph; the same outline always gives the same text or bytes.

    Text for `svg`, `dot` and `mermaid`, bytes for `png`: 144 dots an inch, with letters of Latin, Greek and Cyrillic
    only, where an SVG has all those of its viewer.

    Raises:
        ConfigError: the format is none of the four.
        LoomError: the outline contradicts itself, or the renderer is missing, fails or takes over a minute.
    """
    if format not in (known := get_args(Format)):
        hint = did_you_mean(str(format), known)
        raise ConfigError(
            f'cannot draw graph "{outline.name}" as {short(format)}; expected one of {quoted(known)}.{hint}'
        )
    match format:
        case "dot":
            return dot_text(outline)
        case "mermaid":
            return mermaid_text(outline)
        case "svg":
            return svg(dot_text(outline), title=f"Graph {outline.name}", description=told(outline))
        case "png":
            return png(dot_text(outline))
