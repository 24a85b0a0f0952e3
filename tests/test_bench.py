"""Tests of the benchmarks: that they do what they time, not how long it takes."""

import sys
from pathlib import Path
from typing import cast

import pytest

from bench import __main__ as driver
from bench import environments
from bench.cold import installed
from bench.lap import Lap, one_lap
from bench.peers import floor, loom
from bench.pins import PEERS
from bench.report import cells, lacking, short, table
from bench.saved import conditions, load, record, results_of, save, suite_of
from bench.worker import Round, measure
from bench.workloads import WORKLOADS

PLAIN: Round = {
    "size": 300,
    "flush": False,
    "floor_s": 0.1,
    "peer_s": 0.3,
    "floor_bytes": None,
    "peer_bytes": None,
    "growth_mb": None,
    "remark": "",
}


def measured(**changes: object) -> Round:
    return cast("Round", {**PLAIN, **changes})


@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_workload_gives_its_result_in_loom_and_in_the_floor(workload: str) -> None:
    result = measure("loom", workload, small=True)
    assert result["size"] == WORKLOADS[workload].small
    assert result["floor_s"] > 0
    assert result["peer_s"] > 0
    assert (result["peer_bytes"] is not None) == (result["floor_bytes"] is not None) == (workload in {"W3", "W4", "W8"})
    assert WORKLOADS[workload].memory or result["growth_mb"] is None


@pytest.mark.parametrize(("flush", "durability", "synchronous"), [(False, "process", 1), (True, "power", 2)])
def test_the_floor_and_loom_flush_the_disk_alike(flush: bool, durability: str, synchronous: int) -> None:
    async def work(lap: Lap) -> None:
        records, store = floor.Records(lap), loom.store_of(lap)
        assert records.db.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert store.durability == durability
        records.db.close()
        await store.close()

    one_lap(work, 1, flush=flush)


@pytest.mark.parametrize("workload", ["W3", "W10"])
def test_a_flush_is_passed_on_to_each_lap(workload: str) -> None:
    assert measure("loom", workload, small=True, flush=True)["flush"]


def test_the_floor_and_loom_have_every_workload_and_the_others_say_what_they_lack() -> None:
    assert floor.WORK.keys() == loom.WORK.keys() == WORKLOADS.keys()
    for peer in PEERS.values():
        assert peer.lacks.keys() <= WORKLOADS.keys()


def test_the_clock_runs_from_the_last_start_to_the_first_stop_after_it() -> None:
    laps: list[Lap] = []

    async def work(lap: Lap) -> None:
        laps.append(lap)
        lap.stop()
        lap.start()
        lap.stop()
        stopped = lap.ended
        lap.stop()
        assert lap.ended == stopped

    done = one_lap(work, 1)
    assert laps == [done]
    assert 0 < done.seconds < 1
    assert not done.folder.exists()


def test_a_crash_leaves_what_stood_on_the_disk() -> None:
    async def work(lap: Lap) -> None:
        before = lap.folder / "a"
        before.write_text("1")
        lap.crash()
        before.write_text("22")
        assert (lap.folder / "a").read_text() == "1"
        lap.weigh()

    assert one_lap(work, 1).disk_bytes == 1


def test_an_installation_counts_what_is_required_too() -> None:
    size, count = installed("pydantic")
    assert size > 1_000_000
    assert count >= 4


def test_one_table_shows_ratios_the_fastest_first_and_whether_loom_meets_its_target() -> None:
    runs = [
        record("burr", "W1", measured(peer_s=1.8)),
        record("burr", "W1", measured(peer_s=2.2)),
        record("loom", "W1", measured(peer_s=0.25)),
        record("loom", "W4", measured(peer_s=0.4, size=500, floor_bytes=1_000_000, peer_bytes=2_200_000)),
        record("loom", "W6", measured(peer_s=0.4, size=2000, growth_mb=19.6)),
        record(
            "loom",
            "W8",
            measured(peer_s=0.13, size=1, floor_bytes=10**7, peer_bytes=2 * 10**7, remark="7 distributions"),
        ),
    ]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table(results_of(suite_of(runs))).splitlines()
    ]
    assert lines[2:] == [
        ["W1", "chain of 10 nodes, 300 runs", "loom", "2.50 (2.50-2.50)", "", "", "at most 3: met"],
        ["", "", "burr", "20.0 (18.0-22.0)", "", "", ""],
        ["W4", WORKLOADS["W4"].what, "loom", "4.00 (4.00-4.00)", "2.2 MB (2.20)", "", "at most 3, on disk 1.5: MISSED"],
        ["W6", WORKLOADS["W6"].what, "loom", "4.00 (4.00-4.00)", "", "+20 MB", "at most 4, +20 MB: met"],
        [
            "W8",
            WORKLOADS["W8"].what,
            "loom",
            "1.30 (1.30-1.30)",
            "20.0 MB (2.00), 7 distributions",
            "",
            "at most 1.4: met",
        ],
    ]


@pytest.mark.parametrize(
    ("workload", "changes"),
    [
        ("W1", {"peer_s": 0.31}),
        ("W4", {"size": 500, "floor_bytes": 100, "peer_bytes": 151}),
        ("W6", {"size": 2000, "growth_mb": 20.5}),
    ],
)
def test_a_target_is_missed_in_time_on_disk_or_in_memory(workload: str, changes: dict[str, object]) -> None:
    assert cells(workload, "loom", [measured(**changes)])[-1].endswith(": MISSED")


@pytest.mark.parametrize("changes", [{"size": 2}, {"flush": True}])
def test_no_target_is_for_another_size_or_for_flushed_commits(changes: dict[str, object]) -> None:
    assert cells("W1", "loom", [measured(**changes)])[-1] == ""


@pytest.mark.parametrize(
    ("number", "shown"), [(0.4567, "0.46"), (2.034, "2.03"), (9.996, "10.0"), (99.96, "100"), (4321, "4,321")]
)
def test_ratios_have_three_figures(number: float, shown: str) -> None:
    assert short(number) == shown


def test_what_a_peer_lacks_is_told_with_the_reason() -> None:
    assert lacking(["loom", "pydantic_graph"], ["W1", "W3", "W10"]) == (
        "- n/a W3, W10 of pydantic_graph: it has no persistence"
    )


def test_a_saved_result_shows_the_same_table_and_two_can_be_joined(tmp_path: Path) -> None:
    first, second = suite_of([record("loom", "W1", measured())]), suite_of([record("burr", "W1", measured(peer_s=1.8))])
    save(first, tmp_path / "first.json")
    save(second, tmp_path / "second.json")
    assert table(results_of(load([tmp_path / "first.json"]))) == table(results_of(first))
    joined = load([tmp_path / "first.json", tmp_path / "second.json"])
    assert results_of(joined) == {"W1": {"loom": [measured()], "burr": [measured(peer_s=1.8)]}}
    assert "CPUs" in conditions(joined)


def test_the_driver_shows_what_was_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(suite_of([record("burr", "W1", measured(peer_s=1.8))]), tmp_path / "saved.json")
    assert driver.main(["--show", str(tmp_path / "saved.json")]) == 0
    said = capsys.readouterr().out
    assert "apache-burr==" in said
    assert "| burr | 18.0 (18.0-18.0)" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--work", "W1,W99"], 'there is no workload "W99"'),
        (["--peers", "lom"], 'there is no peer "lom". Did you mean "loom"? Known: "burr"'),
        (["--rounds", "0"], "--rounds must be at least 1; got 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        driver.main(arguments)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


def test_a_round_runs_in_a_process_of_its_own() -> None:
    result = driver.one_round(Path(sys.executable), "loom", "W3", ["--small"])
    assert result["size"] == WORKLOADS["W3"].small
    assert result["peer_bytes"]


def test_a_round_that_fails_says_why() -> None:
    with pytest.raises(driver.RoundError, match="No module named 'pydantic_graph'"):
        driver.one_round(Path(sys.executable), "pydantic_graph", "W1", ["--small"])


@pytest.mark.slow
def test_the_driver_makes_an_environment_measures_saves_and_uses_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOOM_BENCH_ENVS", str(tmp_path / "envs"))
    saved = tmp_path / "new.json"
    assert driver.main(["--work", "W1,W8", "--rounds", "1", "--small", "--save", str(saved)]) == 0
    first = capsys.readouterr()
    assert "setting up" in first.err
    assert "| W1 " in first.out
    assert results_of(load([saved])).keys() == {"W1", "W8"}
    python = environments.ready("loom")
    assert python.is_relative_to(tmp_path)
    assert "setting up" not in capsys.readouterr().err
