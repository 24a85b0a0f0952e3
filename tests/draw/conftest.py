"""Outlines to draw: the graphs of the design, made by hand, and one of every shape there is."""

from itertools import pairwise

import pytest

from loom.types.outline import Outline, OutlineEdge, OutlineNode

UNGATED = "confined to the workspace"


def _path(*stops: str) -> tuple[OutlineEdge, ...]:
    return tuple(OutlineEdge(source, target) for source, target in pairwise(stops))


REVIEW = Outline(
    "review",
    (OutlineNode("write", "node", "pure"), OutlineNode("judge", "node", "pure")),
    (
        *_path("START", "write", "judge"),
        OutlineEdge("judge", "END", "score >= 0.8", "switch"),
        OutlineEdge("judge", "END", "len(drafts) >= 5", "switch"),
        OutlineEdge("judge", "write", "", "otherwise"),
    ),
)

AGENT = Outline(
    "agent",
    (
        OutlineNode("observe", "observe", "read"),
        OutlineNode("compress", "compress", "model"),
        OutlineNode("renew", "renew", "model"),
        OutlineNode("reason", "reason", "model"),
        OutlineNode("veto", "veto", "pure", is_gate=True),
        OutlineNode("act", "act", "write"),
    ),
    (
        OutlineEdge("START", "observe"),
        OutlineEdge("observe", "renew", "rho >= renew_at", "switch"),
        OutlineEdge("observe", "compress", "rho >= compress_at", "switch"),
        OutlineEdge("observe", "reason", "", "otherwise"),
        OutlineEdge("compress", "renew", "rho >= renew_at", "switch"),
        OutlineEdge("compress", "reason", "", "otherwise"),
        OutlineEdge("renew", "reason"),
        OutlineEdge("reason", "veto", "wants_tool", "switch"),
        OutlineEdge("reason", "END", "", "otherwise"),
        *_path("veto", "act", "observe"),
    ),
)

HARNESS = Outline(
    "harness",
    (
        OutlineNode("plan", "plan", "model"),
        OutlineNode("negotiate", "negotiate", "model"),
        OutlineNode("generate", "generate", "write", ungated=UNGATED),
        OutlineNode("evaluate", "evaluate", "write", ungated=UNGATED),
    ),
    (
        *_path("START", "plan", "negotiate", "generate", "evaluate"),
        OutlineEdge("evaluate", "END", "passed or sprint >= max_sprints or stalled", "switch"),
        OutlineEdge("evaluate", "negotiate", "", "otherwise"),
    ),
)

FAN_OUT = Outline(
    "compare",
    (
        OutlineNode("search", "retrieve", "read"),
        OutlineNode("left", "reason", "model"),
        OutlineNode("right", "reason", "model"),
        OutlineNode("merge", "node", "pure", is_join=True),
    ),
    (
        OutlineEdge("START", "search"),
        OutlineEdge("search", "left", "", "fan_out"),
        OutlineEdge("search", "right", "", "fan_out"),
        *_path("left", "merge", "END"),
        OutlineEdge("right", "merge"),
    ),
)

EACH = Outline(
    "team",
    (
        OutlineNode("plan", "plan", "model"),
        OutlineNode("work", "delegate", "model"),
        OutlineNode("report", "generate", "model"),
    ),
    (
        OutlineEdge("START", "plan"),
        OutlineEdge("plan", "work", "each task in tasks", "each"),
        *_path("work", "report", "END"),
    ),
)

NESTED = Outline(
    "publish",
    (
        OutlineNode("research", "retrieve", "read"),
        OutlineNode("draft", "node", "pure", inner=REVIEW),
        OutlineNode("approve", "approve", "pure", is_gate=True),
        OutlineNode("publish", "act", "write"),
    ),
    (
        *_path("START", "research", "draft", "approve"),
        OutlineEdge("approve", "publish", "approved", "switch"),
        OutlineEdge("approve", "draft", "rounds < 3", "switch"),
        OutlineEdge("approve", "END", "", "otherwise"),
        OutlineEdge("publish", "END"),
    ),
)

# Loops of every sort: two at one node, with words of two lines, and one around an inner graph.
LOOPS = Outline(
    "loops",
    (OutlineNode("poll", "observe", "read"), OutlineNode("draft", "node", "pure", inner=REVIEW)),
    (
        OutlineEdge("START", "poll"),
        OutlineEdge("poll", "poll", "tries < 3", "switch"),
        OutlineEdge("poll", "draft", "is_ready", "switch"),
        OutlineEdge("poll", "END", "passed or sprint >= max_sprints", "switch"),
        OutlineEdge("poll", "poll", "", "otherwise"),
        OutlineEdge("draft", "END", "<lambda>", "switch"),
        OutlineEdge("draft", "draft", "", "otherwise"),
    ),
)

# Everything that has ever broken a renderer: quotes, markup, escapes, keywords, ports, links, letters of all widths.
ODD = Outline(
    'odd "graph" <script>alert(1)</script>\\',
    (
        OutlineNode("end", "node", "pure"),
        OutlineNode("graph", "unheard_of", "read"),
        OutlineNode("<script>alert(1)</script>", "node", "model"),
        OutlineNode("javascript:alert(1)", "node", "pure"),
        OutlineNode("日本語の名前 жжж 🧵", "reason", "model"),
        OutlineNode("a\\nb\\N & &lt; %%{init}%%", "act", "write", ungated='it is "safe" & <small>'),
        OutlineNode("a_very_long_name_that_goes_on_and_on_and_never_seems_to_find_its_end", "node", "pure"),
        OutlineNode("1. list *b* __c__ $$x$$ `d` #quot;", "node", "pure"),
        OutlineNode("", "node", "pure"),
    ),
    (
        OutlineEdge("START", "end"),
        OutlineEdge("end", "end", "x < 3 & y > 2", "switch"),
        OutlineEdge("end", "graph", "name == \"a\" and path == 'b\\n'", "switch"),
        OutlineEdge("end", "graph", "日本語 in title or\nscore % 2 == 0", "switch"),
        OutlineEdge("end", "<script>alert(1)</script>", "", "otherwise"),
        *_path("graph", "<script>alert(1)</script>", "javascript:alert(1)", "日本語の名前 жжж 🧵"),
        *_path(
            "日本語の名前 жжж 🧵",
            "a\\nb\\N & &lt; %%{init}%%",
            "a_very_long_name_that_goes_on_and_on_and_never_seems_to_find_its_end",
            "1. list *b* __c__ $$x$$ `d` #quot;",
            "",
            "END",
        ),
    ),
)

KINDS = Outline(
    "kinds",
    (
        OutlineNode("plan", "plan", "model"),
        OutlineNode("negotiate", "negotiate", "model"),
        OutlineNode("generate", "generate", "model"),
        OutlineNode("evaluate", "evaluate", "model"),
        OutlineNode("observe", "observe", "read"),
        OutlineNode("compress", "compress", "model"),
        OutlineNode("renew", "renew", "model"),
        OutlineNode("reason", "reason", "model"),
        OutlineNode("veto", "veto", "pure", is_gate=True),
        OutlineNode("approve", "approve", "pure", is_gate=True),
        OutlineNode("act", "act", "write"),
        OutlineNode("retrieve", "retrieve", "read"),
        OutlineNode("delegate", "delegate", "model"),
        OutlineNode("node", "node", "pure"),
    ),
    (
        *_path("START", "plan", "negotiate", "generate", "evaluate", "END"),
        *_path("START", "observe", "compress", "renew", "reason", "END"),
        *_path("START", "veto", "approve", "act", "END"),
        *_path("START", "retrieve", "delegate", "node", "END"),
    ),
)

SIXTY = Outline(
    "sixty",
    tuple(OutlineNode(f"step_{number:02}", "node", "pure", is_join=number % 10 == 5) for number in range(60)),
    (
        *_path("START", *(f"step_{number:02}" for number in range(0, 60, 10)), "END"),
        *(
            OutlineEdge(f"step_{first:02}", f"step_{first + branch:02}", "", "fan_out")
            for first in range(0, 60, 10)
            for branch in (1, 2, 3, 4)
        ),
        *(
            OutlineEdge(f"step_{first + branch:02}", f"step_{first + 5:02}")
            for first in range(0, 60, 10)
            for branch in (1, 2, 3, 4)
        ),
        *(edge for first in range(5, 60, 10) for edge in _path(*(f"step_{first + more:02}" for more in range(5)))),
    ),
)

OUTLINES = {
    "review": REVIEW,
    "agent": AGENT,
    "harness": HARNESS,
    "fan_out": FAN_OUT,
    "each": EACH,
    "nested": NESTED,
    "loops": LOOPS,
    "odd": ODD,
    "kinds": KINDS,
    "sixty": SIXTY,
    "empty": Outline("empty", (), ()),
}


@pytest.fixture
def outlines() -> dict[str, Outline]:
    return OUTLINES


@pytest.fixture(params=OUTLINES)
def outline(request: pytest.FixtureRequest) -> Outline:
    return OUTLINES[request.param]
