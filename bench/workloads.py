"""The workloads: what each one is, how large, and what Loom promises of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """At most so many times the floor's time and bytes, and so many MB of growth."""

    time: float
    disk: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class Workload:
    what: str
    size: int
    small: int
    """A size for trying out whether it works at all."""
    laps: int
    """Laps of the peer in one process; the floor has one more."""
    target: Target
    memory: bool = False
    """Whether the growth of the process is measured, in a lap of its own."""


WORKLOADS = {
    "W1": Workload("chain of 10 nodes, 300 runs", 300, 2, 3, Target(3)),
    "W2": Workload("loop of 5,000 steps through a condition", 5000, 5, 3, Target(4)),
    "W3": Workload("chain of 10 nodes, 100 runs, a commit per step", 100, 2, 3, Target(2)),
    "W4": Workload("500 steps, each adds 1 KB to a list, a commit per step", 500, 5, 2, Target(3, disk=1.5)),
    "W5": Workload("fan-out to 1,000 and join, 5 times", 1000, 5, 1, Target(6)),
    "W6": Workload("2,000 runs at once, 5 naps of 1 ms each", 2000, 3, 1, Target(4, memory_mb=20), memory=True),
    "W7a": Workload("build and compile a chain of 1,000 nodes", 1000, 5, 5, Target(40)),
    "W7b": Workload("build and compile 200 nodes, 2,000 conditional edges", 2000, 100, 5, Target(40)),
    "W8": Workload("import in a new process", 1, 1, 7, Target(1.4)),
    "W9": Workload("agent: a scripted model, 20 tool calls and an answer, 20 runs", 20, 1, 5, Target(15)),
    "W10": Workload("resume after 1,000 records", 1000, 5, 7, Target(2)),
    "W10b": Workload("resume with a list of 500 KB", 500, 5, 7, Target(1.3)),
}
