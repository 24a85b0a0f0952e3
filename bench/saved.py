"""Results as pyperf keeps them: its files can be compared by `python -m pyperf compare_to`.

A benchmark is a workload of a peer, a run is one process, and its value is the **ratio** of the peer's time to
the floor's. pyperf has no unit for that: it says "2.10 sec" for 2.1 seconds per second of the floor.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pyperf  # type: ignore[import-untyped]

from bench.worker import Round

Suite = Any  # pyperf has no types
Results = dict[str, dict[str, list[Round]]]
"""Workload -> peer -> rounds."""


def record(peer: str, workload: str, measured: Round) -> Suite:
    """Make a run of one round, with what is known of the machine at this moment."""
    known = {name: value for name, value in measured.items() if value not in (None, "")}
    labels = {"name": f"{workload} {peer}", "unit": "second", "flush": int(measured["flush"])}
    return pyperf.Run([measured["peer_s"] / measured["floor_s"]], metadata=known | labels)


def suite_of(runs: Iterable[Suite]) -> Suite:
    by_name: dict[str, list[Suite]] = {}
    for run in runs:
        by_name.setdefault(run.get_metadata()["name"], []).append(run)
    return pyperf.BenchmarkSuite([pyperf.Benchmark(of_one) for of_one in by_name.values()])


def save(suite: Suite, path: Path) -> None:
    suite.dump(str(path), compact=False, replace=True)


def load(paths: Iterable[Path]) -> Suite:
    """Read files as one suite."""
    suites: list[Suite] = [pyperf.BenchmarkSuite.load(str(path)) for path in paths]
    return suite_of(run for suite in suites for benchmark in suite for run in benchmark.get_runs())


def results_of(suite: Suite) -> Results:
    results: Results = {}
    for benchmark in suite:
        workload, _, peer = benchmark.get_name().partition(" ")
        rounds = [run.get_metadata() for run in benchmark.get_runs()]
        empty = {"floor_bytes": None, "peer_bytes": None, "growth_mb": None, "remark": ""}
        results.setdefault(workload, {})[peer] = [
            cast("Round", {name: (empty | known).get(name) for name in Round.__annotations__}) for known in rounds
        ]
    return results


def conditions(suite: Suite) -> str:
    """Say on what machine the suite was measured, and when."""
    known = [run.get_metadata() for benchmark in suite for run in benchmark.get_runs()]
    first = known[0]
    loads = [one["load_avg_1min"] for one in known if "load_avg_1min" in one]
    said = [f"Python {first['python_version'].split()[0]}", first["platform"], f"{first['cpu_count']} CPUs"]
    if loads:
        said.append(f"load {min(loads):.1f} to {max(loads):.1f}")
    return ", ".join([*said, first["date"][:10]])
