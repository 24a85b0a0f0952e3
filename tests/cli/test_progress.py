import asyncio
import io
from typing import Any

import pytest
from rich.console import Console

from loom.cli.progress import Progress
from loom.types.events import Event
from loom.types.outline import Outline, OutlineEdge, OutlineNode

pytestmark = pytest.mark.anyio

OUTLINE = Outline(
    "review",
    (OutlineNode("write", "node", "model"), OutlineNode("judge", "node", "pure")),
    (
        OutlineEdge("START", "write"),
        OutlineEdge("write", "judge"),
        OutlineEdge("judge", "END", "score >= 0.8", "switch"),
        OutlineEdge("judge", "stop", "score < 0", "switch"),
        OutlineEdge("judge", "stop", "score > 9", "switch"),
        OutlineEdge("judge", "write", "", "otherwise"),
    ),
)
USAGE = {"input_tokens": 1204, "output_tokens": 310, "cached_tokens": 0, "cost_usd": 0.0042}


def event(kind: str, seq: int = 0, **payload: Any) -> Event:
    return Event(type=kind, payload=payload, run_id="r1", seq=seq)


def finished(seq: int, node: str, **more: Any) -> Event:
    return event("step.finished", seq, **{"node": node, "branch": "", "attempt": 1, "duration_s": 0.25, **more})


STORY = [
    event("run.started", resumed=False),
    event("edge.taken", source="START", target="write", branch=""),
    event("step.started", node="write", branch=""),
    event("step.retried", node="write", branch="", attempt=1, error="OSError: no [b]luck[/b]\nat all"),
    event("model.delta", node="write", delta="A"),
    finished(1, "write", attempt=2, usage=USAGE),
    event("edge.taken", 1, source="write", target="judge", branch=""),
    event("step.started", 1, node="judge", branch=""),
    finished(2, "judge", duration_s=83.0),
    event("edge.taken", 2, source="judge", target="END", branch=""),
    event("run.completed", 2),
]


async def told(events: list[Event], *, terminal: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=90, force_terminal=terminal, color_system=None, legacy_windows=False)
    with Progress(console, OUTLINE).shown() as hear:
        for each in events:
            hear(each)
        await asyncio.sleep(0.3 if terminal else 0)  # a terminal is drawn anew 8 times a second
    return stream.getvalue()


async def test_a_run_is_told_line_by_line() -> None:
    assert (await told(STORY)).splitlines() == [
        'run r1, graph "review"',
        "      write  …",
        "      write  attempt 1 failed, trying again: OSError: no [b]luck[/b] at all",
        "   1  write      0.25 s  attempt 2  1,204 tokens in, 310 out, $0.0042  → judge",
        "      judge  …",
        "   2  judge  1 min 23 s  → END when score >= 0.8",
    ]


async def test_a_step_is_told_at_once_though_no_event_follows() -> None:
    stream = io.StringIO()
    with Progress(Console(file=stream, width=90), OUTLINE).shown() as hear:
        hear(finished(1, "write"))
        hear(event("edge.taken", 1, source="write", target="judge", branch=""))
        assert stream.getvalue() == ""
        await asyncio.sleep(0)
        assert stream.getvalue() == "   1  write      0.25 s  → judge\n"


async def test_branches_are_told_apart_and_a_fan_out_names_all_its_targets() -> None:
    events = [
        finished(1, "write"),
        event("edge.taken", 1, source="write", target="left", branch=""),
        event("edge.taken", 1, source="write", target="right", branch=""),
        finished(2, "judge", branch="1"),
    ]
    assert (await told(events)).splitlines() == [
        "   1  write      0.25 s  → left, right",
        "   2  judge  [1]      0.25 s",
    ]


async def test_a_condition_is_told_only_where_it_is_clear_which_one_held() -> None:
    events = [finished(1, "judge"), event("edge.taken", 1, source="judge", target="stop", branch="")]
    assert await told(events) == "   1  judge      0.25 s  → stop\n"
    events = [finished(1, "judge"), event("edge.taken", 1, source="judge", target="write", branch="")]
    assert await told(events) == "   1  judge      0.25 s  → write\n"


async def test_a_resumed_run_says_where_it_goes_on() -> None:
    assert await told([event("run.started", 3, resumed=True)]) == 'run r1, graph "review", resumed after step 3\n'


async def test_a_thread_that_is_left_behind_is_named() -> None:
    said = await told([event("run.cancelled", 1, abandoned=["write"])])
    assert said == "      write  left behind: its thread cannot be stopped\n"


async def test_what_nodes_emit_is_told_on_a_line() -> None:
    events = [event("check.finished", name="tests pass", passed=False, reason="1 failed\n" + "x" * 100, note="")]
    said = f"name: tests pass, passed: false, reason: 1 failed {'x' * 70}…"
    assert await told(events) == f"      check.finished  {said}\n"
    assert f"      check.finished  {said[:67]}…\n" in await told(events, terminal=True)


async def test_an_ask_is_told() -> None:
    assert await told([event("ask.opened", node="write", branch="", question="Ship it?")]) == (
        "      write  asks: Ship it?\n"
    )


async def test_a_terminal_shows_what_is_at_work_and_keeps_only_what_is_finished() -> None:
    drawn = await told(STORY[:3], terminal=True)
    assert "write" in drawn
    assert "⠋     write      0." in drawn
    drawn = await told(STORY, terminal=True)
    assert "   1  write      0.25 s  attempt 2" in drawn
    assert "write  …" not in drawn


async def test_a_terminal_shows_a_dozen_of_many_at_work() -> None:
    drawn = await told([event("step.started", node="write", branch=str(number)) for number in range(15)], terminal=True)
    assert "and 3 more at work" in drawn
