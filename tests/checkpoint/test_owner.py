"""Tests of telling dead owners from living ones."""

import subprocess
import sys

from loom.checkpoint.owner import is_surely_dead, this_process


def test_this_process_is_alive() -> None:
    assert not is_surely_dead(this_process())


def test_a_process_that_has_ended_is_dead() -> None:
    code = "from loom.checkpoint.owner import this_process; print(this_process())"
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert is_surely_dead(owner)


def test_a_number_that_was_given_to_a_later_process_is_dead() -> None:
    boot, namespace, pid, started = this_process().split(" ")
    assert is_surely_dead(f"{boot} {namespace} {pid} {int(started) - 1}")


def test_of_another_boot_or_namespace_nothing_is_known() -> None:
    boot, namespace, _, started = this_process().split(" ")
    assert not is_surely_dead(f"other {namespace} 999999999 {started}")
    assert not is_surely_dead(f"{boot} other 999999999 {started}")
