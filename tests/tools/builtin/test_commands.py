"""Tests of the tool that runs programs."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loom.errors import ConfigError, ToolError
from loom.tools.builtin import command_tool
from loom.tools.command import CommandLimits

pytestmark = pytest.mark.anyio


async def run(root: Path, *command: str, **settings: Any) -> str:
    made = command_tool(root, allow=["python", "echo", "pwd"], **settings)
    result = await made.call({"command": list(command)})
    assert isinstance(result, str)
    return result


async def test_an_allowed_program_runs_in_the_root(tmp_path: Path) -> None:
    folder = tmp_path.resolve()  # noqa: ASYNC240 - a test may wait for a disk
    assert await run(tmp_path, "pwd") == f"exit status 0\n{folder}\n"
    assert await run(tmp_path, "python", "-c", "print(1); raise SystemExit(3)") == "exit status 3\n1\n"


async def test_there_is_no_shell_in_it(tmp_path: Path) -> None:
    assert await run(tmp_path, "echo", "$HOME", "*", ";", "id", "&&", "`id`") == "exit status 0\n$HOME * ; id && `id`\n"


@pytest.mark.parametrize("command", [["ls"], ["./python"], [""], ["echo hi"], [sys.executable], ["ECHO"], ["echo\0"]])
async def test_another_program_is_refused(command: list[str], tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r'is not allowed; allowed are "echo", "pwd", "python"'):
        await run(tmp_path, *command)


async def test_a_program_in_the_workspace_does_not_take_anothers_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "echo").write_text("#!/bin/sh\necho taken over\n")
    (tmp_path / "echo").chmod(0o755)
    monkeypatch.setenv("PATH", f".:{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    assert await run(tmp_path, "echo", "mine") == "exit status 0\nmine\n"


async def test_keys_are_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "canary")
    assert "canary" not in await run(tmp_path, "python", "-c", "import os; print(os.environ)")


async def test_a_program_is_stopped_in_time(tmp_path: Path) -> None:
    code = "print('begun', flush=True); import time; time.sleep(60)"
    assert await run(tmp_path, "python", "-c", code, timeout_s=0.7) == "stopped after 0.7 s\nbegun\n"


async def test_of_much_output_the_end_is_returned(tmp_path: Path) -> None:
    output = await run(tmp_path, "python", "-c", "print('a' * 100_000 + 'end')")
    assert output.startswith("exit status 0 (the first 36004 bytes of output are left out)\naaa")
    assert output.endswith("aend\n")


async def test_limits_hold(tmp_path: Path) -> None:
    code = "import resource as r; print([r.getrlimit(k)[0] for k in (r.RLIMIT_CPU, r.RLIMIT_FSIZE, r.RLIMIT_CORE)])"
    assert await run(tmp_path, "python", "-c", code) == f"exit status 0\n[300, {1 << 30}, 0]\n"
    few, code = CommandLimits(file_bytes=1000), "f = open('f', 'w'); f.write('x' * 2000); f.flush()"
    assert "File too large" in await run(tmp_path, "python", "-c", code, limits=few)
    assert (tmp_path / "f").stat().st_size <= 1000


def test_a_tool_that_runs_programs_is_taken_to_be_destructive(tmp_path: Path) -> None:
    made = command_tool(tmp_path, allow=["echo"])
    assert made.name == "run_command"
    assert made.destructive
    assert made.requires_permission
    assert 'Allowed are "echo"' in made.description
    harmless = command_tool(tmp_path, allow=["echo"], destructive=False)
    assert not harmless.requires_permission
    assert not harmless.read_only


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"allow": "echo"}, 'must be a list of texts, as in \\["pytest", "git"\\]; got str: \'echo\''),
        ({"allow": []}, r"command_tool\(allow=…\) must be a list of texts"),
        ({"allow": [1]}, "must be a list of texts"),
        (
            {"allow": ["echo"], "timeout_s": "1"},
            r"command_tool\(timeout_s=…\) must be more than 0 seconds; got str: '1'",
        ),
        ({"allow": ["echo"], "timeout_s": 0}, "must be more than 0 seconds; got int: 0"),
        ({"allow": ["echo"], "timeout_s": -1.5}, "must be more than 0 seconds; got float: -1.5"),
        ({"allow": ["echo"], "limits": {"cpu_s": 1}}, r"command_tool\(limits=…\) must be CommandLimits; got dict"),
        ({"allow": ["echo"], "destructive": "no"}, "destructive must be True or False"),
        ({"allow": ["no-such-program"]}, 'names "no-such-program", but there is no such program'),
    ],
)
def test_what_cannot_be_run_is_told_when_the_tool_is_made(
    settings: Mapping[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        command_tool(tmp_path, **settings)
    with pytest.raises(ConfigError, match="must be a folder that exists"):
        command_tool(tmp_path / "nowhere", allow=["echo"])
