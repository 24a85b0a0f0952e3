import io

from rich.console import Console

from loom.cli.tables import show_problems, show_runs, show_state, show_steps, stdout, summary
from loom.cli.view import RunView
from loom.core.result import Checkpoint, RunInfo, Status
from loom.errors import Problem
from loom.types.usage import Usage


def console(width: int = 60) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False), stream


def point(seq: int, node: str, branch: str = "", attempt: int = 1, **writes: object) -> Checkpoint:
    return Checkpoint(seq, node, branch, writes, (), at=0.0, duration_s=0.5, attempt=attempt)


def view(status: Status = "completed", **more: object) -> RunView:
    return RunView.model_validate(
        {
            "run_id": "r1",
            "graph": "g",
            "status": status,
            "stop_reason": None,
            "asks": [],
            "error": None,
            "steps": 1,
            "usage": Usage(),
            "started_at": 0,
            "updated_at": 0,
            "state": {},
        }
        | more
    )


def test_columns_are_as_wide_as_their_cells_and_the_last_is_cut() -> None:
    out, stream = console(40)
    show_steps(out, [point(0, "START"), point(1, "a_long_name", text="word " * 20), point(2, "日本", text="[b]x[/b]")])
    assert stream.getvalue().splitlines() == [
        "step  node         duration  writes",
        "   0  START                  {}",
        '   1  a_long_name    0.50 s  {"text": "…',
        '   2  日本           0.50 s  {"text": "…',
    ]


def test_branch_and_attempt_are_columns_only_where_there_are_any() -> None:
    out, stream = console()
    show_steps(out, [point(1, "a", branch="0", attempt=2)])
    assert stream.getvalue().splitlines() == [
        "step  node  branch  duration  attempt  writes",
        "   1  a     0         0.50 s  2        {}",
    ]


def test_a_line_for_each_run() -> None:
    out, stream = console()
    show_runs(out, [RunInfo("r1", "failed", "g", 0.0, 1.0)])
    assert [line.split()[:3] for line in stream.getvalue().splitlines()] == [
        ["run", "graph", "status"],
        ["r1", "g", "failed"],
    ]


def test_where_there_is_nothing_no_header_is_printed() -> None:
    out, stream = console()
    show_runs(out, [])
    show_state(out, view())
    assert stream.getvalue() == "no runs\n"


def test_fields_are_on_a_line_each() -> None:
    out, stream = console(30)
    show_state(out, view(state={"text": "two\nlines of text that go on", "number": 1.5, "empty": None}))
    assert stream.getvalue().splitlines() == [
        "field   value",
        "text    two lines of text tha…",
        "number  1.5",
        "empty   null",
    ]


def test_problems_are_not_cut() -> None:
    out, stream = console(30)
    message = "a message that is longer than the line, and that matters to its end"
    show_problems(out, "g", [Problem("LOOM101", 'node "a"', message), Problem("LOOM107", "switch", "m", "warning")])
    assert stream.getvalue().splitlines()[1:] == [
        f'LOOM101  error     node "a"  {message}',
        "LOOM107  warning   switch    m",
    ]


def test_a_graph_without_problems_says_so() -> None:
    out, stream = console()
    show_problems(out, "g", [])
    assert stream.getvalue() == 'graph "g" has no problems\n'


def test_a_summary_has_status_reason_steps_and_what_was_spent() -> None:
    assert summary(view()).plain == "completed after 1 step"
    used = Usage(input_tokens=1204, output_tokens=310, cost_usd=None)
    assert summary(view("stopped", stop_reason="max_steps", steps=0, usage=used)).plain == (
        "stopped by max_steps after 0 steps, 1,204 tokens in, 310 out"
    )


def test_a_pipe_has_wide_lines() -> None:
    assert stdout().width == 160
