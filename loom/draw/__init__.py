"""Pictures of graphs: `draw(outline, "svg" | "dot" | "mermaid" | "png")`."""

from loom.draw.picture import Format, draw

__all__ = ["Format", "draw"]
