"""What a kind, an effect and an arrow look like: the one palette of every picture.

Fills are pale and text is nearly black, so every text has a contrast of at least 4.5 to 1. Nothing is said by
colour alone: a kind also has a shape and its name, an effect its name, an arrow its line.
"""

from dataclasses import dataclass

INK = "#0f172a"
MUTED = "#475569"
LINE = "#64748b"
PAPER = "#ffffff"
SHADE = "#f8fafc"
DANGER = "#b91c1c"
FAN_OUT = "#0f766e"
EACH = "#7c3aed"


@dataclass(frozen=True, slots=True)
class Look:
    """A node's look. `shape` is Graphviz's name; `brackets` are Mermaid's, opening and closing."""

    fill: str
    line: str
    shape: str
    brackets: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Badge:
    """The small plate that names an effect."""

    fill: str
    line: str
    ink: str


KINDS = {
    "plan": Look("#e0f2fe", "#0284c7", "folder", ("[[", "]]")),
    "negotiate": Look("#cffafe", "#0891b2", "note", ("[/", "/]")),
    "generate": Look("#dbeafe", "#2563eb", "box", ("(", ")")),
    "evaluate": Look("#fef3c7", "#b45309", "hexagon", ("[/", "\\]")),
    "observe": Look("#ccfbf1", "#0d9488", "invhouse", (">", "]")),
    "compress": Look("#f3e8ff", "#9333ea", "invtrapezium", ("[\\", "/]")),
    "renew": Look("#fae8ff", "#a21caf", "egg", ("([", "])")),
    "reason": Look("#e0e7ff", "#4f46e5", "ellipse", ("(", ")")),
    "veto": Look("#fee2e2", "#dc2626", "octagon", ("{{", "}}")),
    "approve": Look("#ffedd5", "#c2410c", "octagon", ("{{", "}}")),
    "act": Look("#dcfce7", "#15803d", "component", ("[", "]")),
    "retrieve": Look("#ecfccb", "#4d7c0f", "cylinder", ("[(", ")]")),
    "delegate": Look("#fce7f3", "#be185d", "box3d", ("[[", "]]")),
    "node": Look("#f1f5f9", "#475569", "box", ("[", "]")),
}

EFFECTS = {
    "pure": Badge(PAPER, "#94a3b8", MUTED),
    "read": Badge("#e0f2fe", "#0284c7", "#075985"),
    "model": Badge("#e0e7ff", "#4f46e5", "#3730a3"),
    "write": Badge(DANGER, DANGER, PAPER),
}


def look(kind: str) -> Look:
    """Return the look of a kind; kinds that are not ours look like plain nodes."""
    return KINDS.get(kind, KINDS["node"])


def badge(effect: str) -> Badge:
    """Return the look of an effect; unknown ones look like `write`, the worst case."""
    return EFFECTS.get(effect, EFFECTS["write"])
