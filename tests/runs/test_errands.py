"""Tests of effects whose process was killed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.runs.errands import Command, Errands, Kind, ledger, program

# Any, in this module: JSON.


@pytest.fixture(scope="module")
def running() -> "Iterator[subprocess.Popen[str]]":
    with program() as running:
        yield running


@pytest.fixture
def errands(running: "subprocess.Popen[str]", tmp_path: Path) -> Errands:
    return Errands(running, tmp_path)


def test_the_program_that_is_killed_is_the_one_that_is_resumed_here(errands: Errands, tmp_path: Path) -> None:
    process = errands.begin(Command("write", dies="after act0"))
    assert errands.end() is None
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert len(ledger(tmp_path)) == 1


def killed(errands: Errands, kind: Kind, dies: str) -> dict[str, Any]:
    """Have a process die at an effect; return what came of the run in a new one."""
    assert errands.do(Command(kind, dies=dies)) is None
    again = errands.do(Command(kind))
    assert again is not None
    return again


@pytest.mark.parametrize("dies", ["before act0", "after act0"])
def test_a_write_that_was_killed_pauses_with_an_ask(errands: Errands, tmp_path: Path, dies: str) -> None:
    paused = killed(errands, "write", dies)
    (ask,) = paused["asks"]
    assert (paused["status"], ask["kind"], ask["node"]) == ("paused", "in_doubt", "act0")
    assert len(ledger(tmp_path)) == (dies == "after act0")
    assert errands.do(Command("write")) == paused, "with the same id"


@pytest.mark.parametrize(
    ("answer", "first", "times"),
    [("retry", "act0 ", 2), ("skip", "skipped", 1), ({"result": "paid"}, "paid", 1), ("found", "found", 1)],
)
def test_a_killed_write_goes_on_as_it_is_answered(
    errands: Errands, tmp_path: Path, answer: Any, first: str, times: int
) -> None:
    paused = killed(errands, "write", "after act0")
    result = errands.do(Command("write", answers={paused["asks"][0]["id"]: answer}))
    assert result is not None
    assert result["status"] == "completed"
    assert result["log"][0].startswith(first)
    acts = [line for line in ledger(tmp_path) if line.startswith("act0")]
    assert (len(acts), len(set(acts))) == (times, 1)


@pytest.mark.parametrize("kind", ["idempotent", "read"])
@pytest.mark.parametrize("dies", ["before act0", "after act0"])
def test_what_may_be_repeated_is_done_again_with_its_key_after_a_kill(
    errands: Errands, tmp_path: Path, kind: Kind, dies: str
) -> None:
    result = killed(errands, kind, dies)
    assert result["status"] == "completed"
    acts = [line for line in ledger(tmp_path) if line.startswith("act0")]
    assert (len(acts), len(set(acts))) == (2 if dies == "after act0" else 1, 1)


def as_one_who_looked(asks: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Answer asks in doubt by what the ledger tells."""
    happened = {line.partition(" ")[0]: line for line in ledger(folder)}
    return {ask["id"]: {"result": happened[ask["node"]]} if ask["node"] in happened else "retry" for ask in asks}


@pytest.mark.slow
def test_no_effect_is_doubled_or_lost_over_random_kills(running: "subprocess.Popen[str]", tmp_path: Path) -> None:
    random, kills, runs = Random(20), 0, 0
    while kills < 20:
        runs += 1
        folder = tmp_path / str(runs)
        folder.mkdir()
        errands, longest_s = Errands(running, folder), 0.05
        answers, result = dict[str, Any](), dict[str, Any]()
        while result.get("status") != "completed":
            ended = errands.kill(Command("write", answers=answers, length=8), random.uniform(0, longest_s))
            result, kills, longest_s = ended or {}, kills + (ended is None), longest_s * 1.1
            answers = as_one_who_looked(result["asks"], folder) if result.get("asks") else answers
        acts = [line for line in ledger(folder) if line != "last"]
        assert [line.partition(" ")[0] for line in acts] == [f"act{number}" for number in range(8)]
        assert result["log"] == [*acts, "last"]
