import json
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from syrupy.assertion import SnapshotAssertion

from loom.cli.find import prebuilt
from loom.errors import quoted
from tests.programs import run_python

if TYPE_CHECKING:
    from tests.cli.conftest import Loom

FIELDS = ("--input", "brief=b", "--input", "limit=3", "--input", "tags=[]")
OUTPUTS = ("json", "events")


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
    assert "error: run " in done.err


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
    assert done.out == ""
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
