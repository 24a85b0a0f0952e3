"""What a command prints: for people, as one JSON object, or as events."""

import json
import shlex
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from loom.cli.exits import writing
from loom.cli.options import DEFAULT_STORE, Kind
from loom.cli.progress import Progress
from loom.cli.tables import show_state, stdout, summary
from loom.cli.view import RunView
from loom.types.events import Event
from loom.types.outline import Outline


class Output:
    """Where a command prints, and for whom."""

    def __init__(self, kind: Kind, stream: TextIO) -> None:
        self.kind = kind
        self._stream = stream

    @contextmanager
    def heard(self, outline: Outline) -> Generator[Callable[[Event], None], None, None]:
        """Give the function that tells a run's events while they happen: progress goes to stderr."""
        if self.kind == "events":
            yield self._write_event
            return
        with Progress(Console(stderr=True), outline).shown() as hear:
            yield hear

    # Any: JSON.
    def write(self, found: dict[str, Any]) -> None:
        """Print one JSON object."""
        self._write(json.dumps(found, ensure_ascii=False, indent=2))

    def end(self, view: RunView, store: Path) -> None:
        """Print how a run ended: the state to stdout, the rest to stderr."""
        if self.kind == "json":
            self.write(view.model_dump(mode="json"))
        elif self.kind == "people":
            said = Console(stderr=True)
            said.print(summary(view), soft_wrap=True, highlight=False)
            if view.status != "failed":  # then the error follows, and after it the hint
                said.print(Text(hint(view, store), style="dim"), soft_wrap=True, highlight=False)
                with writing():
                    show_state(stdout(), view)

    def _write_event(self, event: Event) -> None:
        self._write(event.model_dump_json())

    def _write(self, text: str) -> None:
        with writing():
            self._stream.write(f"{text}\n")
            self._stream.flush()


@contextmanager
def output(kind: Kind) -> Generator[Output, None, None]:
    """Open the output of a command. What graphs print goes to stderr where stdout is for a program."""
    real = sys.stdout
    with nullcontext() if kind == "people" else redirect_stdout(sys.stderr):
        yield Output(kind, real)


def hint(view: RunView, store: Path) -> str:
    """Return the command that comes next."""
    where = [] if store == DEFAULT_STORE else ["--store", str(store)]
    if view.status == "completed":
        return f"all of it: {shlex.join(['loom', 'show', view.run_id, *where])}"
    if view.asks:
        where += ["--answer", f"{view.asks[0].id}=VALUE"]
    more = " --max-steps N" if view.stop_reason == "max_steps" else ""
    return f"go on with: {shlex.join(['loom', 'resume', view.run_id, *where])}{more}"
