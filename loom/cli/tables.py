"""Tables on stdout: runs, a run, problems."""

import json
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from loom.cli.view import RunView
from loom.cli.words import duration, moment, one_line, printable, spent
from loom.core.result import Checkpoint, RunInfo, Status
from loom.errors import Problem

Row = Sequence[str | Text]

_PIPE_WIDTH = 160  # characters, where there is no terminal
_STYLES: dict[Status, str] = {
    "running": "cyan",
    "completed": "green",
    "paused": "yellow",
    "stopped": "yellow",
    "cancelled": "yellow",
    "failed": "red",
}


def stdout() -> Console:
    """Return the console of stdout; into a pipe it writes wide lines."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def show_runs(console: Console, runs: Sequence[RunInfo]) -> None:
    """Print a line for each run."""
    if not runs:
        console.print("no runs")
        return
    rows = [
        (run.run_id, run.graph, status_text(run.status), moment(run.created_at), moment(run.updated_at)) for run in runs
    ]
    _print(console, ("run", "graph", "status", "started", "last change"), rows)


def show_run(console: Console, view: RunView, points: Sequence[Checkpoint]) -> None:
    """Print how a run stands, its steps, and its state as JSON, all of it."""
    console.print(Text.assemble("run ", (view.run_id, "bold"), f', graph "{view.graph}": ').append(summary(view)))
    console.print(f"started {moment(view.started_at)}, last change {moment(view.updated_at)}")
    if view.error:
        console.print(Text(printable(view.error), style="red"), soft_wrap=True)
    console.print()
    show_steps(console, points)
    console.print()
    console.print(json.dumps(view.state, ensure_ascii=False, indent=2), soft_wrap=True)


def show_steps(console: Console, points: Sequence[Checkpoint]) -> None:
    """Print a line for each saved point, the input included; the writes are cut to fit."""
    rows: list[Row] = []
    for point in points:
        passed = duration(point.duration_s).rjust(8) if point.seq else ""
        attempt = str(point.attempt) if point.attempt > 1 else ""
        rows.append((f"{point.seq:4}", point.node, point.branch, passed, attempt, one_line(dict(point.writes))))
    _print(console, ("step", "node", "branch", "duration", "attempt", "writes"), rows, is_cut=True)


def show_state(console: Console, view: RunView) -> None:
    """Print the fields of a state, if it has any, each on one line, cut to fit."""
    rows = [(name, one_line(value)) for name, value in view.state.items()]
    _print(console, ("field", "value"), rows, is_cut=True)


def show_problems(console: Console, graph: str, problems: Sequence[Problem]) -> None:
    """Print what is wrong with a graph; messages are not cut."""
    if not problems:
        console.print(f'graph "{graph}" has no problems', soft_wrap=True)
        return
    rows = [
        (
            problem.code,
            Text(problem.severity, style="red" if problem.severity == "error" else "yellow"),
            problem.where,
            problem.message,
        )
        for problem in problems
    ]
    _print(console, ("code", "severity", "where", "problem"), rows)


def status_text(status: Status) -> Text:
    """Return a status in its colour."""
    return Text(status, style=_STYLES[status])


def summary(view: RunView) -> Text:
    """Return how a run stands: `completed after 3 steps, 1,204 tokens in, 310 out`; each open ask has a line."""
    said = status_text(view.status)
    if view.stop_reason:
        said.append(f" by {view.stop_reason}")
    said.append(f" after {view.steps} step{'' if view.steps == 1 else 's'}", style="default")
    used = view.usage
    if used.total_tokens:
        said.append(f", {spent(used.input_tokens, used.output_tokens, used.cost_usd)}", style="default")
    for ask in view.asks:
        said.append(f"\n  {ask.node} asks {ask.id}: {one_line(ask.question)}", style="default")
    return said


def _print(console: Console, header: Row, rows: Sequence[Row], *, is_cut: bool = False) -> None:
    """Print columns as wide as their widest cell; one that is empty in every row is left out.

    The last column has what is left of the line, where it is cut, else it runs on.
    """
    if not rows:
        return
    table = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in (header, *rows)]
    for cell in table[0]:
        cell.stylize("dim")
    for column in reversed(range(len(header))):
        if not any(row[column].plain for row in table[1:]):
            for row in table:
                del row[column]
    widths = [max(cell.cell_len for cell in column) for column in zip(*table, strict=True)][:-1]
    for row in table:
        line = Text()
        for cell, width in zip(row, widths, strict=False):
            line.append_text(cell).append(" " * (width - cell.cell_len + 2))
        line.append_text(row[-1])
        if is_cut:
            line.truncate(console.width, overflow="ellipsis")
        line.rstrip()
        console.print(line, soft_wrap=True)
