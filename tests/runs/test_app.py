import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import pytest

from loom import (
    END,
    START,
    AnswerError,
    CheckpointError,
    ConfigError,
    Context,
    Graph,
    GraphChangedError,
    Limits,
    LoomError,
    MemoryCheckpointer,
    NodeError,
    RunExistsError,
    RunNotFoundError,
    Runtime,
    State,
    append,
    node,
)
from loom.runs.app import CompiledGraph
from loom.types.events import Event
from tests.core.letters import Diary, chain, failing, fan

pytestmark = pytest.mark.anyio


class Given(State):
    brief: str
    size: int = 0
    log: Annotated[list[str], append] = []


@node(writes="size")
async def measure(brief: str, log: list[str]) -> int:
    return len(brief)


def measuring(name: str = "measures") -> CompiledGraph[Given]:
    graph = Graph(name, Given)
    graph.node("measure", measure)
    graph.edge(START, "measure", END)
    return graph.compile()


# Running.


def test_a_run_from_code_that_is_not_async() -> None:
    result = measuring().run_sync({"brief": "abc"}, run_id="mine")
    assert (result.status, result.run_id, result.steps, result.state.size) == ("completed", "mine", 1, 3)
    assert (result.asks, result.stop_reason) == ((), None)
    assert result.duration_s > 0


async def test_run_sync_inside_a_loop_says_what_to_do() -> None:
    with pytest.raises(
        ConfigError, match='run_sync of graph "measures" was called where an event loop runs; use `await'
    ):
        measuring().run_sync({"brief": "abc"})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, 'graph "measures" needs the input "brief", which has no default'),
        ({"brief": "x", "sise": 1}, r'has no field "sise"; fields are .*did you mean "size"'),
        ({"brief": 3}, r'field "brief": got 3, expected str: Input should be a valid string'),
        ({"brief": "\ud800"}, 'field "brief": got .* expected str'),
        (["brief"], 'graph "measures" takes values by field'),
    ],
)
async def test_inputs_that_do_not_fit_are_told_and_begin_no_run(inputs: dict[str, object], message: str) -> None:
    app = measuring()
    with pytest.raises(ConfigError, match=f"(?i){message}"):
        await app.run(inputs, run_id="r")
    with pytest.raises(RunNotFoundError):
        await app.state("r")


async def test_a_run_id_that_is_taken_is_refused() -> None:
    app = measuring()
    await app.run({"brief": "abc"}, run_id="r")
    with pytest.raises(RunExistsError, match='run "r" exists already'):
        await app.run({"brief": "other"}, run_id="r")
    assert (await app.state("r")).brief == "abc"


async def test_runs_get_ids_of_their_own_that_sort_by_time() -> None:
    app = measuring()
    first = (await app.run({"brief": "a"})).run_id
    await asyncio.sleep(0.002)
    second = (await app.run({"brief": "b"})).run_id
    assert first < second


async def test_one_app_runs_many_runs_at_once() -> None:
    app = fan("abc")
    results = await asyncio.gather(*[app.run({"note": str(number)}) for number in range(20)])
    assert [result.state.note for result in results] == [str(number) for number in range(20)]
    assert len({result.run_id for result in results}) == 20


# The store that an app keeps itself.


async def test_without_a_store_the_last_hundred_finished_runs_are_kept_and_all_others() -> None:
    app = chain("a")
    stopped = await app.run(run_id="stopped", runtime=Runtime(limits=Limits(max_steps=0)))
    assert stopped.status == "stopped"
    for number in range(101):
        await app.run(run_id=str(number))
    with pytest.raises(RunNotFoundError):
        await app.state("0")
    assert (await app.state("1")).log == ["a"]
    assert (await app.resume("stopped")).status == "completed"


async def test_apps_do_not_share_the_stores_they_keep() -> None:
    await chain("a").run(run_id="r")
    with pytest.raises(RunNotFoundError, match='no run "r"'):
        await chain("a").resume("r")


# Looking into runs.


async def test_history_is_the_input_and_every_step() -> None:
    app = chain("ab")
    await app.run({"note": "x"}, run_id="r")
    points = await app.history("r")
    assert [(point.seq, point.node, dict(point.writes), point.next) for point in points] == [
        (0, "START", {"log": [], "note": "x"}, ("a",)),
        (1, "a", {"log": ["a"]}, ("b",)),
        (2, "b", {"log": ["b"]}, ()),
    ]
    assert all(point.duration_s >= 0 and point.at > 0 for point in points)


async def test_the_state_at_each_step() -> None:
    app = chain("abc")
    await app.run(run_id="r")
    assert [(await app.state("r", at=seq)).log for seq in range(4)] == [[], ["a"], ["a", "b"], ["a", "b", "c"]]
    assert (await app.state("r")).log == ["a", "b", "c"]


async def test_the_state_of_a_failed_run_is_its_latest() -> None:
    app = chain("ab", b=failing(ValueError()))
    with pytest.raises(NodeError):
        await app.run(run_id="r")
    assert (await app.state("r")).log == ["a"]


@pytest.mark.parametrize("at", [-1, 3, 100])
async def test_a_step_that_a_run_does_not_have_is_told_with_those_it_has(at: int) -> None:
    app = chain("ab")
    await app.run(run_id="r")
    with pytest.raises(CheckpointError, match=f'run "r" has no step {at}; expected 0 to 2'):
        await app.state("r", at=at)
    with pytest.raises(CheckpointError, match=f'run "r" has no step {at}; expected 0 to 2'):
        await app.fork("r", at=at)


async def test_the_view_of_one_branch_and_that_of_the_trunk() -> None:
    app = fan("abc")
    await app.run(run_id="r")
    assert (await app.state("r", at=1)).log == []
    assert (await app.state("r", at=1, branch="0")).log == ["a"]
    assert (await app.state("r", at=1, branch="1")).log == []


async def test_a_branch_that_is_not_there_is_an_error() -> None:
    app = fan("abc")
    await app.run(run_id="r")
    with pytest.raises(LoomError, match='"7"'):
        await app.state("r", at=1, branch="7")


async def test_a_run_that_is_not_there_is_told_by_every_question() -> None:
    app = chain("a")
    for question in (app.history("r"), app.state("r"), app.resume("r"), app.fork("r"), app.replay("r")):
        with pytest.raises(RunNotFoundError, match='no run "r"'):
            await question


async def test_a_run_of_another_graph_is_refused() -> None:
    runtime = Runtime(checkpointer=MemoryCheckpointer())
    await measuring().run({"brief": "x"}, run_id="r", runtime=runtime)
    with pytest.raises(GraphChangedError, match='run "r" belongs to graph "measures", not to "letters"'):
        await chain("a").resume("r", runtime=runtime)


# Forks and replays.


async def test_a_fork_begins_at_a_step_and_starts_on_resume() -> None:
    diary = Diary()
    app = chain("abc", c=diary.noting())
    await app.run(run_id="r")
    new_id = await app.fork("r", at=1, set={"log": ["set"], "note": "forked"})
    assert len(diary.begun) == 1
    result = await app.resume(new_id)
    assert (result.state.log, result.state.note) == (["set", "b", "c"], "forked")
    assert (await app.state("r")).log == ["a", "b", "c"]


async def test_a_replay_of_an_unchanged_graph_goes_the_same_way_and_runs_nothing() -> None:
    diary = Diary()
    app = chain("ab", a=diary.noting())
    await app.run(run_id="r")
    report = await app.replay("r")
    assert (report.same, report.differences, diary.begun) == (True, (), ["a"])


# Showing it.


def test_its_name_type_and_size_are_told() -> None:
    app = measuring()
    assert (app.name, app.state_type, repr(app)) == ("measures", Given, "<compiled graph measures, 1 nodes>")


def test_its_outline_names_nodes_and_edges_in_order() -> None:
    outline = fan("abc").outline()
    assert outline.name == "letters"
    assert [(one.name, one.effect, one.is_join) for one in outline.nodes] == [
        ("a", "pure", False),
        ("b", "pure", False),
        ("c", "pure", True),
    ]
    assert [(one.source, one.target, one.style) for one in outline.edges] == [
        ("START", "a", "fan_out"),
        ("START", "b", "fan_out"),
        ("a", "c", "edge"),
        ("b", "c", "edge"),
        ("c", "END", "edge"),
    ]


def test_equal_graphs_are_drawn_with_equal_bytes() -> None:
    for text in (chain("ab").draw("dot"), chain("ab").draw("mermaid")):
        assert "letters" in text
    assert chain("ab").draw() == chain("ab").draw("svg")
    assert chain("ab").draw("mermaid") == chain("ab").draw("mermaid") != chain("ac").draw("mermaid")
    assert chain("ab").draw("png").startswith(b"\x89PNG")


def test_a_format_that_is_not_known_is_told() -> None:
    with pytest.raises(ConfigError, match="gif"):
        chain("a").draw("gif")  # type: ignore[call-overload]  # a caller who checks no types


PROGRAM = """
from loom import END, START, Graph, State, node, merge
from typing import Annotated

class Sets(State):
    names: Annotated[set[str], merge] = {"b", "a", "c"}
    table: dict[str, int] = {"y": 1, "x": 2}

words = frozenset({"one", "two", "three"})

@node(writes="names")
async def work(table: dict[str, int]) -> set[str]:
    return {"p", "q", "r"} if "x" in {"x", "y", "z"} else words

graph = Graph("sets", Sets)
graph.node("work", work)
graph.edge(START, "work")
graph.switch("work", {"len(names) > 3": END}, otherwise="work")
print(graph.compile().fingerprint)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_a_fingerprint_is_the_same_in_every_process(program: Path) -> None:
    seen = {
        subprocess.run(
            [sys.executable, program], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("0", "77")
    }
    assert len(seen) == 1
    assert len(seen.pop().strip()) == 24


def test_a_fingerprint_tells_graphs_apart() -> None:
    apps = [chain("ab"), chain("ba"), chain("abc"), fan("abc")]
    assert len({measuring().fingerprint, *(app.fingerprint for app in apps)}) == 5
    assert chain("ab").fingerprint == chain("ab").fingerprint


# As a part of another graph.


@pytest.mark.parametrize(
    ("reads", "writes", "message"),
    [
        ({"brif": "x"}, {}, r'as_node\(reads=…\) of graph "measures" maps "brif", which is no field.*"brief"'),
        ({"brief": "x"}, {"sise": "y"}, r'as_node\(writes=…\) of graph "measures" maps "sise", which is no field'),
        (["brief"], {}, r'as_node of graph "measures": expected reads={"inner": "outer"}; got \[\'brief\'\]'),
        ({}, {}, r'as_node\(reads=…\) of graph "measures" leaves out "brief", which it must be given'),
    ],
)
def test_maps_of_an_inner_graph_that_do_not_fit_are_told(reads: Any, writes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        measuring().as_node(reads=reads, writes=writes)


async def test_an_inner_graph_starts_afresh_each_time_and_keeps_what_is_not_mapped() -> None:
    class Outer(State):
        title: str = "abcd"
        sizes: Annotated[list[int], append] = []
        last: int = 0

    @node(writes="sizes")
    async def keep(last: int, ctx: Context) -> list[int]:
        return [last]

    graph = Graph("outer", Outer)
    graph.node("inner", measuring().as_node(reads={"brief": "title"}, writes={"size": "last"}))
    graph.node("keep", keep)
    graph.edge(START, "inner", "keep")
    graph.switch("keep", {"len(sizes) == 2": END}, otherwise="inner")
    assert (await graph.compile().run()).state.sizes == [4, 4]


def test_an_error_of_run_sync_has_no_other_error_behind_it() -> None:
    with pytest.raises(ConfigError) as caught:
        measuring().run_sync({"brief": 3})
    assert caught.value.__context__ is None or not isinstance(caught.value.__context__, RuntimeError)


async def test_a_run_of_another_graph_with_the_same_nodes_is_refused_by_every_question() -> None:
    store = MemoryCheckpointer()
    runtime = Runtime(checkpointer=store)
    await measuring().run({"brief": "abc"}, run_id="r", runtime=runtime)
    other = measuring("other")
    wanted = 'run "r" belongs to graph "measures", not to "other"'

    async def told() -> list[Event]:
        return [event async for event in other.events("r", runtime=runtime)]

    for asked in (
        lambda: other.history("r", runtime=runtime),
        lambda: other.state("r", runtime=runtime),
        lambda: other.fork("r", runtime=runtime),
        lambda: other.resume("r", runtime=runtime),
        lambda: other.resume("r", on_change="continue", runtime=runtime),
        told,
    ):
        with pytest.raises(GraphChangedError, match=wanted):
            await asked()


@pytest.mark.parametrize("run_id", ["", 5, "\ud800", "a\nb"])
async def test_a_run_id_that_is_no_text_that_can_be_shown_is_refused(run_id: Any) -> None:
    with pytest.raises(ConfigError, match="run_id must be a text of printable characters, one at least; got"):
        await measuring().run({"brief": "a"}, run_id=run_id)


@pytest.mark.parametrize("run_id", [None, 5, ["r"]])
async def test_a_question_about_a_run_whose_id_is_no_text_is_refused(run_id: Any) -> None:
    app = measuring()

    async def told() -> list[Event]:
        return [event async for event in app.events(run_id)]

    for asked in (
        app.resume(run_id),
        app.history(run_id),
        app.state(run_id),
        app.fork(run_id),
        app.replay(run_id),
        app.told(run_id),
        told(),
    ):
        with pytest.raises(ConfigError, match="run_id must be a text, the id of a run that is saved; got"):
            await asked


@pytest.mark.parametrize("inputs", [b"", 0, [], "", [1]])
async def test_inputs_that_are_no_mapping_are_refused_empty_ones_too(inputs: Any) -> None:
    with pytest.raises(ConfigError, match="takes values by field"):
        await measuring().run(inputs)


async def test_settings_of_the_wrong_type_are_refused() -> None:
    app, wrong = measuring(), cast(Any, "x")
    await app.run({"brief": "a"}, run_id="r")
    for asked in (app.state("r", at=wrong), app.fork("r", at=wrong)):
        with pytest.raises(ConfigError, match="at must be the number of a step; got 'x'"):
            await asked
    with pytest.raises(ConfigError, match=r"events\(after=…\) must be an offset, a whole number; got 'x'"):
        await anext(app.events("r", after=wrong))
    with pytest.raises(ConfigError, match="branch must be the id of one, a text as"):
        await app.state("r", branch=cast(Any, ["0"]))
    with pytest.raises(ConfigError, match="runtime must be a Runtime; got 'x'"):
        await app.run({"brief": "a"}, runtime=wrong)
    with pytest.raises(ConfigError, match="runtime must be a Runtime; got 'x'"):
        app.start({"brief": "a"}, runtime=wrong)


@pytest.mark.parametrize("answers", [[], "", 0, [("ask", True)]])
async def test_answers_that_are_no_mapping_are_refused_empty_ones_too(answers: Any) -> None:
    app = measuring()
    await app.run({"brief": "a"}, run_id="r")
    with pytest.raises(AnswerError, match="answers are given by the id of their ask"):
        await app.resume("r", answers=answers)
