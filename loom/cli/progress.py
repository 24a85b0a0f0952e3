"""A run as it goes: a line for each finished step, and on a terminal what is at work below them."""

import asyncio
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from loom.cli.words import duration, one_line, spent
from loom.types.events import Event
from loom.types.outline import Outline

# Any, in this module: payloads of events.
Payload = dict[str, Any]

_NAME_WIDTH = 28
_AT_WORK = 12  # lines
_VALUE_WIDTH = 80
_ENGINE = ("run.", "step.", "model.", "ask.")  # told otherwise, or by the step they belong to


@dataclass(slots=True)
class _Step:
    """A finished step, held until its ways on are known."""

    seq: int
    payload: Payload
    ways: list[str] = field(default_factory=list[str])


class Progress:
    """Tells the events of one run on a console, which must be that of the asyncio loop's thread."""

    def __init__(self, console: Console, outline: Outline) -> None:
        self._console = console
        self._outline = outline
        self._width = min(max((len(node.name) for node in outline.nodes), default=0), _NAME_WIDTH)
        self._at_work: dict[tuple[str, str], tuple[Spinner, float]] = {}
        self._held: _Step | None = None

    @contextmanager
    def shown(self) -> Generator[Callable[[Event], None], None, None]:
        """Give the function that hears the events; on a terminal show what is at work meanwhile."""
        if not self._console.is_terminal:
            yield self._hear
            self._flush()
            return
        live = Live(
            console=self._console,
            get_renderable=self._working,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # what nodes print into a pipe stays there
        )
        with live:
            try:
                yield self._hear
            finally:
                self._flush()
                self._at_work.clear()

    def _hear(self, event: Event) -> None:
        if event.type == "edge.taken":
            if self._held:
                self._held.ways.append(self._way(event.payload))
            return
        self._flush()
        place = (event.payload.get("node", ""), event.payload.get("branch", ""))
        match event.type:
            case "run.started":
                self._begin(event)
            case "step.started":
                self._at_work[place] = (Spinner("dots", style="cyan"), time.monotonic())
                if not self._console.is_terminal:
                    self._line("", *place, Text("…"))
            case "step.finished":
                self._at_work.pop(place, None)
                self._held = _Step(event.seq, event.payload)
                # The edges of a step are told right after it, before the loop does anything else.
                asyncio.get_running_loop().call_soon(self._flush)
            case "step.retried":
                attempt, error = event.payload["attempt"], one_line(event.payload["error"])
                self._line("", *place, Text(f"attempt {attempt} failed, trying again: {error}", style="yellow"))
            case "ask.opened":
                self._at_work.pop(place, None)
                self._line("", *place, Text(f"asks: {one_line(event.payload['question'])}", style="yellow"))
            case "run.cancelled":
                for node in event.payload.get("abandoned", ()):
                    self._line("", node, "", Text("left behind: its thread cannot be stopped", style="yellow"))
            case kind if not kind.startswith(_ENGINE):
                self._emitted(event)
            case _:
                pass

    def _begin(self, event: Event) -> None:
        said = Text.assemble("run ", (event.run_id, "bold"), f', graph "{self._outline.name}"')
        if event.payload["resumed"]:
            said.append(f", resumed after step {event.seq}")
        self._print(said)

    def _emitted(self, event: Event) -> None:
        """Tell an event of a node, whatever it is about, on one line of a terminal."""
        told = {name: one_line(value, _VALUE_WIDTH) for name, value in event.payload.items() if value != ""}
        said = ", ".join(f"{name}: {value}" for name, value in told.items())
        line = Text.assemble(" " * 6, (event.type, "blue"), "  ", said)
        if self._console.is_terminal:
            line.truncate(self._console.width, overflow="ellipsis")
        self._print(line)

    def _flush(self) -> None:
        """Tell the step that is held."""
        if not (step := self._held):
            return
        self._held = None
        said = Text.assemble((duration(step.payload["duration_s"]).rjust(10), "cyan"))
        if step.payload["attempt"] > 1:
            said.append(f"  attempt {step.payload['attempt']}", style="yellow")
        if used := step.payload.get("usage"):
            tokens = spent(used["input_tokens"], used["output_tokens"], used["cost_usd"])
            said.append(f"  {tokens}", style="magenta")
        if step.ways:
            said.append("  → ", style="dim").append(", ".join(step.ways))
        self._line(str(step.seq), step.payload["node"], step.payload["branch"], said)

    def _line(self, seq: str, node: str, branch: str, said: Text) -> None:
        self._print(Text.assemble((seq.rjust(4), "dim"), "  ", self._name(node, branch), "  ", said))

    def _name(self, node: str, branch: str) -> Text:
        return Text.assemble((node.ljust(self._width), "bold"), (f"  [{branch}]" if branch else "", "dim"))

    def _way(self, payload: Payload) -> str:
        """Return a target, with its condition where only one edge leads there."""
        source, target = payload["source"], payload["target"]
        edges = [edge for edge in self._outline.edges if (edge.source, edge.target) == (source, target)]
        label = edges[0].label if len(edges) == 1 and edges[0].style == "switch" else ""
        return f"{target} when {label}" if label else target

    def _working(self) -> Group:
        lines: list[Spinner] = []
        now = time.monotonic()
        for (node, branch), (spinner, since) in list(self._at_work.items())[:_AT_WORK]:
            passed = Text(duration(now - since).rjust(10), style="dim")
            spinner.update(text=Text.assemble("    ", self._name(node, branch), "  ", passed))
            lines.append(spinner)
        more = len(self._at_work) - len(lines)
        return Group(*lines, *([Text(f"      and {more} more at work", style="dim")] if more else []))

    def _print(self, said: Text) -> None:
        self._console.print(said, soft_wrap=True, highlight=False)
