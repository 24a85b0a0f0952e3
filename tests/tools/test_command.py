"""Tests of running commands."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from loom.errors import ConfigError, ToolExecutionError
from loom.tools.command import CommandLimits, CommandResult, clean_environment, run_command

pytestmark = pytest.mark.anyio


async def python(code: str, cwd: Path, *, timeout_s: float = 10, max_output_bytes: int = 64_000) -> CommandResult:
    command = [sys.executable, "-c", code]
    return await run_command(command, cwd=cwd, timeout_s=timeout_s, max_output_bytes=max_output_bytes)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def ended(pid: int) -> bool:
    with anyio.move_on_after(5):
        while is_running(pid):  # noqa: ASYNC110 - another process ends
            await anyio.sleep(0.01)
        return True
    return False


async def test_a_command_runs_in_its_folder(tmp_path: Path) -> None:
    folder = str(tmp_path.resolve())  # noqa: ASYNC240 - a test may wait for a disk
    result = await python("import os, sys; print(os.getcwd()); print('no', file=sys.stderr); sys.exit(3)", tmp_path)
    assert result.exit_status == 3
    assert not result.timed_out
    assert sorted(result.output.splitlines()) == sorted([folder, "no"])


async def test_there_is_no_shell(tmp_path: Path) -> None:
    result = await run_command(["echo", "$HOME", "*", ";", "ls", "`id`"], cwd=tmp_path, timeout_s=10)
    assert result.output == "$HOME * ; ls `id`\n"


async def test_a_command_reads_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"typed")
    os.close(writer)
    mine = os.dup(0)
    os.dup2(reader, 0)
    try:
        result = await python("import sys; print(repr(sys.stdin.read()))", tmp_path)
    finally:
        os.dup2(mine, 0)
        os.close(mine)
        os.close(reader)
    assert result.output == "''\n"


async def test_keys_are_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("LANG", "C.UTF-8")
    command = [sys.executable, "-c", "import os, json; print(sorted(os.environ))"]
    result = await run_command(command, cwd=tmp_path, timeout_s=10, env={"MINE": "1"})
    names = set(eval(result.output))
    assert {"LANG", "MINE", "PATH"} <= names
    assert not {"SOME_API_KEY", "PYTHONPATH"} & names


async def test_programs_beside_the_interpreter_come_first(tmp_path: Path) -> None:
    result = await run_command(["python", "-c", "import sys; print(sys.prefix)"], cwd=tmp_path, timeout_s=10)
    assert result.output.strip() == sys.prefix


async def test_the_last_output_is_kept(tmp_path: Path) -> None:
    result = await python("print('a' * 5000 + 'é', end='')", tmp_path, max_output_bytes=10)
    assert result.output == "a" * 8 + "é"
    assert result.cut_bytes == 5002 - 10


async def test_a_command_that_takes_too_long_is_stopped_with_its_whole_group(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; print('begun', flush=True)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pid', 'w').write(str(inner.pid)); time.sleep(60)"
    )
    began = time.monotonic()
    result = await python(code, tmp_path, timeout_s=0.7)
    assert time.monotonic() - began < 5
    assert result.timed_out
    assert result.exit_status is None
    assert result.output == "begun\n"
    assert await ended(int((tmp_path / "pid").read_text()))


async def test_what_a_command_leaves_running_ends_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(inner.pid)"
    )
    result = await python(code, tmp_path)
    assert result.exit_status == 0
    assert result.duration_s < 5
    assert await ended(int(result.output))


LEAVES = (
    "import subprocess, sys, time\n"
    "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
    "print(inner.pid, flush=True); time.sleep({})"
)


async def test_what_left_the_group_ends_with_a_command_that_takes_too_long(tmp_path: Path) -> None:
    result = await python(LEAVES.format(60), tmp_path, timeout_s=1)
    assert result.timed_out
    assert await ended(int(result.output))
    assert result.duration_s < 5


async def test_what_a_command_that_ended_by_itself_handed_on_goes_on(tmp_path: Path) -> None:
    # As git does, which cleans up in a session of its own and would leave its lock behind.
    result = await python(LEAVES.format(0), tmp_path)
    assert result.exit_status == 0
    handed_on = psutil.Process(int(result.output))
    try:
        assert handed_on.is_running()
        assert handed_on.status() != psutil.STATUS_ZOMBIE
    finally:
        handed_on.kill()


async def test_cancelling_stops_what_left_the_group(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = LEAVES.format(60).replace("print(inner.pid, flush=True)", "open('pid', 'w').write(str(inner.pid))")
    async with anyio.create_task_group() as group:
        group.start_soon(python, code, tmp_path)
        while not file.exists() or not file.read_text():  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert await ended(int(file.read_text()))


async def test_cancelling_stops_the_command(tmp_path: Path) -> None:
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    file = tmp_path / "pid"
    async with anyio.create_task_group() as group:
        group.start_soon(python, code, tmp_path)
        while not file.exists() or not file.read_text():  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert await ended(int(file.read_text()))


async def test_a_command_that_a_signal_ends_says_so(tmp_path: Path) -> None:
    result = await python("import os; os.kill(os.getpid(), 9)", tmp_path)
    assert result.exit_status == -signal.SIGKILL


@pytest.mark.parametrize("command", ["ls -l", [], ["ls", 1]])
async def test_a_command_is_a_list_of_texts(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a command is a list of texts"):
        await run_command(command, cwd=tmp_path, timeout_s=1)


async def test_a_program_or_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ToolExecutionError, match='command "no-such-program" cannot be started in'):
        await run_command(["no-such-program"], cwd=tmp_path, timeout_s=1)
    with pytest.raises(ToolExecutionError, match=r'command "ls" cannot be .*nowhere": there is no such folder'):
        await run_command(["ls"], cwd=tmp_path / "nowhere", timeout_s=1)
    with pytest.raises(ToolExecutionError, match="embedded null byte"):
        await run_command(["ls", "\0"], cwd=tmp_path, timeout_s=1)


async def limited(code: str, cwd: Path, **limits: int) -> CommandResult:
    return await run_command([sys.executable, "-c", code], cwd=cwd, timeout_s=20, limits=CommandLimits(**limits))


async def test_a_command_under_limits_is_still_itself(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getpid() == os.getpgrp(), sys.argv, os.getcwd()); sys.exit(3)"
    result = await run_command(
        [sys.executable, "-c", code, "$HOME", "a b"], cwd=tmp_path, timeout_s=20, limits=CommandLimits()
    )
    folder = str(tmp_path.resolve())  # noqa: ASYNC240 - a test may wait for a disk
    assert (result.exit_status, result.output) == (3, f"True ['-c', '$HOME', 'a b'] {folder}\n")


async def test_a_command_that_takes_too_much_of_the_processor_is_ended(tmp_path: Path) -> None:
    result = await limited("while True: pass", tmp_path, cpu_s=1)
    assert result.exit_status in {-signal.SIGXCPU, -signal.SIGKILL}
    assert 0.5 < result.duration_s < 10


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not hold processes to a limit of address space")
async def test_a_command_that_wants_too_much_memory_does_not_get_it(tmp_path: Path) -> None:
    result = await limited("bytearray(2 << 30)", tmp_path, memory_bytes=1 << 30)
    assert result.exit_status == 1
    assert "MemoryError" in result.output


async def test_limits_hold_for_what_a_command_starts(tmp_path: Path) -> None:
    inner = (
        "import resource; print(resource.getrlimit(resource.RLIMIT_NPROC), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    assert (await limited(code, tmp_path, processes=3000)).output == "(3000, 3000) (0, 0)\n"


async def test_a_program_that_is_not_there_is_told_in_the_output(tmp_path: Path) -> None:
    result = await run_command(["no-such-program"], cwd=tmp_path, timeout_s=20, limits=CommandLimits())
    assert result.exit_status == 1
    assert result.output == "no-such-program cannot be started: No such file or directory\n"


@pytest.mark.parametrize("limits", [{"cpu_s": 0}, {"memory_bytes": -1}, {"file_bytes": 1.5}, {"processes": True}])
def test_limits_are_whole_numbers(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"CommandLimits\\({next(iter(limits))}=…\\) must be a whole number"):
        CommandLimits(**limits)


def test_no_folder_of_the_path_is_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin::.:bin:/bin")
    assert clean_environment()["PATH"].split(":")[1:] == ["/usr/bin", "/bin"]
