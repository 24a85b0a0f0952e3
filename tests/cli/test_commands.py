import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.cli.find import prebuilt
from loom.errors import quoted
from tests.programs import run_python

if TYPE_CHECKING:
    from tests.cli.conftest import Loom

FIELDS = ("--input", "brief=b", "--input", "limit=3", "--input", "tags=[]")
OUTPUTS = ("json", "events")
FULL = Path("/dev/full")


def test_the_version_is_printed(loom: "Loom") -> None:
    assert loom("--version").out == f"loom {version('loom-agent')}\n"


def test_help_lists_the_commands_and_the_exit_codes(loom: "Loom") -> None:
    said = loom("--help").out
    assert all(name in said for name in ("run", "resume", "runs", "show", "render", "check", "Exit codes"))
    assert loom().out.strip() == said.strip()


def test_help_loads_neither_the_engine_nor_a_client() -> None:
    code = "import json, sys\nimport loom.cli\nprint(json.dumps(list(sys.modules)))"
    loaded = run_python(code)
    heavy = {"pydantic", "anyio", "networkx", "litellm", "sqlite3", "graphviz", "jinja2"}
    assert not heavy & set(json.loads(loaded))


def test_running_a_graph_loads_no_client() -> None:
    code = "import json, sys\nimport loom.cli.actions\nprint(json.dumps(list(sys.modules)))"
    loaded = run_python(code)
    assert not {"networkx", "litellm", "graphviz", "jinja2"} & set(json.loads(loaded))


@pytest.mark.parametrize("command", ["run", "resume"])
def test_one_kind_of_output_at_a_time(loom: "Loom", command: str) -> None:
    done = loom(command, "graphs.py:review", "--json", "--events")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: --json prints one object and --events")


def test_debug_shows_the_traceback_as_well(loom: "Loom") -> None:
    done = loom("run", "graphs.py:fragile", "--debug")
    assert done.code == 3
    assert "Traceback (most recent call last):" in done.err
    assert 'return [{}["nothing"]]' in done.err
    assert done.err.count("KeyError: 'nothing'") == 2  # the cause has its own line
    assert done.err.count("go on with: ") == 1


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["people", "json"])
def test_a_run_whose_output_cannot_be_written_is_saved(loom: "Loom", folder: Path, more: tuple[str, ...]) -> None:
    done = into_full(folder, "run", "graphs.py:wide", "--run-id", "r1", *more)
    assert done.returncode == 6
    assert done.stderr.endswith(
        "error: cannot write to stdout: No space left on device\nthe run is saved; all of it: loom show r1\n"
    )
    assert "Traceback" not in done.stderr
    assert loom("show", "r1", "--json").json["status"] == "completed"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_run_whose_events_cannot_be_written_can_be_resumed(loom: "Loom", folder: Path) -> None:
    done = into_full(folder, "run", "graphs.py:long", "--run-id", "r1", "--events")
    assert (done.returncode, done.stderr) == (
        6,
        "error: cannot write to stdout: No space left on device\nthe run is saved; go on with: loom resume r1\n",
    )
    assert loom("resume", "r1").code == 0


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_failed_run_whose_output_cannot_be_written_has_failed(folder: Path) -> None:
    done = into_full(folder, "run", "graphs.py:fragile", "--run-id", "r1", "--json")
    assert done.returncode == 3
    assert done.stderr.endswith("\ncannot write to stdout: No space left on device\ngo on with: loom resume r1\n")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [
        ("runs",),
        ("runs", "--json"),
        ("show", "r1"),
        ("check", "graphs.py:wide"),
        ("render", "graphs.py:wide"),
        ("--version",),
        ("--help",),
        ("run", "--help"),
        (),
    ],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_one_clear_message(
    loom: "Loom", folder: Path, arguments: tuple[str, ...]
) -> None:
    loom("run", "graphs.py:wide", "--run-id", "r1")
    done = into_full(folder, *arguments)
    assert (done.returncode, done.stderr) == (6, "error: cannot write to stdout: No space left on device\n")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_what_a_graph_printed_and_cannot_be_written_is_told_at_the_end(folder: Path) -> None:
    (folder / "loud.py").write_text("print('loud')\nfrom graphs import review\n")
    done = into_full(folder, "render", "loud.py:review", "-o", "x.mmd", "--debug")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        6,
        "error: cannot write to stdout: No space left on device",
    )


def test_a_reader_that_goes_away_ends_the_command_without_a_word(folder: Path) -> None:
    for arguments in (("--version",), ("--help",), ("check", "graphs.py:wide"), ("check", "graphs.py:wide", "--json")):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as gone:
            done = run_loom(folder, gone, *arguments)
        assert (done.returncode, done.stderr) == (1, "")


def into_full(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose stdout is a disk without space."""
    with FULL.open("w") as full:
        return run_loom(folder, full, *arguments)


def run_loom(folder: Path, stdout: TextIO, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "loom", *arguments]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=folder, env=environ, timeout=60, check=False
    )


MISTAKES = {
    "no file": ("run", "nope.py:x"),
    "no module": ("run", "nope"),
    "nothing that could be a module": ("run", "not a name"),
    "several graphs": ("run", "graphs.py"),
    "a wrong name": ("run", "graphs.py:revew"),
    "no graph": ("run", "graphs.py:Review"),
    "no input": ("run", "graphs.py:review"),
    "no value": ("run", "graphs.py:review", "--input", "brief"),
    "an unknown field": ("run", "graphs.py:review", "--input", "brif=1"),
    "a wrong type": ("run", "graphs.py:review", *FIELDS, "--input", "limit=x"),
    "no input file": ("run", "graphs.py:review", "--input", "@nope.json"),
    "an input file that is no JSON": ("run", "graphs.py:review", "--input", "@graphs.py"),
    "a check that nothing runs": ("run", "graphs.py:review", *FIELDS, "--check", "a=b"),
    "a check without a command": ("run", "graphs.py:talk", "--check", "tests pass"),
    "a check without its command": ("run", "graphs.py:talk", "--check", "tests pass= "),
    "a check with an open quote": ("run", "graphs.py:talk", "--check", "tests=echo 'a"),
    "a workspace that nothing writes to": ("run", "graphs.py:talk", "--model", "openai/x", "--workspace", "w"),
    "a setting there is not": ("run", "graphs.py:talk", "--model", "openai/x", "--set", "turn=2"),
    "a setting of a wrong type": ("run", "graphs.py:talk", "--model", "openai/x", "--set", "turns=two"),
    "no model": ("run", "graphs.py:talk"),
    "a model that nothing asks": ("run", "graphs.py:review", *FIELDS, "--model", "openai/x"),
    "a model without a provider": ("run", "graphs.py:talking", "--model", "gpt"),
    "a server without a model": ("run", "graphs.py:talking", "--api-base", "http://127.0.0.1"),
    "problems of the graph": ("run", "bad.py"),
    "a store that is none": ("run", "graphs.py:review", *FIELDS, "--store", "graphs.py", "--run-id", "r1"),
    "no file of a graph as data": ("run", "nope.yaml"),
    "an unknown provider": ("run", "graphs.py:talk", "--model", "nope/foo"),
    "a local model without its server": ("run", "graphs.py:talk", "--model", "local/x"),
    "a server that is no address": ("run", "graphs.py:talk", "--model", "openai/x", "--api-base", "notaurl"),
    "a model set apart of an unknown provider": (
        *("run", "graphs.py:talk", "--model", "openai/x"),
        *("--set", 'judge={"provider": "nope", "name": "x"}'),
    ),
    "a run id without a character": ("run", "graphs.py:review", *FIELDS, "--run-id", ""),
    "no store": ("runs",),
    "no store to resume from": ("resume", "r1"),
    "no store to show from": ("show", "r1"),
    "a picture of problems": ("render", "bad.py", "-o", "x.svg"),
    "a suffix without a format": ("render", "graphs.py:review", "-o", "x.pdf"),
    "a folder that is not there": ("render", "graphs.py:review", "-o", "nope/x.svg"),
    "a PNG as text": ("render", "graphs.py:review", "--format", "png"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_message(loom: "Loom", snapshot: SnapshotAssertion, mistake: str) -> None:
    done = loom(*MISTAKES[mistake])
    assert (done.out, Path(".loom").exists()) == ("", False)
    said = done.err.replace(quoted(prebuilt()), "PREBUILT")
    assert f"exit code {done.code}\n{said}" == snapshot


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "graphs.py:review", *FIELDS, "--run-id", "r1"),
        ("resume", "r2"),
        ("resume", "r1", "--graph", "graphs.py:wide"),
        ("show", "r2"),
    ],
    ids=["taken", "not found", "of another graph", "not there to show"],
)
def test_a_mistake_about_a_run_is_one_clear_message(
    loom: "Loom", snapshot: SnapshotAssertion, arguments: tuple[str, ...]
) -> None:
    loom("run", "graphs.py:review", *FIELDS, "--run-id", "r1")
    done = loom(*arguments)
    assert done.out == ""
    assert f"exit code {done.code}\n{done.err}" == snapshot
