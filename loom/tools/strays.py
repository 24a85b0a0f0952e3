"""Processes that left the group of the command that started them, as `setsid` does: found, and killed.

They are found by a mark in their environment, which children inherit, and, while a command still runs, as children of
its children. Out of reach is what did both: left its parent, and threw its environment away. All of it needs psutil,
which comes with the extra `agent`; without it nothing is found.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from psutil import Process

_VARIABLE: Final = "LOOM_COMMANDS"


def marked(mark: str) -> dict[str, str]:
    """Return what a command's environment needs to have for it to be found; marks of outer commands stay."""
    return {_VARIABLE: f"{os.environ.get(_VARIABLE, '')} {mark}".strip()}


def children_of(pid: int) -> "list[Process]":
    """Return all that a running process started, as far as its parents are still there."""
    try:
        import psutil  # noqa: PLC0415 - optional, and needed only here
    except ImportError:
        return []
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:  # it has just ended
        return []


def kill(children: "Iterable[Process]", mark: str) -> None:
    """Kill processes, and those with a mark until there are no new ones."""
    try:
        import psutil  # noqa: PLC0415 - as above
    except ImportError:
        return
    killed = set[psutil.Process]()
    while found := {*children, *_with(mark)} - killed:
        for process in found:
            with suppress(psutil.Error):  # it has ended, or is not ours to end
                process.kill()
        killed |= found


def _with(mark: str) -> "Iterator[Process]":
    import psutil  # noqa: PLC0415 - as above

    for process in psutil.process_iter(["environ"]):
        environment: dict[str, str] = process.info["environ"] or {}  # None of one that is not ours to see
        if mark in environment.get(_VARIABLE, "").split():
            yield process
