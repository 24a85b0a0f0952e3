"""Measure Loom, and other graph libraries beside it, against a floor of bare loops.

python -m bench                                     Loom alone
python -m bench --peers all                         all libraries; each gets an environment of its own
python -m bench --peers loom,burr --work W1,W3      some libraries, some workloads
python -m bench --save new.json                     keep the result
python -m bench --show new.json                     the table of a result, or of several
python -m pyperf compare_to old.json new.json       compare two results
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.environments import ROOT, ready
from bench.pins import AS_OF, PEERS
from bench.report import at_size, lacking, ratio, short, table
from bench.saved import Suite, conditions, load, record, results_of, save, suite_of
from bench.worker import Round
from bench.workloads import WORKLOADS
from loom.errors import did_you_mean, quoted

LIMIT_S = 600
QUIET = {"LANGSMITH_TRACING": "false", "BURR_TELEMETRY_ENABLED": "false", "DO_NOT_TRACK": "1"}
# Behind what is installed: the libraries, Loom among them, come from the environment.
START = f"import sys; sys.path.append({str(ROOT)!r}); from bench.worker import main; main(*sys.argv[1:])"


class RoundError(Exception):
    """A process measured nothing."""


def one_round(python: Path, peer: str, workload: str, options: Sequence[str]) -> Round:
    """Measure a workload in a process of its own. Raises RoundError with what the process said last."""
    command = [str(python), "-P", "-c", START, peer, workload, *options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, env=os.environ | QUIET, check=False
        )
    except subprocess.TimeoutExpired:
        raise RoundError(f"it took more than {LIMIT_S} s") from None
    if done.returncode != 0:
        raise RoundError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    measured: Round = json.loads(done.stdout.splitlines()[-1])
    return measured


def measure(peers: list[str], workloads: list[str], rounds: int, options: Sequence[str]) -> tuple[list[Suite], int]:
    """Return the runs, and how many failed. Peers take turns; what fails once is not tried again."""
    pythons = {peer: ready(peer) for peer in peers}
    runs: list[Suite] = []
    failed: set[tuple[str, str]] = set()
    for turn in range(rounds):
        for workload in workloads:
            for peer in peers if turn % 2 == 0 else reversed(peers):
                if workload in PEERS[peer].lacks or (workload, peer) in failed:
                    continue
                try:
                    measured = one_round(pythons[peer], peer, workload, options)
                except RoundError as error:
                    failed.add((workload, peer))
                    print(f"{workload} {peer}: failed: {error}", file=sys.stderr)
                else:
                    runs.append(record(peer, workload, measured))
                    print(f"round {turn + 1}  {workload} {peer}: {short(ratio(measured))}", file=sys.stderr)
    return runs, len(failed)


def named(wish: str, known: Iterable[str], what: str) -> list[str]:
    """Return the names of a list with commas, "all" for all. Raises ValueError for a name that there is not."""
    names = list(known) if wish == "all" else wish.split(",")
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ValueError(f'there is no {what} "{name}".{hint} Known: {quoted(known)}, or "all"')
    return names


def show(suite: Suite) -> None:
    results = results_of(suite)
    peers = [peer for peer in PEERS if any(peer in of_one for of_one in results.values())]
    print(conditions(suite))
    versions = dict.fromkeys(need for peer in peers for need in PEERS[peer].requires)
    if versions:
        print(f"Versions of {AS_OF}: {', '.join(versions)}")
    if not all(at_size(workload, rounds) for workload, of_one in results.items() for rounds in of_one.values()):
        print("Not all of full size, or with a flush for each commit: no targets for those")
    print(f"\n{table(results)}\n\n{lacking(peers, list(results))}".rstrip())


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every workload was measured, 1 if not; exit with 2 for options that make no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default="loom", help='names with commas, or "all" (loom)')
    parser.add_argument("--work", default="all", help='keys of workloads with commas, or "all" (all)')
    parser.add_argument("--rounds", type=int, default=5, help="processes for each workload and peer (5)")
    parser.add_argument("--small", action="store_true", help="the smallest sizes: does it work at all?")
    parser.add_argument("--flush", action="store_true", help="flush the disk on each commit, in the floor too")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the result, as pyperf does")
    parser.add_argument("--show", type=Path, metavar="FILE", nargs="+", help="measure nothing, show what was kept")
    wish = parser.parse_args(arguments)
    if wish.show:
        show(load(wish.show))
        return 0
    try:
        peers, workloads = named(wish.peers, PEERS, "peer"), named(wish.work, WORKLOADS, "workload")
    except ValueError as error:
        parser.error(str(error))
    if wish.rounds < 1:
        parser.error(f"--rounds must be at least 1; got {wish.rounds}")
    options = ["--small"] * wish.small + ["--flush"] * wish.flush
    runs, failures = measure(peers, workloads, wish.rounds, options)
    if runs:
        suite = suite_of(runs)
        show(suite)
        if wish.save:
            save(suite, wish.save)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
