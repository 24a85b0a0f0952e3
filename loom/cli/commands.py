"""The commands of `loom`: their options, their help, how they end. What they do is in `actions`."""

import os
import sys
import threading
from importlib.metadata import version as version_of
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from loom.cli.exits import Exit, OutputError, reported, tell, writing
from loom.cli.options import (
    DEFAULT_STORE,
    AnswerOption,
    ApiBaseOption,
    CheckOption,
    DebugOption,
    EventsOption,
    FormatOption,
    Given,
    GraphArgument,
    GraphOption,
    InputOption,
    JsonOption,
    Kind,
    MaxStepsOption,
    ModelOption,
    OnChange,
    OnChangeOption,
    OutOption,
    RenameOption,
    RunArgument,
    RunIdOption,
    SetOption,
    StatusOption,
    StoreOption,
    WorkspaceOption,
)
from loom.errors import ConfigError


class _Group(TyperGroup):
    """A group whose help, where it cannot be printed, ends as any command then does."""

    @reported(is_debug=False)
    @writing()
    def get_help(self, ctx: Any) -> str:  # noqa: ANN401 - click's context, or that of the click within typer
        return super().get_help(ctx)  # which prints it


class _Command(TyperCommand):
    """A command whose help ends like that, too."""

    @reported(is_debug=False)
    @writing()
    def get_help(self, ctx: Any) -> str:  # noqa: ANN401 - as above
        return super().get_help(ctx)


cli = typer.Typer(
    cls=_Group,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run, resume, look into and draw graphs.",
    epilog="Exit codes: 0 fine, 1 a problem of the graph, 2 usage, 3 the run failed, 4 it stopped at a limit or is "
    "paused, 5 the store or the run in it, 6 stdout cannot be written, 130 cancelled.",
)


def _tell_version(is_wanted: bool) -> None:
    if is_wanted:
        with reported(is_debug=False), writing():
            typer.echo(f"loom {version_of('loom-agent')}")
        raise typer.Exit


@cli.callback()
def loom(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version.")
    ] = False,
) -> None:
    """Run, resume, look into and draw graphs."""


@cli.command(cls=_Command)
def run(  # noqa: PLR0913 - each parameter is an option
    graph: GraphArgument,
    *,
    inputs: InputOption = None,
    model: ModelOption = None,
    api_base: ApiBaseOption = None,
    checks: CheckOption = None,
    workspace: WorkspaceOption = None,
    sets: SetOption = None,
    max_steps: MaxStepsOption = None,
    run_id: RunIdOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    events: EventsOption = False,
    debug: DebugOption = False,
) -> None:
    """Run GRAPH to its end. Each finished step is saved: a run that broke off can be resumed."""
    with reported(is_debug=debug):
        from loom.cli import actions  # noqa: PLC0415 - the engine, which help does not need

        given = Given(graph, model, api_base, checks, workspace, sets, max_steps)
        actions.run(given, inputs or (), run_id, store, _kind(as_json, events))


@cli.command(cls=_Command)
def resume(  # noqa: PLR0913 - each parameter is an option
    run_id: RunArgument,
    *,
    graph: GraphOption = "",
    model: ModelOption = None,
    api_base: ApiBaseOption = None,
    checks: CheckOption = None,
    workspace: WorkspaceOption = None,
    sets: SetOption = None,
    max_steps: MaxStepsOption = None,
    answers: AnswerOption = None,
    on_change: OnChangeOption = OnChange.refuse,
    renames: RenameOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    events: EventsOption = False,
    debug: DebugOption = False,
) -> None:
    """Go on with RUN, with the graph and the options it was started with; those given here replace them."""
    with reported(is_debug=debug):
        from loom.cli import actions  # noqa: PLC0415 - as above

        given = Given(graph, model, api_base, checks, workspace, sets, max_steps)
        actions.resume(run_id, given, answers or (), on_change, renames or (), store, _kind(as_json, events))


@cli.command(cls=_Command)
def runs(
    *,
    status: StatusOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the runs of the store, the newest first."""
    with reported(is_debug=debug):
        from loom.cli import actions  # noqa: PLC0415 - as above

        actions.runs(status, store, _kind(as_json))


@cli.command(cls=_Command)
def show(
    run_id: RunArgument,
    *,
    graph: GraphOption = "",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show RUN: how it stands, its steps, its state."""
    with reported(is_debug=debug):
        from loom.cli import actions  # noqa: PLC0415 - as above

        actions.show(run_id, graph, store, _kind(as_json))


@cli.command(cls=_Command)
def render(
    graph: GraphArgument,
    *,
    path: OutOption = None,
    wish: FormatOption = None,
    checks: CheckOption = None,
    workspace: WorkspaceOption = None,
    sets: SetOption = None,
    debug: DebugOption = False,
) -> None:
    """Draw GRAPH, into a file or as text."""
    with reported(is_debug=debug):
        from loom.cli import actions  # noqa: PLC0415 - as above

        actions.render(Given(graph, checks=checks, workspace=workspace, sets=sets), path, wish)


@cli.command(cls=_Command)
def check(
    graph: GraphArgument,
    *,
    checks: CheckOption = None,
    workspace: WorkspaceOption = None,
    sets: SetOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Find what is wrong with GRAPH, without running it."""
    with reported(is_debug=debug):
        from loom.cli import actions  # noqa: PLC0415 - as above

        actions.check(Given(graph, checks=checks, workspace=workspace, sets=sets), _kind(as_json))


def main() -> NoReturn:
    """Run the command line and end the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = 0
    try:
        cli()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    code = _flushed(code)
    # A sync node's thread cannot be stopped, and Python would wait for it: leave without it.
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _flushed(code: int) -> int:
    """Write what is left for stdout, and return the code to end with. What cannot be written is dropped."""
    stream = sys.__stdout__
    if stream is None or stream.closed:
        return code
    try:
        with writing():
            stream.flush()
    except BrokenPipeError:
        return code
    except OutputError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python would tell of it once more at its end
        if code == 0:
            tell(error, is_debug=False)
            return Exit.OUTPUT
    return code


def _kind(as_json: bool, events: bool = False) -> Kind:
    if as_json and events:
        raise ConfigError("--json prints one object and --events a line for each event; give one of them")
    return "events" if events else "json" if as_json else "people"
