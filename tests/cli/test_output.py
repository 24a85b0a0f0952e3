import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from loom.cli.options import DEFAULT_STORE, Kind
from loom.cli.output import Output, hint, output
from loom.cli.view import RunView
from loom.types.events import Event
from loom.types.outline import Outline
from loom.types.usage import Usage


def view(**more: Any) -> RunView:
    fields: dict[str, Any] = {
        "run_id": "r1",
        "graph": "g",
        "status": "completed",
        "stop_reason": None,
        "asks": [],
        "error": None,
        "steps": 2,
        "usage": Usage(),
        "started_at": 1.0,
        "updated_at": 2.0,
        "state": {"text": "für"},
    }
    return RunView.model_validate(fields | more)


@pytest.mark.parametrize(
    ("seen", "store", "command"),
    [
        (view(), DEFAULT_STORE, "all of it: loom show r1"),
        (view(status="failed"), DEFAULT_STORE, "go on with: loom resume r1"),
        (view(status="cancelled"), Path("my runs.db"), "go on with: loom resume r1 --store 'my runs.db'"),
        (view(status="stopped", stop_reason="max_steps"), DEFAULT_STORE, "go on with: loom resume r1 --max-steps N"),
    ],
)
def test_the_hint_is_the_command_that_comes_next(seen: RunView, store: Path, command: str) -> None:
    assert hint(seen, store) == command


def test_people_read_the_state_on_stdout_and_the_rest_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with output("people") as out:
        out.end(view(), DEFAULT_STORE)
    assert capsys.readouterr() == (
        "field  value\ntext   für\n",
        "completed after 2 steps\nall of it: loom show r1\n",
    )


def test_the_end_of_a_failed_run_leaves_room_for_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    with output("people") as out:
        out.end(view(status="failed", error="e"), DEFAULT_STORE)
    assert capsys.readouterr() == ("", "failed after 2 steps\n")


@pytest.mark.parametrize("kind", ["json", "events"])
def test_what_is_printed_meanwhile_goes_to_stderr(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    with output(kind):
        sys.stdout.write("a graph prints\n")
    assert capsys.readouterr() == ("", "a graph prints\n")


def test_one_object_holds_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with output("json") as out:
        out.end(view(), DEFAULT_STORE)
    printed = capsys.readouterr().out
    assert "für" in printed
    assert json.loads(printed) == view().model_dump(mode="json")


def test_events_are_lines_written_as_they_come() -> None:
    stream = io.StringIO()
    out = Output("events", stream)
    with out.heard(Outline("g", (), ())) as hear:
        hear(Event(type="run.started", payload={"resumed": False}, run_id="r1", offset=1))
        assert Event.model_validate_json(stream.getvalue()).run_id == "r1"
    out.end(view(), DEFAULT_STORE)
    assert stream.getvalue().count("\n") == 1
    assert sys.stdout is not stream
