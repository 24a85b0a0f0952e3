"""Runs and sessions of an agent, for those who need them directly."""

from loom.runtime.records import Artifact, RunContext, RunEvent, RunResult, RunState, SessionConfig
from loom.runtime.run import Run
from loom.runtime.session import Session
from loom.types.events import Event

__all__ = [
    "Artifact",
    "Event",
    "Run",
    "RunContext",
    "RunEvent",
    "RunResult",
    "RunState",
    "Session",
    "SessionConfig",
]
