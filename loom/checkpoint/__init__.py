"""Stores of runs: in memory, in a SQLite file, or one of your own; moving runs between them, and clearing them out."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loom.checkpoint.memory import MemoryCheckpointer
    from loom.checkpoint.sqlite import SqliteCheckpointer
    from loom.checkpoint.transfer import copy_run, export_run, import_run, prune
    from loom.core.journal import Checkpointer, Claim, Journal, new_token
    from loom.core.result import RunInfo, Status

__all__ = [
    "Checkpointer",
    "Claim",
    "Journal",
    "MemoryCheckpointer",
    "RunInfo",
    "SqliteCheckpointer",
    "Status",
    "copy_run",
    "export_run",
    "import_run",
    "new_token",
    "prune",
]

_HOMES = {
    "Checkpointer": "loom.core.journal",
    "Claim": "loom.core.journal",
    "Journal": "loom.core.journal",
    "MemoryCheckpointer": "loom.checkpoint.memory",
    "RunInfo": "loom.core.result",
    "SqliteCheckpointer": "loom.checkpoint.sqlite",
    "Status": "loom.core.result",
    "copy_run": "loom.checkpoint.transfer",
    "export_run": "loom.checkpoint.transfer",
    "import_run": "loom.checkpoint.transfer",
    "new_token": "loom.core.journal",
    "prune": "loom.checkpoint.transfer",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module "{__name__}" has no name "{name}"')
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
