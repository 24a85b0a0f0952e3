"""Real processes, killed and cancelled in the middle."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Loom

Start = Callable[..., subprocess.Popen[str]]
WAIT_S = 30.0


def until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a process does."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def steps_begun(folder: Path) -> list[str]:
    return (folder / "steps").read_text().split() if (folder / "steps").exists() else []


def begin_long(start: Start, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the run of 20 steps and return when some have been done."""
    process = start("run", "graphs.py:long", "--run-id", "r1", **environment)
    until(lambda: len(steps_begun(folder)) >= 4, process)
    return process


def test_a_killed_run_is_resumed_where_it_broke_off(start: Start, folder: Path, loom: "Loom") -> None:
    process = begin_long(start, folder)
    process.kill()
    process.communicate()
    begun = steps_begun(folder)
    assert len(begun) < 20

    # How it stands is what was saved last.
    assert loom("runs", "--json").json["runs"][0]["status"] == "running"
    resumed = start("resume", "r1", "--json")
    out, err = resumed.communicate(timeout=WAIT_S)
    assert resumed.returncode == 0, err
    assert json.loads(out)["state"]["words"] == [str(number) for number in range(20)]
    # Only the step that was at work is begun twice.
    assert len(steps_begun(folder)) <= 21


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_cleanly_and_says_how_to_go_on(
    start: Start, folder: Path, loom: "Loom", number: signal.Signals, code: int
) -> None:
    process = begin_long(start, folder)
    process.send_signal(number)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == code
    assert "Traceback" not in err
    last = err.splitlines()[-2:]
    assert last[0].startswith("cancelled after ")
    assert last[1] == "go on with: loom resume r1"
    assert loom("runs", "--json").json["runs"][0]["status"] == "cancelled"
    assert loom("resume", "r1", "--json").json["steps"] == 20


@pytest.mark.slow
def test_a_resumed_run_is_cancelled_in_the_same_way(start: Start, folder: Path, loom: "Loom") -> None:
    process = begin_long(start, folder)
    process.kill()
    process.communicate()
    count = len(steps_begun(folder))
    resumed = start("resume", "r1", "--json")
    until(lambda: len(steps_begun(folder)) >= count + 3, resumed)
    resumed.send_signal(signal.SIGINT)
    out, _ = resumed.communicate(timeout=WAIT_S)
    assert resumed.returncode == 130
    assert json.loads(out)["status"] == "cancelled"
    assert loom("resume", "r1", "--json").json["steps"] == 20


def test_a_second_signal_ends_the_process_at_once(start: Start, folder: Path, loom: "Loom") -> None:
    text = (
        (folder / "graphs.py")
        .read_text()
        .replace('@node(writes="words")\ndef sleep', '@node(writes="words", thread=False)\ndef sleep')
    )
    (folder / "graphs.py").write_text(text)
    process = start("run", "graphs.py:deaf", "--run-id", "r1")
    until((folder / "asleep").exists, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None  # a function that runs inline cannot be cancelled
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert loom("runs", "--json").json["runs"][0]["status"] == "running"


def test_a_thread_that_cannot_be_stopped_does_not_hold_the_process(start: Start, folder: Path) -> None:
    process = start("run", "graphs.py:deaf", "--run-id", "r1")
    until((folder / "asleep").exists, process)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert time.monotonic() - begun < 10
    assert "cancelled after 0 steps" in err


@pytest.mark.slow
def test_a_run_that_is_alive_elsewhere_is_left_alone(start: Start, folder: Path) -> None:
    first = begin_long(start, folder, STEP_S="0.2")
    second = start("resume", "r1")
    _, err = second.communicate(timeout=WAIT_S)
    assert second.returncode == 5
    assert err.startswith('error: run "r1" ')
    assert first.wait(WAIT_S) == 0
    assert len(steps_begun(folder)) == 20
