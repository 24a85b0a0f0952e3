"""Checks that are run, not judged: a test command holds when it succeeds and at least one test ran."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from os.path import lexists
from pathlib import Path
from shutil import which
from typing import Final

from loom.errors import ConfigError, ToolExecutionError, short
from loom.tools.command import clean_environment, run_command

SHOWN: Final = 2000  # characters of output that a critique quotes, from the end

_ENVIRONMENT: Final = {
    # A file may be written anew within the second, at the same size: by these cached bytecode is told to be stale.
    "PYTHONDONTWRITEBYTECODE": "1",
    # What a model reads of a traceback needs neither colours nor markers under each line.
    "NO_COLOR": "1",
    "PYTHONNODEBUGRANGES": "1",
}
# Equal results are to read equal, so that a stalled sprint is seen and a recording can be replayed elsewhere.
_NOISE: Final = re.compile(r"\b\d+\.\d+(?= ?s(?:econds)?\b)|(?<=Previous line repeated )\d+|(?<= at )0x[0-9a-f]{6,}")
# Frames of Python's own library in a traceback: other lines in each version, at another place on each machine.
_LIBRARY_FRAME: Final = re.compile(
    r'^  File "[^"\n]*/lib/python3\.\d+/(?!site-packages/)[^"\n]*", line \d+.*\n(?: {4}.*\n)*', re.MULTILINE
)

# How test runners say how many tests passed.
_COUNTS: Final = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"\b(\d+) passed\b.* in \d+(?:\.\d+)?m?s\b",  # pytest
        r"^test result: ok\. (\d+) passed",  # cargo
        r"^\s*Tests:?\s.*?\b(\d+) passed",  # jest, vitest
        r"^\s*(\d+) passing\b",  # mocha
        r"^\W*pass (\d+)$",  # node --test
    )
)
_UNITTEST: Final = re.compile(r"^Ran (\d+) tests? in .*\n\s*\n(.*)$", re.MULTILINE)
_SKIPPED: Final = re.compile(r"(?:skipped|expected failures)=(\d+)")
_GO: Final = re.compile(r"^(?:--- PASS: |ok\s+\S+\s+(?!.*\[no tests))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Whether a check held. `reason` says in a line why, or why not; `output` is the end of what it wrote.

    What differs between equal runs, such as durations, is left out of it.
    """

    name: str
    passed: bool
    reason: str
    output: str


def checked(checks: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return checks by name, each a command as a tuple of texts.

    Raises:
        ConfigError: they are no mapping, a name is blank, or a command is no list of texts, or empty.
    """
    if not isinstance(checks, Mapping):
        raise ConfigError(f'checks must be commands by name, as in {{"t": ["pytest", "-q"]}}; got {short(checks)}')
    for name, command in checks.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"a check needs a name, which becomes a criterion; got {short(name)}")
        is_list = isinstance(command, Sequence) and not isinstance(command, str)
        if not is_list or not command or not all(isinstance(part, str) for part in command):
            raise ConfigError(
                f'check "{name}" must be a command as a list of texts, as in ["pytest", "-q"]; there is no shell. '
                f"Got {short(command)}"
            )
    return {name: tuple(command) for name, command in checks.items()}


def refuse_missing(checks: Mapping[str, Sequence[str]]) -> None:
    """Make sure that the programs of checks are installed; one with a "/" in its name may be written later.

    Raises:
        ConfigError: a program is in no folder of PATH, or `checked` raises it.
    """
    folders = clean_environment()["PATH"]
    for name, (program, *_) in checked(checks).items():
        if "/" not in program and which(program, path=folders) is None:
            raise ConfigError(
                f'check "{name}": there is no program "{program}" in a folder of PATH; install it, or name one in the '
                f'workspace with a "/", as in "./{program}"'
            )


def refuse_no_folder(workspace: str | PathLike[str]) -> None:
    """Make sure that a workspace is a folder, or a path at which one can be made.

    Raises:
        ConfigError: it is something else, or lies in it.
    """
    folder = Path(workspace)
    found = next(path for path in (folder, *folder.parents) if lexists(path))
    if not found.is_dir():
        raise ConfigError(f'workspace "{folder}" cannot be used: "{found}" is no folder; name another')


def make_workspace(workspace: str | PathLike[str]) -> None:
    """Make the folder of a workspace if it is not there. Raises what `refuse_no_folder` raises."""
    refuse_no_folder(workspace)
    Path(workspace).mkdir(parents=True, exist_ok=True)


async def run_check(name: str, command: Sequence[str], *, cwd: str | PathLike[str], timeout_s: float) -> CheckResult:
    """Run one check in the folder `cwd`, at most `timeout_s` seconds.

    It holds with exit status 0 and at least one test that passed, by the count in its output. The count is the test
    runner's word: code under test that prints a false summary and exits could still lie.

    Raises:
        ToolExecutionError: the program is not installed.
    """
    try:
        result = await run_command(command, cwd=cwd, timeout_s=timeout_s, env=_ENVIRONMENT)
    except ToolExecutionError as error:
        if "/" not in command[0]:
            raise
        return CheckResult(name, False, "it could not be started", str(error))  # a program that was to be written
    output = shown(result.output, Path(cwd))
    count = tests_passed(result.output)
    ran = f"{count} {'test' if count == 1 else 'tests'} passed"
    if result.timed_out:
        return CheckResult(name, False, f"it was stopped after {timeout_s:g} s", output)
    if result.exit_status != 0:
        return CheckResult(name, False, f"exit status {result.exit_status}, {ran}", output)
    if count == 0:
        return CheckResult(name, False, "exit status 0, but no test was run", output)
    return CheckResult(name, True, f"exit status 0, {ran}", output)


def shown(output: str, folder: Path) -> str:
    """Return the end of an output, without what tells nothing of the code: where and on what it ran, and how long.

    Paths in `folder` are relative; durations, addresses, depths of recursion and frames of Python's library are gone.
    """
    own = _LIBRARY_FRAME.sub("", output).replace(f"{folder.absolute()}/", "")
    return _NOISE.sub("…", own)[-SHOWN:]


def tests_passed(output: str) -> int:
    """Return how many tests passed, by what a test runner printed; 0 where it does not say."""
    count = sum(int(number) for pattern in _COUNTS for number in pattern.findall(output))
    for number, verdict in _UNITTEST.findall(output):
        if verdict.startswith("OK"):
            count += max(0, int(number) - sum(map(int, _SKIPPED.findall(verdict))))
    return count + len(_GO.findall(output))
