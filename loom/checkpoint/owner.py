"""Who holds a lease: a process, told apart from every other one, also after its number is used again."""

import os
from functools import cache
from pathlib import Path


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat[stat.rindex(")") + 2 :].split()  # the name before may hold anything
    return "" if fields[0] == "Z" else fields[19]


def this_process() -> str:
    """Return the name of this process: boot, process namespace, number, start."""
    return _name_of(os.getpid())


@cache
def _name_of(pid: int) -> str:
    return f"{_boot()} {_namespace()} {pid} {_started(pid)}"


if hasattr(os, "register_at_fork"):  # a forked process may get the number of an ancestor that is gone
    os.register_at_fork(after_in_child=_name_of.cache_clear)


def is_surely_dead(owner: str) -> bool:
    """Tell whether the process of this name has surely ended.

    Only sure for one of this boot and this process namespace, whose number is free or was given to a
    later process. Of any other nothing is known; its lease has to expire.
    """
    boot, namespace, pid, started = owner.split(" ")
    if not boot or boot != _boot() or not namespace or namespace != _namespace():
        return False
    return _started(int(pid)) != started
