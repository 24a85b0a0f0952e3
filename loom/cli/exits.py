"""How a command ends: its exit code, and an error as one message without our traceback."""

import re
import sys
import sysconfig
from collections.abc import Generator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from shlex import quote
from traceback import TracebackException
from types import TracebackType

import typer
from rich.console import Console
from rich.text import Text

import loom.errors as home
from loom.cli.words import printable
from loom.errors import (
    AnswerError,
    CheckpointError,
    ConfigError,
    GraphChangedError,
    LoomError,
    NodeError,
    RunConflictError,
    RunError,
    RunExistsError,
    RunNotFoundError,
)


class Exit(IntEnum):
    """What the shell is told. A run that ended by a signal gives 128 and the signal's number."""

    OK = 0
    GRAPH = 1
    USAGE = 2
    FAILED = 3
    STOPPED = 4
    STORE = 5
    OUTPUT = 6
    CANCELLED = 130


class LoadError(LoomError):
    """The code that makes a graph raised."""


class OutputError(LoomError):
    """What a command prints cannot be written."""


def code_of(error: LoomError) -> Exit:
    """Return the exit code that an error ends a command with."""
    if isinstance(error, (ConfigError, AnswerError)):
        return Exit.USAGE
    stored = (CheckpointError, GraphChangedError, RunConflictError, RunExistsError, RunNotFoundError)
    if isinstance(error, stored):
        return Exit.STORE
    if isinstance(error, OutputError):
        return Exit.OUTPUT
    if isinstance(error, RunError):
        return Exit.FAILED
    return Exit.GRAPH


@contextmanager
def reported(*, is_debug: bool) -> Generator[None, None, None]:
    """End the command with a message and a code where the block raises what Loom raises on purpose."""
    try:
        yield
    except LoomError as error:
        tell(error, is_debug=is_debug)
        raise typer.Exit(code_of(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(Exit.CANCELLED) from None


@contextmanager
def writing() -> Generator[None, None, None]:
    """Tell apart what goes wrong in printing to stdout; a reader that went away is none of it.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror or error}") from error


def tell(error: LoomError, *, is_debug: bool) -> None:
    """Write an error to stderr: what it says, its notes, where in the user's code it came from."""
    if is_debug:
        story = TracebackException.from_exception(error)
        message = list(story.format_exception_only())  # told below, as ever
        sys.stderr.writelines(list(story.format())[: -len(message)])
    place = place_of(error.__cause__) if isinstance(error, NodeError) else ""
    lines = [_as_options(error), *([f"  raised at {place}"] if place else []), *getattr(error, "__notes__", ())]
    said = Text.assemble(("error: ", "bold red"), printable("\n".join(lines)))
    Console(stderr=True).print(said, soft_wrap=True)


def _as_options(error: LoomError) -> str:
    """Return what an error says, arguments in Python as the options that give them."""
    said = str(error)
    if isinstance(error, (ConfigError, GraphChangedError)):
        said = said.replace(
            'resume(on_change="continue"), rename={"old": "new"} for nodes',
            "--on-change continue, and --rename old=new for nodes",
        )
        said = re.sub("^run_id (?=must )", "--run-id ", said)
        said = re.sub(r"^resume\(rename=\{.*\}\)(?=: run )", "--rename", said)
        said = re.sub(r'^rename=\{"(.*?)": "(.*?)"\}', lambda pair: f"--rename {quote('='.join(pair.groups()))}", said)
    return said


def place_of(error: BaseException | None) -> str:
    """Return the user's line that an error came from, as `file, line n`; empty if none was of theirs."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(Path(error.filename))}, line {error.lineno}"
    found = ""
    step: TracebackType | None = error.__traceback__ if error else None
    while step:
        path = step.tb_frame.f_code.co_filename
        if not path.startswith(("<", *_OTHERS)):
            found = f"{shown(Path(path))}, line {step.tb_lineno}"
        step = step.tb_next
    return found


def shown(path: Path) -> str:
    """Return a path as a reader at the working directory would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


# Where code is kept that is not the user's: Loom, Python, what pip installed.
_OTHERS = (
    str(Path(home.__file__).parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
