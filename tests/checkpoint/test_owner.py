"""Tests of telling dead owners from living ones."""

import shutil
import subprocess
import sys

import pytest

from loom.checkpoint.owner import is_surely_dead, this_process
from tests.programs import run_python


def test_this_process_is_alive() -> None:
    assert not is_surely_dead(this_process())


def test_a_process_that_has_ended_is_dead() -> None:
    code = "from loom.checkpoint.owner import this_process; print(this_process())"
    assert is_surely_dead(run_python(code))


def test_a_number_that_was_given_to_a_later_process_is_dead() -> None:
    boot, namespace, pid, started = this_process().split(" ")
    assert is_surely_dead(f"{boot} {namespace} {pid} {int(started) - 1}")


def test_of_another_boot_or_namespace_nothing_is_known() -> None:
    boot, namespace, _, started = this_process().split(" ")
    assert not is_surely_dead(f"other {namespace} 999999999 {started}")
    assert not is_surely_dead(f"{boot} other 999999999 {started}")


# In a process namespace of its own, where the numbers are ours to give: an ancestor names itself and ends, and a
# process that it has forked forks one that gets its number.
REUSED = """
import os, time
from pathlib import Path
from loom.checkpoint.owner import is_surely_dead, this_process

gone, told = os.pipe()
ancestor = os.fork()
if ancestor == 0:
    number = os.getpid()
    this_process()
    if os.fork():
        os._exit(0)
    os.read(gone, 1)
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
    if os.fork() == 0:
        print("alive" if os.getpid() == number and not is_surely_dead(this_process()) else "taken for dead", flush=True)
    os._exit(0)
os.waitpid(ancestor, 0)
time.sleep(0.05)  # so that starts differ
os.write(told, b".")
os.waitpid(-1, 0)
os.waitpid(-1, 0)
"""


def test_a_forked_process_that_gets_the_number_of_a_dead_ancestor_is_alive() -> None:
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root may make a process namespace")
    done = subprocess.run(
        [*apart, sys.executable, "-c", REUSED], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "alive\n"
