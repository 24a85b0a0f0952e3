"""Runs and sessions of an agent, for those who need them directly."""

from typing import TYPE_CHECKING

from loom.runtime.records import Artifact, RunContext, RunEvent, RunResult, RunState, SessionConfig
from loom.runtime.run import Run
from loom.runtime.session import Session
from loom.types.absent import refused_import
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

if not TYPE_CHECKING:  # for type checkers what is not here is an error as anywhere

    def __getattr__(name: str) -> object:
        raise refused_import(__name__, name)
