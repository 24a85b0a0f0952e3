"""What a call about runs is given: ids, steps, branches, offsets, filters, the runtime and its clock, checked."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import get_args

from loom.core.result import Status
from loom.core.runtime import Runtime
from loom.errors import ConfigError, quoted, short

STATUSES: tuple[str, ...] = get_args(Status)
_DEFAULT = Runtime()


def known_run_id(given: object) -> str:
    """Return the id of a run that is saved.

    Raises:
        ConfigError: it is no text, or one that no run can have.
    """
    if not isinstance(given, str) or not _is_saveable(given):
        raise ConfigError(f"run_id must be a text, the id of a run that is saved; got {short(given)}")
    return given


def _is_saveable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _is_whole(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)


def check_step(at: object) -> None:
    """Refuse with a ConfigError what can be no step of a run; None is the newest."""
    if at is not None and not _is_whole(at):
        raise ConfigError(f"at must be the number of a step; got {short(at)}")


def check_branch(branch: object) -> None:
    """Refuse with a ConfigError what can be no branch of a run; None is the trunk."""
    if branch is not None and not isinstance(branch, str):
        raise ConfigError(f'branch must be the id of one, a text as "0.1"; got {short(branch)}')


def check_offset(after: object) -> None:
    """Refuse with a ConfigError what is no offset of an event."""
    if not _is_whole(after):
        raise ConfigError(f"events(after=…) must be an offset, a whole number; got {short(after)}")


def check_filter(status: object, graph: object) -> None:
    """Refuse with a ConfigError what runs cannot be listed by; None is any."""
    if status is not None and status not in STATUSES:
        raise ConfigError(f"runs(status=…) must be one of {quoted(STATUSES)}; got {short(status)}")
    if graph is not None and not isinstance(graph, str):
        raise ConfigError(f"runs(graph=…) must be the name of a graph; got {short(graph)}")


def given_runtime(runtime: Runtime | None) -> Runtime:
    """Return the runtime that a call was given; only for none at all is there a default.

    What a clock of its own gives is checked each time.

    Raises:
        ConfigError: it is no runtime.
    """
    if runtime is None:
        return _DEFAULT
    if not isinstance(runtime, Runtime):
        raise ConfigError(f"runtime must be a Runtime; got {short(runtime)}")
    if runtime.clock is time.time:
        return runtime
    return replace(runtime, clock=partial(seconds_of, "Runtime", runtime.clock))


def seconds_of(whose: str, clock: Callable[[], float]) -> float:
    """Return what a clock gives.

    Raises:
        ConfigError: it is no time that could be saved.
    """
    now: object = clock()
    if not isinstance(now, (int, float)) or not abs(now) <= sys.float_info.max:
        raise ConfigError(f"{whose}(clock=…) must give Unix seconds, a finite number; it gave {short(now)}")
    return now
