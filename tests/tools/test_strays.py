"""Tests of finding what left its command's group."""

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from loom.tools.strays import children_of, kill, marked

SLEEP = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]


@contextmanager
def sleeping(env: dict[str, str]) -> Generator[psutil.Process]:
    """Start a process in a session of its own that sleeps."""
    with subprocess.Popen(SLEEP, env=os.environ | env, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield psutil.Process(process.pid)
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def is_over(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        for _ in range(500):
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.01)
        return False
    return True


def test_a_process_with_the_mark_is_killed_and_others_are_not() -> None:
    with sleeping(marked("one")) as one, sleeping(marked("two")) as two, sleeping({}) as other:
        kill([], "one")
        assert is_over(one)
        assert {two.status(), other.status()} <= {psutil.STATUS_SLEEPING, psutil.STATUS_RUNNING}


def test_a_command_inside_another_has_the_marks_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*marked("outer").popitem())
    with sleeping(marked("inner")) as inner, sleeping(marked("other")) as other:
        kill([], "inner")
        assert is_over(inner)
        kill([], "outer")
        assert is_over(other)


def test_the_children_of_a_running_process_are_found_and_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        f"import subprocess; inner = subprocess.Popen({SLEEP!r}, env={{}}, start_new_session=True)\n"
        f"open({str(pid)!r}, 'w').write(str(inner.pid)); inner.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as parent:
        while not pid.exists() or not pid.read_text():
            time.sleep(0.01)
        found = children_of(parent.pid)
        assert [process.pid for process in found] == [int(pid.read_text())]
        kill(found, "nothing has this mark")
        assert is_over(found[0])
    assert children_of(parent.pid) == []


def test_without_psutil_nothing_is_found() -> None:
    hidden = "import sys; sys.modules['psutil'] = None"
    code = f"{hidden}\nfrom loom.tools.strays import *; print(children_of(1), kill([], 'x'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] None\n"
