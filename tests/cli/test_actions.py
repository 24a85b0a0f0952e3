import json
import subprocess
import sys
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Loom

CHUNKS: tuple[dict[str, Any], ...] = (
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello "}}]},
    {"choices": [{"index": 0, "delta": {"content": "yourself"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}},
)


class Greeter(BaseHTTPRequestHandler):
    """A server that speaks OpenAI's protocol and has one answer to everything."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        same = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": asked["model"]}
        for chunk in CHUNKS:
            self.wfile.write(f"data: {json.dumps(same | chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


@pytest.fixture
def server() -> Generator[str, None, None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Greeter) as provider:
        thread = Thread(target=provider.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{provider.server_port}/v1"
        provider.shutdown()
        thread.join()


FIELDS = ("--input", "brief=A haiku", "--input", "limit=3", "--input", 'tags=["a"]')


def test_a_run_prints_its_state_and_tells_its_steps_on_stderr(loom: "Loom") -> None:
    done = loom("run", "graphs.py:review", *FIELDS, "--run-id", "r1")
    assert done.code == 0
    assert [line.split("  ")[0].strip() for line in done.out.splitlines()] == [
        "field",
        "brief",
        "drafts",
        "score",
        "tags",
        "limit",
    ]
    assert 'run r1, graph "review"\n' in done.err
    assert "→ END when score >= 0.8" in done.err
    assert done.err.endswith("completed after 6 steps\nall of it: loom show r1\n")


def test_a_run_writes_nothing_but_its_store(loom: "Loom", folder: Path) -> None:
    before = {path.name for path in folder.iterdir()}
    loom("run", "graphs.py:review", *FIELDS)
    assert {path.name for path in folder.iterdir()} - before == {".loom"}
    assert [path.name for path in (folder / ".loom").iterdir()] == ["loom.db"]


def test_a_run_as_one_object(loom: "Loom") -> None:
    done = loom("run", "graphs.py:review", *FIELDS, "--run-id", "r1", "--json")
    found = done.json
    times = found.pop("started_at"), found.pop("updated_at")
    assert times[0] <= times[1]
    assert found == {
        "run_id": "r1",
        "graph": "review",
        "status": "completed",
        "stop_reason": None,
        "asks": [],
        "error": None,
        "steps": 6,
        "usage": {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "cost_usd": 0.0},
        "state": {
            "brief": "A haiku",
            "drafts": [f"A haiku, version {number}" for number in (1, 2, 3)],
            "score": pytest.approx(0.9),
            "tags": ["a"],
            "limit": 3,
        },
    }


def test_a_run_as_events(loom: "Loom") -> None:
    done = loom("run", "graphs.py:wide", "--events")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [event["offset"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["type"] == "run.started"
    assert events[-1]["type"] == "run.completed"
    assert done.err == "a node prints\n"


def test_what_a_node_prints_does_not_disturb_a_program(loom: "Loom") -> None:
    done = loom("run", "graphs.py:wide", "--json")
    assert done.json["state"]["words"] == ["unsteady", "left", "right", "right"]
    assert "a node prints" in done.err


def test_inputs_may_come_from_a_file_and_from_stdin(loom: "Loom", folder: Path) -> None:
    (folder / "in.json").write_text('{"brief": "file", "tags": [], "limit": null}')
    assert loom("run", "graphs.py:review", "--input", "@in.json", "--json").json["state"]["brief"] == "file"
    done = loom("run", "graphs.py:review", "--input", "@in.json", "--input", "-", "--json", stdin='{"brief": "stdin"}')
    assert done.json["state"]["brief"] == "stdin"


def test_a_failed_run_says_where_in_the_users_code_and_can_be_resumed(loom: "Loom", folder: Path) -> None:
    done = loom("run", "graphs.py:fragile", "--run-id", "r1")
    line = (folder / "graphs.py").read_text().splitlines().index('    return [{}["nothing"]]') + 1
    assert (done.code, done.out) == (3, "")
    assert done.err.endswith(
        "failed after 1 step\n"
        'error: run "r1", node "broken", step 2, attempt 1: KeyError: \'nothing\'\n'
        f"  raised at graphs.py, line {line}\n"
        "go on with: loom resume r1\n"
    )
    (folder / "repaired").touch()
    done = loom("resume", "r1")
    assert done.code == 0
    assert 'run r1, graph "fragile", resumed after step 1\n' in done.err
    assert "   2  broken" in done.err
    assert '["right", "repaired"]' in done.out


def test_a_failed_run_is_an_object_too(loom: "Loom") -> None:
    done = loom("run", "graphs.py:fragile", "--json")
    assert done.code == 3
    assert done.json["status"] == "failed"
    assert done.json["error"].endswith("KeyError: 'nothing'")


def test_a_run_stops_at_its_limit_and_goes_on_with_a_higher_one(loom: "Loom") -> None:
    done = loom("run", "graphs.py:review", *FIELDS, "--run-id", "r1", "--max-steps", "2")
    assert done.code == 4
    assert "stopped by max_steps after 2 steps\ngo on with: loom resume r1 --max-steps N\n" in done.err
    assert loom("resume", "r1").code == 4
    assert loom("resume", "r1", "--max-steps", "4", "--json").json["steps"] == 4
    assert loom("resume", "r1", "--max-steps", "99", "--json").json["status"] == "completed"


def test_of_a_completed_run_resume_gives_the_result_again(loom: "Loom") -> None:
    first = loom("run", "graphs.py:review", *FIELDS, "--run-id", "r1", "--json")
    again = loom("resume", "r1", "--json")
    assert (again.code, again.json) == (0, first.json)


def test_resume_tells_only_the_events_since_it_went_on(loom: "Loom") -> None:
    first = loom("run", "graphs.py:review", *FIELDS, "--run-id", "r1", "--max-steps", "1", "--events")
    second = loom("resume", "r1", "--max-steps", "2", "--events")
    third = loom("resume", "r1", "--max-steps", "3", "--events")
    events = [[json.loads(line) for line in done.out.splitlines()] for done in (first, second, third)]
    steps = [[event["seq"] for event in each if event["type"] == "step.finished"] for each in events]
    assert steps == [[1], [2], [3]]
    assert [each[-1]["type"] for each in events] == ["run.stopped"] * 3


def test_a_run_begun_in_python_is_resumed_with_its_graph(loom: "Loom", folder: Path) -> None:
    (folder / "begin.py").write_text(
        "from graphs import app\n"
        "from loom import Limits, Runtime, SqliteCheckpointer\n"
        'runtime = Runtime(checkpointer=SqliteCheckpointer(".loom/loom.db"), limits=Limits(max_steps=1))\n'
        'app.run_sync({"brief": "b", "tags": [], "limit": 1}, run_id="r1", runtime=runtime)\n'
    )
    subprocess.run([sys.executable, "begin.py"], cwd=folder, check=True)
    done = loom("resume", "r1")
    assert (done.code, done.err) == (
        2,
        'error: run "r1" was not started by "loom run"; name its graph with --graph\n',
    )
    assert loom("resume", "r1", "--graph", "graphs.py:app", "--json").json["status"] == "completed"


def test_a_run_goes_on_under_a_changed_graph_only_when_told_to(loom: "Loom", folder: Path) -> None:
    loom("run", "graphs.py:fragile", "--run-id", "r1")
    text = (folder / "graphs.py").read_text().replace('[{}["nothing"]]', '["mended"]')
    (folder / "graphs.py").write_text(text)
    done = loom("resume", "r1")
    assert done.code == 5
    assert done.err.startswith('error: run "r1" was begun with another form of graph "fragile" ("broken": body).')
    assert done.err.endswith("or go on with --on-change continue, and --rename old=new for nodes\n")
    done = loom("resume", "r1", "--on-change", "continue", "--json")
    assert done.json["state"]["words"] == ["right", "mended"]


def test_a_node_that_has_another_name_is_told_with_a_rename(loom: "Loom", folder: Path) -> None:
    loom("run", "graphs.py:asking", "--run-id", "r1")
    (ask,) = loom("show", "r1", "--json").json["asks"]
    text = (folder / "graphs.py").read_text()
    text = text.replace('asking.node("right"', 'asking.node("begin"').replace(
        '(START, "right", "ship"', '(START, "begin", "ship"'
    )
    (folder / "graphs.py").write_text(text)
    answer = ("resume", "r1", "--answer", f"{ask['id']}=true", "--json")
    assert loom(*answer).code == 5

    unknown = loom(*answer, "--rename", "rigth=begin")
    assert (unknown.code, unknown.err) == (
        2,
        'error: --rename rigth=begin: "rigth" is no node of the run. Did you mean "right"?\n',
    )
    gone = loom(*answer, "--rename", "right=")
    assert (gone.code, gone.err) == (2, 'error: --rename right=: "" is no node of the graph.\n')
    formless = loom(*answer, "--rename", "right")
    assert (formless.code, formless.err) == (2, 'error: --rename takes old=new; got "right"\n')

    done = loom(*answer, "--rename", "right=begin")
    assert (done.code, [ask["question"] for ask in done.json["asks"]]) == (4, ["Under which name?"])
    again = loom("resume", "r1", "--rename", "ship=begin")
    assert again.code == 2
    assert again.err.startswith('error: --rename: run "r1" was begun with this very form of graph "asking"')


def test_a_run_that_asks_is_paused_and_goes_on_with_answers(loom: "Loom") -> None:
    done = loom("run", "graphs.py:asking", "--run-id", "r1")
    (ask,) = loom("show", "r1", "--json").json["asks"]
    assert (ask["node"], ask["question"], ask["answer_type"]) == ("ship", "Ship it?", {"type": "boolean"})
    assert done.code == 4
    assert f"paused after 1 step\n  ship asks {ask['id']}: Ship it?\n" in done.err
    assert f"go on with: loom resume r1 --answer {ask['id']}=VALUE\n" in done.err

    refused = loom("resume", "r1", "--answer", f"{ask['id']}=perhaps")
    assert refused.code == 2
    assert "the answer must be of type boolean, got 'perhaps'" in refused.err
    done = loom("resume", "r1", "--answer", f"{ask['id']}=true", "--json")
    (ask,) = done.json["asks"]
    assert ask["question"] == "Under which name?"
    done = loom("resume", "r1", "--answer", f"{ask['id']}=5", "--json")
    assert (done.code, done.json["asks"], done.json["state"]["words"]) == (0, [], ["right", "5 shipped: True"])


def test_runs_are_listed_and_filtered(loom: "Loom") -> None:
    loom("run", "graphs.py:review", *FIELDS, "--run-id", "r1")
    loom("run", "graphs.py:fragile", "--run-id", "r2")
    listed = loom("runs").out.splitlines()
    assert [line.split()[:3] for line in listed] == [
        ["run", "graph", "status"],
        ["r2", "fragile", "failed"],
        ["r1", "review", "completed"],
    ]
    found = loom("runs", "--status", "failed", "--json").json
    assert [(one["run_id"], one["status"]) for one in found["runs"]] == [("r2", "failed")]


def test_show_has_the_steps_and_the_whole_state(loom: "Loom") -> None:
    brief = "A haiku " * 100
    loom("run", "graphs.py:review", *FIELDS, "--input", f"brief={brief}", "--run-id", "r1")
    done = loom("show", "r1")
    assert done.out.startswith('run r1, graph "review": completed after 6 steps\nstarted ')
    assert "\n   1  write    0.0" in done.out
    assert json.loads(done.out[done.out.index("\n{") :])["brief"] == brief
    found = loom("show", "r1", "--json").json
    assert [point["node"] for point in found["history"]] == ["START", *["write", "judge"] * 3]
    assert found["history"][-1]["next"] == []


def test_show_tells_why_a_run_failed_and_on_which_branch_a_step_was(loom: "Loom") -> None:
    loom("run", "graphs.py:fragile", "--run-id", "r1")
    assert "node \"broken\", step 2, attempt 1: KeyError: 'nothing'" in loom("show", "r1").out
    loom("run", "graphs.py:wide", "--run-id", "r2")
    steps = loom("show", "r2").out.splitlines()[3:]
    assert steps[0].split() == ["step", "node", "branch", "duration", "attempt", "writes"]
    assert steps[2].split() == ["1", "unsteady", steps[2].split()[2], "s", "3", '{"words":', '["unsteady"]}']


@pytest.mark.parametrize(
    ("name", "start"), [("x.svg", "<?xml"), ("x.dot", "digraph"), ("x.gv", "digraph"), ("x.mmd", "flowchart")]
)
def test_render_chooses_the_format_by_suffix(loom: "Loom", folder: Path, name: str, start: str) -> None:
    done = loom("render", "graphs.py:review", "-o", name)
    assert (done.code, done.out) == (0, f"{name}\n")
    assert (folder / name).read_text().startswith(start)


def test_render_writes_a_png_and_takes_a_format_for_any_suffix(loom: "Loom", folder: Path) -> None:
    loom("render", "graphs.py:review", "-o", "x.png")
    assert (folder / "x.png").read_bytes().startswith(b"\x89PNG")
    loom("render", "graphs.py:review", "-o", "x.txt", "--format", "dot")
    assert (folder / "x.txt").read_text().startswith("digraph")


def test_render_without_a_file_prints_mermaid_or_another_text(loom: "Loom") -> None:
    assert loom("render", "graphs.py:review").out.startswith("flowchart")
    assert loom("render", "graphs.py:review", "--format", "dot").out.startswith("digraph")


def test_render_and_check_need_no_model_named(loom: "Loom") -> None:
    assert "ask 2" in loom("render", "graphs.py:talk", "--set", "turns=2").out
    assert loom("check", "graphs.py:talk").out == 'graph "talk" has no problems\n'


def test_check_prints_every_problem_of_a_graph_declared_or_compiled(loom: "Loom", folder: Path) -> None:
    (folder / "compiled.py").write_text("from bad import graph\n\napp = graph.compile()\n")
    declared, compiled = loom("check", "bad.py"), loom("check", "compiled.py")
    assert declared.code == compiled.code == 1
    assert declared.out == compiled.out
    assert [line.split()[0] for line in declared.out.splitlines()] == ["code", "LOOM101", "LOOM201"]


def test_check_as_one_object(loom: "Loom") -> None:
    done = loom("check", "bad.py", "--json")
    assert done.code == 1
    assert (done.json["graph"], done.json["ok"]) == ("bad", False)
    assert done.json["problems"][0] == {
        "code": "LOOM101",
        "where": 'edge("judge")',
        "message": '"jugde" is no node; nodes are "judge". Did you mean "judge"?',
        "severity": "error",
    }
    assert loom("check", "graphs.py:app", "--json").json == {"graph": "review", "ok": True, "problems": []}


def test_a_warning_is_no_failure(loom: "Loom", folder: Path) -> None:
    text = (folder / "graphs.py").read_text().replace(', inputs=("limit", "tags"))', ")")
    (folder / "graphs.py").write_text(text)
    done = loom("check", "graphs.py:review")
    assert done.code == 0
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [["LOOM207", "warning"]] * 2


@pytest.mark.skipif(find_spec("litellm") is None, reason='needs litellm: pip install "loom-agent[agent]"')
@pytest.mark.slow
def test_the_model_of_the_command_line_is_asked(start: Callable[..., subprocess.Popen[str]], server: str) -> None:
    process = start("run", "graphs.py:talking", "--model", "local/tiny", "--api-base", server, "--run-id", "r1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == 'words  ["Hello yourself"]'
    assert "12 tokens in, 3 out  → END\n" in err
    assert "completed after 1 step, 12 tokens in, 3 out\n" in err


def test_what_a_model_says_is_heard_live_after_a_resume_too(loom: "Loom", server: str) -> None:
    options = ("--model", "local/tiny", "--api-base", server, "--set", "turns=2", "--max-steps", "1")
    assert loom("run", "graphs.py:talk", *options, "--run-id", "r1").code == 4
    resumed = loom("resume", "r1", "--max-steps", "2", "--events")
    events = [json.loads(line) for line in resumed.out.splitlines()]
    assert [event["payload"]["delta"] for event in events if event["type"] == "model.delta"] == ["Hello ", "yourself"]
    # What the first walk told is not told again.
    assert [event["type"] for event in events].count("run.started") == 1


def test_the_harness_is_told_which_files_its_checks_rely_on(loom: "Loom", folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "test_it.py").write_text("def test_it(): ...\n")
    options = ("--model", "openai/x", "--check", "tests pass=pytest -q", "--workspace", "out", "--max-steps", "0")
    found = loom("run", "harness", "--input", "brief=b", *options, "--json").json
    assert (found["status"], [*found["state"]["guarded"]]) == ("stopped", ["test_it.py"])


def test_the_store_is_where_the_option_says(loom: "Loom", folder: Path) -> None:
    done = loom("run", "graphs.py:review", *FIELDS, "--store", "other.db", "--run-id", "r1")
    assert "loom show r1 --store other.db" in done.err
    assert [run["run_id"] for run in loom("runs", "--store", "other.db", "--json").json["runs"]] == ["r1"]
    assert not (folder / ".loom").exists()
