"""Running a command: no shell, a clean environment, a time limit, and nothing left behind.

The command leads a process group of its own. Whatever way it ends, the whole group is killed, so what it started in
the background ends with it; what left the group is looked for (`loom.tools.strays`). Limits of time, memory and files
can be set. This is no sandbox: the command can do what this user can do.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Final
from uuid import uuid4

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, Process

from loom.errors import ConfigError, ToolExecutionError, short
from loom.tools.strays import children_of, kill, marked
from loom.types.given import check_count

# Enough for compilers and test runners to work; keys and tokens of this process are not passed on.
PASSED_ON: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "TMPDIR", "TZ", "USER")
GRACE_S: Final = 1.0  # for the last output, once the group is dead

# A process sets its own limits and then becomes the command. Code between fork and exec would not be safe where other
# threads are at work; a shell's `ulimit` is not the same everywhere.
_LAUNCHER: Final = """
import os, resource, sys
for limit in sys.argv[1].split(","):
    name, value = limit.split("=")
    kind = getattr(resource, "RLIMIT_" + name, None)
    if kind is not None:  # not every system has all of them
        hard = resource.getrlimit(kind)[1]
        value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(kind, (value, value))
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"{sys.argv[2]} cannot be started: {error.strerror}")
"""


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """What each process of a command may use; the system ends or refuses what wants more.

    `cpu_s` is time at work, which waiting does not count to. `memory_bytes` is address space. `file_bytes` is the size
    of a file that it writes. `processes` is how many processes and threads this user may have in all when the
    command starts one more; it does not hold for the superuser. Limits that the system lacks are left out.
    """

    cpu_s: int = 300
    memory_bytes: int = 8 << 30
    file_bytes: int = 1 << 30
    processes: int = 4096

    def __post_init__(self) -> None:
        for name in ("cpu_s", "memory_bytes", "file_bytes", "processes"):
            check_count(f"CommandLimits({name}=…)", getattr(self, name))

    def applied_to(self, command: Sequence[str]) -> list[str]:
        """Return the command that sets these limits and becomes the given one."""
        values = {
            "CPU": self.cpu_s,
            "AS": self.memory_bytes,
            "FSIZE": self.file_bytes,
            "NPROC": self.processes,
            "CORE": 0,
        }
        limits = ",".join(f"{name}={value}" for name, value in values.items())
        return [sys.executable, "-I", "-S", "-c", _LAUNCHER, limits, *command]


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    `exit_status` is None where the time limit ended it, negative where a signal did. `output` is what it wrote to
    stdout and stderr, in the order it came; `cut_bytes` counts what was left out before it.
    """

    exit_status: int | None
    output: str
    cut_bytes: int
    duration_s: float

    @property
    def timed_out(self) -> bool:
        """Tell whether the time limit ended it."""
        return self.exit_status is None


async def run_command(
    command: Sequence[str],
    *,
    cwd: str | os.PathLike[str],
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    max_output_bytes: int = 64_000,
    limits: CommandLimits | None = None,
) -> CommandResult:
    """Run a program with its arguments and wait for its end, at most `timeout_s` seconds.

    It gets no input, and of this process's environment only a few harmless variables; `env` adds to them. Programs
    are looked for beside the running interpreter first, so `python` and `pytest` are its own. Of the output the last
    `max_output_bytes` are kept. Under `limits` a program that is not there is told in the output.

    Raises:
        ConfigError: the command is no list of texts, or empty.
        ToolExecutionError: the program or the folder is not there or cannot be used.
    """
    if isinstance(command, str) or not command or not all(isinstance(part, str) for part in command):
        raise ConfigError(
            f'a command is a list of texts, as in ["pytest", "-q"]; there is no shell. Got {short(command)}'
        )
    began = time.monotonic()
    mark = uuid4().hex
    try:
        process = await anyio.open_process(
            limits.applied_to(command) if limits else list(command),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            cwd=cwd,
            env=clean_environment() | dict(env or {}) | marked(mark),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ToolExecutionError(f'command "{command[0]}" cannot be started in "{cwd}": {_why(error, cwd)}') from error
    tail = _Tail(max_output_bytes)
    exit_status: int | None = None
    try:
        with anyio.move_on_after(timeout_s):
            async with anyio.create_task_group() as group:
                all_read = anyio.Event()
                group.start_soon(_collect, process.stdout, tail, all_read)
                exit_status = await process.wait()
                _kill_group(process)  # what it left running there would hold the output open
                with anyio.move_on_after(GRACE_S):
                    await all_read.wait()
                group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            if exit_status is None:
                # With a limiter of its own: all other threads may be taken by tools that hang.
                await anyio.to_thread.run_sync(_kill_all, process, mark, limiter=anyio.CapacityLimiter(1))
            await process.aclose()
    return CommandResult(exit_status, tail.text(), tail.cut, time.monotonic() - began)


def clean_environment() -> dict[str, str]:
    """Return what a command gets of this process's environment. In PATH its interpreter's folder comes first."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # A folder that is relative would be one in the command's folder, where a model may write programs.
    inherited = [
        folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder).is_absolute()
    ]
    return passed | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), *inherited])}


def _why(error: Exception, cwd: str | os.PathLike[str]) -> str:
    # To the system a missing folder and a missing program are one error.
    return str(error) if Path(cwd).is_dir() else "there is no such folder"


def _kill_all(process: Process, mark: str) -> None:
    """Kill a command that was cut off, its group, and what left the group as far as it can be found."""
    # Of a leader that has ended the number may be another's by now.
    children = children_of(process.pid) if process.returncode is None else []
    _kill_group(process)
    kill(children, mark)


def _kill_group(process: Process) -> None:
    with suppress(ProcessLookupError):  # all of it has ended
        os.killpg(process.pid, signal.SIGKILL)


class _Tail:
    """The last bytes of a stream, however long it is."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.cut = 0

    def add(self, piece: bytes) -> None:
        self._kept += piece
        if (over := len(self._kept) - self._limit) > 0:
            del self._kept[:over]
            self.cut += over

    def text(self) -> str:
        return self._kept.decode(errors="replace")


async def _collect(stream: ByteReceiveStream | None, tail: _Tail, all_read: anyio.Event) -> None:
    if stream is not None:
        async for piece in stream:
            tail.add(piece)
    all_read.set()
