"""What each peer's environment has in it: versions as of AS_OF."""

from dataclasses import dataclass, field

AS_OF = "2026-11-22"
PYDANTIC = "pydantic==2.14.3"
"""The floor's own need, in every environment but Loom's, which has the version of the lock file."""


@dataclass(frozen=True)
class Peer:
    requires: tuple[str, ...] = ()
    """Of Loom: none, it is installed from this checkout."""
    lacks: dict[str, str] = field(default_factory=dict[str, str])
    """Workload -> why it cannot be measured."""


LANGGRAPH = ("langgraph==1.2.22", "langgraph-checkpoint-sqlite==3.1.2", "aiosqlite==0.22.1", PYDANTIC)
DURABLE = ("W3", "W4", "W10", "W10b")

PEERS = {
    "loom": Peer(),
    "langgraph": Peer(LANGGRAPH),
    "langgraph_delta": Peer(
        LANGGRAPH,
        dict.fromkeys(("W1", "W2", "W3", "W5", "W6", "W7a", "W7b", "W8", "W10"), "the same as langgraph"),
    ),
    "pydantic_graph": Peer(
        ("pydantic-graph==2.68.0", PYDANTIC),
        dict.fromkeys(DURABLE, "it has no persistence"),
    ),
    "burr": Peer(("apache-burr==0.43.0", "aiosqlite==0.22.1", PYDANTIC)),
    "llamaindex": Peer(
        ("llama-index-workflows==2.26.1", PYDANTIC),
        dict.fromkeys(DURABLE, "no store that keeps each step in the package")
        | {"W7b": "edges are types of events, not conditions between named nodes"},
    ),
}
