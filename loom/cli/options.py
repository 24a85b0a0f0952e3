"""The options and arguments that commands share. Loads nothing heavy, so that help comes at once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

Kind = Literal["people", "json", "events"]
DEFAULT_STORE = Path(".loom", "loom.db")


class Format(StrEnum):
    """The formats of `app.draw`."""

    svg = "svg"
    dot = "dot"
    mermaid = "mermaid"
    png = "png"


class Status(StrEnum):
    """How runs stand."""

    running = "running"
    completed = "completed"
    paused = "paused"
    stopped = "stopped"
    cancelled = "cancelled"
    failed = "failed"


class OnChange(StrEnum):
    """What to do where the graph is not the one that a run was begun with."""

    refuse = "raise"
    go_on = "continue"


class Given(NamedTuple):
    """A graph and its settings, as they were typed."""

    graph: str
    model: str | None = None
    api_base: str | None = None
    checks: list[str] | None = None
    workspace: str | None = None
    sets: list[str] | None = None
    max_steps: int | None = None


GraphArgument = Annotated[
    str,
    typer.Argument(metavar="GRAPH", help="file.py:name, package.module:name, graph.yaml, or a prebuilt graph."),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The id of the run.")]
GraphOption = Annotated[
    str, typer.Option("--graph", metavar="GRAPH", help="The graph, if not the one that the run was started with.")
]
InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="INPUT", help="key=value, @file.json, or - for JSON on stdin; repeatable."),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="PROVIDER/NAME", help="The model, in place of all that the graph names."),
]
ApiBaseOption = Annotated[
    str | None, typer.Option("--api-base", metavar="URL", help="The server of the model, if not the provider's own.")
]
CheckOption = Annotated[
    list[str] | None,
    typer.Option(
        "--check", metavar="NAME=COMMAND", help="A check for the graph to run, 'tests pass=pytest -q'; repeatable."
    ),
]
WorkspaceOption = Annotated[
    str | None, typer.Option("--workspace", metavar="FOLDER", help="The folder that the graph writes files to.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any parameter of a function that makes the graph; repeatable."),
]
MaxStepsOption = Annotated[
    int | None, typer.Option("--max-steps", metavar="N", min=0, help="Stop after so many steps, resumes included.")
]
AnswerOption = Annotated[
    list[str] | None,
    typer.Option("--answer", metavar="ASK=VALUE", help="An answer to an open ask, by its id; repeatable."),
]
OnChangeOption = Annotated[
    OnChange, typer.Option("--on-change", help="Whether to go on where the graph was changed since the run began.")
]
RenameOption = Annotated[
    list[str] | None,
    typer.Option("--rename", metavar="OLD=NEW", help="A node that has another name since the run began; repeatable."),
]
RunIdOption = Annotated[
    str | None, typer.Option("--run-id", metavar="ID", help="The id of the new run, else one is made up.")
]
StoreOption = Annotated[Path, typer.Option("--store", metavar="FILE", help="Where runs are saved.")]
StatusOption = Annotated[Status | None, typer.Option("--status", help="Only runs that stand so.")]
OutOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write, else text goes to stdout.")
]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="The format, else that of the file's suffix, else mermaid.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
EventsOption = Annotated[bool, typer.Option("--events", help="Print each event on stdout, a line of JSON.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
