"""Tests of sessions: what is remembered, in which order, for how long, and where."""

import asyncio
import gc
import json
from pathlib import Path
from typing import Any

import pytest

from loom import (
    KnowledgeQuery,
    KnowledgeSource,
    RunContext,
    RunError,
    Runtime,
    SessionConfig,
    SqliteCheckpointer,
    tool,
)
from loom.config import MemoryBackend, MemoryConfig, RuntimeLimits
from loom.runtime.records import RunState
from loom.runtime.run import Run
from loom.testing import ScriptedModel, call
from loom.tools.tool import ToolSpec
from loom.types.models import ModelRequest
from tests.clock import Clock
from tests.programs import run_python
from tests.runtime.agents import Held, deploy, made, said, stored

pytestmark = pytest.mark.anyio
DEMO = SessionConfig(id="demo")

# Any, in this module: what a scripted model replies.


async def test_what_user_and_assistant_said_is_remembered_and_instructions_come_once() -> None:
    model = ScriptedModel(["one", "two", "three"])
    session = made(model, instructions="Be brief").session(DEMO)
    for prompt in ("first", "second", "third"):
        await session.run(prompt)
    assert said(model.requests[2])[1:] == [
        ("user", "first"),
        ("assistant", "one"),
        ("user", "second"),
        ("assistant", "two"),
        ("user", "third"),
    ]
    assert [role for role, _ in said(model.requests[2])].count("system") == 1


async def test_tool_calls_and_their_results_are_remembered_together() -> None:
    model = ScriptedModel([call("add", a=1, b=2), "3", "yes"])
    session = made(model).session(DEMO)
    await session.run("1 + 2?")
    await session.run("sure?")
    assert [message.role for message in model.requests[2].messages] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]


async def test_what_is_sent_and_stored_grows_by_a_turn_at_a_time(tmp_path: Path) -> None:
    model = ScriptedModel([f"reply {number:04}" for number in range(12)])
    runtime = stored(tmp_path / "loom.db")
    session = made(model, runtime).session(DEMO)
    stores: list[int] = []
    for number in range(12):
        result = await session.run(f"prompt {number:04}")
        journal = await SqliteCheckpointer(tmp_path / "loom.db").read(result.run_id)
        stores.append(sum(map(len, journal.records)))
    assert [len(request.messages) for request in model.requests] == [2 * number + 1 for number in range(12)]
    assert max(stores) - min(stores) < 50  # a run stores its own turns, not those before it


async def test_runs_outside_of_a_session_remember_nothing() -> None:
    model = ScriptedModel(["one", "two"])
    agent = made(model)
    await agent.run("first")
    await agent.run("second")
    assert said(model.requests[1]) == [("user", "second")]


async def test_an_agent_without_memory_remembers_nothing() -> None:
    for memory in (None, MemoryConfig(enabled=False)):
        model = ScriptedModel(["one", "two"])
        session = made(model, memory=memory).session(DEMO)
        await session.run("first")
        await session.run("second")
        assert said(model.requests[1]) == [("user", "second")]


async def test_what_was_put_aside_for_want_of_room_stays_aside_in_the_next_run() -> None:
    @tool(read_only=True)
    async def page(number: int) -> str:
        """Read a page."""
        return f"{number} " * 2000

    calls = [call("page", number=number) for number in range(4)]
    model = ScriptedModel([*calls, "read", "yes"])
    agent = made(model, tools=[page], limits=RuntimeLimits(max_context_tokens=4000))
    session = agent.session(DEMO)
    assert "context.compressed" in [event.type for event in (await session.run("Read four pages")).events]
    await session.run("sure?")
    before, after = model.requests[4].messages, model.requests[5].messages
    assert after[: len(before)] == before


async def test_a_failed_run_is_not_remembered() -> None:
    model = ScriptedModel([ValueError("no"), "two"])
    session = made(model).session(DEMO)
    with pytest.raises(Exception, match="no"):
        await session.run("first")
    await session.run("second")
    assert said(model.requests[1]) == [("user", "second")]


async def test_two_runs_of_a_session_go_one_after_the_other_in_the_order_they_were_begun() -> None:
    held = Held("one")
    model = ScriptedModel([held, "two", "three"])
    session = made(model).session(DEMO)
    runs = [session.start(prompt) for prompt in ("first", "second", "third")]
    await held.asked.wait()
    assert [run.state for run in runs] == [RunState.RUNNING, RunState.QUEUED, RunState.QUEUED]
    held.let_go.set()
    assert [(await run.wait()).output for run in runs] == ["one", "two", "three"]
    assert [text for _, text in said(model.requests[2])] == ["first", "one", "second", "two", "third"]


async def test_sessions_of_an_agent_run_beside_one_another() -> None:
    held = Held("late")
    agent = made(ScriptedModel([held, "soon"]))
    late = agent.session(SessionConfig(id="a")).start("x")
    await held.asked.wait()
    assert (await agent.session(SessionConfig(id="b")).run("y")).output == "soon"
    held.let_go.set()
    assert (await late.wait()).output == "late"


async def test_many_turns_in_one_moment_stay_in_order() -> None:
    model = ScriptedModel([str(number) for number in range(40)])
    agent = made(model, Runtime(clock=lambda: 5.0))
    for number in range(40):
        await agent.session(DEMO).run(f"p{number}")
    assert [text for role, text in said(model.requests[39]) if role == "assistant"] == [str(n) for n in range(39)]


async def test_a_known_id_is_the_same_session_with_metadata_merged() -> None:
    agent = made([])
    session = agent.session(SessionConfig(id="demo", metadata={"a": 1, "b": 1}))
    assert agent.session(SessionConfig(id="demo", metadata={"b": 2})) is session
    assert session.metadata == {"a": 1, "b": 2}


async def test_without_an_id_each_session_is_one_of_its_own() -> None:
    agent = made([])
    assert agent.session().id != agent.session(SessionConfig(metadata={"a": 1})).id


async def test_sessions_without_an_id_are_not_kept_for_ever() -> None:
    agent = made(ScriptedModel(["one"] * 5))
    for _ in range(5):
        await agent.session().run("x")
    gc.collect()
    assert sum(type(one).__name__ == "Session" for one in gc.get_objects()) < 5


@pytest.mark.parametrize("name", ["user:1", "a/b", "x@y.org", "ü", "100%"])
async def test_an_id_may_have_any_printable_characters(name: str) -> None:
    model = ScriptedModel(["one", "two"])
    agent = made(model)
    await agent.session(SessionConfig(id=name)).run("first")
    await agent.session(SessionConfig(id=name)).run("second")
    assert len(model.requests[1].messages) == 3


async def test_ids_that_begin_alike_are_different_sessions() -> None:
    model = ScriptedModel(["one", "two"])
    agent = made(model)
    await agent.session(SessionConfig(id="a")).run("first")
    await agent.session(SessionConfig(id="a:b")).run("second")
    assert said(model.requests[1]) == [("user", "second")]


async def test_namespaces_keep_agents_on_one_file_apart(tmp_path: Path) -> None:
    for namespace, name, count in [("a", "b", 1), ("a", "b", 3), ("x", "b", 1), (None, "a/b", 1)]:
        model = ScriptedModel(["ok"])
        memory = MemoryConfig(backend=MemoryBackend.sqlite(tmp_path / "m.db"), namespace=namespace)
        async with made(model, memory=memory) as agent:
            await agent.session(SessionConfig(id=name)).run("x")
        assert len(model.requests[0].messages) == count, (namespace, name)


async def test_closing_ends_what_is_at_work_and_what_waits() -> None:
    held = Held("never")
    session = made(ScriptedModel([held])).session(DEMO)
    runs = [session.start("first"), session.start("second")]
    await held.asked.wait()
    await session.close()
    assert [(await run.wait()).state for run in runs] == [RunState.CANCELLED, RunState.CANCELLED]
    with pytest.raises(RunError, match='session "demo" is closed'):
        session.start("third")


async def test_a_closed_session_is_followed_by_a_new_one_that_remembers() -> None:
    model = ScriptedModel(["one", "two"])
    agent = made(model)
    session = agent.session(DEMO)
    await session.run("first")
    await session.close()
    await session.close()
    again = agent.session(DEMO)
    assert again is not session
    await again.run("second")
    assert len(model.requests[1].messages) == 3


async def test_a_session_that_is_too_old_begins_anew() -> None:
    clock, model = Clock(), ScriptedModel(["one", "two", "three"])
    agent = made(model, Runtime(clock=clock), session_ttl_hours=1)
    session = agent.session(DEMO)
    await session.run("first")
    clock.now += 3600
    assert agent.session(DEMO) is session
    clock.now += 1
    assert agent.session(DEMO) is not session
    await agent.session(DEMO).run("second")
    assert said(model.requests[1]) == [("user", "second")]
    await agent.session(DEMO).run("third")
    assert [text for _, text in said(model.requests[2])] == ["second", "two", "third"]


CHAT = """
import asyncio, json
from loom import AgentConfig, Runtime, SessionConfig, SqliteCheckpointer, create_agent
from loom.config import MemoryBackend, MemoryConfig
from loom.testing import ScriptedModel

model = ScriptedModel(["reply to " + WHAT])
if WHERE == "backend":
    memory, runtime = MemoryConfig(backend=MemoryBackend.sqlite("m.db")), None
else:
    memory, runtime = MemoryConfig(), Runtime(checkpointer=SqliteCheckpointer("m.db"))
agent = create_agent(AgentConfig(model=model, memory=memory), runtime=runtime)
asyncio.run(agent.session(SessionConfig(id="demo")).run(WHAT))
print(json.dumps([message.text for message in model.requests[0].messages]))
"""


@pytest.mark.parametrize("where", ["backend", "checkpointer"])
async def test_a_session_outlives_its_process(where: str, tmp_path: Path) -> None:
    shown: list[list[str]] = []
    for prompt in ("first", "second"):
        code = f"WHERE, WHAT = {where!r}, {prompt!r}\n{CHAT}"
        shown.append(json.loads(run_python(code, tmp_path)))
    assert shown[1] == ["first", "reply to first", "second"]


async def test_a_session_goes_on_under_other_instructions(tmp_path: Path) -> None:
    model = ScriptedModel(["one", "two"])
    for instructions in ("Be brief", "Be long"):
        runtime = stored(tmp_path / "loom.db")
        await made(model, runtime, instructions=instructions).session(DEMO).run("x")
    assert [role for role, _ in said(model.requests[1])] == ["system", "user", "assistant", "user"]
    assert said(model.requests[1])[0] == ("system", "Be long")


async def test_knowledge_and_inputs_reach_the_model_and_are_remembered() -> None:
    model = ScriptedModel(["one", "two"])
    source = KnowledgeSource.inline("docs", ["Production deploys require approval."])
    agent = made(model, knowledge=[source])
    found = agent.resolve_knowledge(KnowledgeQuery(text="production deploys"))
    session = agent.session(DEMO)
    await session.run("summarize", context=RunContext(inputs={"tone": "dry"}, knowledge=found))
    assert "Production deploys require approval." in model.requests[0].messages[0].text
    assert '"tone": "dry"' in model.requests[0].messages[0].text
    await session.run("again")
    assert model.requests[1].messages[0] == model.requests[0].messages[0]


async def test_runs_are_found_again_by_id() -> None:
    session = made(["one"]).session(DEMO)
    run = session.start("x")
    assert session.get_run(run.run_id) is run
    assert session.get_run("other") is None
    assert session.list_runs() == [run]
    await run.wait()


async def test_leaving_a_stream_ends_the_run_and_the_next_does_not_wait() -> None:
    held = Held("never")
    session = made(ScriptedModel([held, "two"])).session(DEMO)
    stream = session.stream("first")
    async for _ in stream:
        break
    await stream.aclose()
    assert [run.state for run in session.list_runs()] == [RunState.CANCELLED]
    async with asyncio.timeout(5):
        assert (await session.run("second")).output == "two"


async def test_a_run_that_is_paused_goes_on_with_what_was_said_before_it() -> None:
    model = ScriptedModel(["one", call("deploy", env="prod"), "between", "done", "last"])
    agent = made(model)
    session = agent.session(DEMO)
    await session.run("first")
    paused = await session.start("second").wait()
    await session.run("third")
    await agent.resume(paused.run_id, {paused.asks[0].id: True})
    assert [text for _, text in said(model.requests[3])] == ["first", "one", "second", "", "deployed 1 to prod"]
    await session.run("fourth")
    order = ["first", "one", "second", "", "deployed 1 to prod", "done", "third", "between", "fourth"]
    assert [text for _, text in said(model.requests[4])] == order


@pytest.mark.parametrize("where", ["run", "start", "stream", "resume", "thread"])
async def test_a_run_inside_a_run_of_the_same_session_is_refused_by_name(where: str) -> None:
    refused = list[str]()

    async def again() -> None:
        session = agent.session(DEMO)
        try:
            match where:
                case "start":
                    session.start("b")
                case "stream":
                    await anext(session.stream("b"))
                case "resume":
                    await agent.resume(paused.run_id)
                case _:
                    await session.run("b")
        except RunError as error:
            refused.append(str(error))

    @tool(read_only=True, timeout_s=5)
    async def ask_self() -> str:
        """Ask the agent itself."""
        await again()
        return "asked"

    @tool(read_only=True, timeout_s=5)
    def ask_self_in_a_thread() -> str:
        """Ask the agent itself, in a thread."""
        asyncio.run(again())
        return "asked"

    tools = [ask_self, ask_self_in_a_thread, deploy]
    asking = call("ask_self_in_a_thread" if where == "thread" else "ask_self")
    agent = made([call("deploy", env="prod"), asking, "done", "later"], tools=tools)
    paused = await agent.session(DEMO).run("Deploy")
    async with asyncio.timeout(8):
        assert (await agent.session(DEMO).run("a")).output == "done"
        assert len(refused) == 1
        assert 'the turn of session "demo"' in refused[0]
        assert (await agent.session(DEMO).run("c")).output == "later"


async def test_a_task_that_outlives_the_run_it_was_begun_in_may_use_the_session() -> None:
    tasks, is_over = list[asyncio.Task[str]](), asyncio.Event()

    @tool(read_only=True)
    async def remind() -> str:
        """Say something once the run has ended."""

        async def later() -> str:
            await is_over.wait()
            return (await agent.session(DEMO).run("b")).output

        tasks.append(asyncio.create_task(later()))
        return "yes"

    agent = made([call("remind"), "done", "later"], tools=[remind])
    assert (await agent.session(DEMO).run("a")).output == "done"
    is_over.set()
    async with asyncio.timeout(5):
        assert await tasks[0] == "later"


async def test_a_run_of_another_session_inside_a_run_is_no_trouble() -> None:
    @tool(read_only=True)
    async def ask_other() -> str:
        """Ask the agent in another session."""
        return (await agent.session().run("b")).output

    agent = made([call("ask_other"), "inner", "outer"], tools=[ask_other])
    async with asyncio.timeout(5):
        assert (await agent.session(DEMO).run("a")).output == "outer"


def asking(request: ModelRequest) -> Any:
    """Use the tool where the run is told to; else answer."""
    return call("ask") if request.messages[-1].text == "start" else "answer"


@pytest.mark.parametrize("many", [2, 3])
async def test_sessions_that_ask_each_other_in_a_circle_do_not_wait_for_ever(many: int) -> None:
    at_work, refused = asyncio.Barrier(many), list[str]()

    def to_ask(other: int) -> ToolSpec[[], Any]:
        @tool(read_only=True)
        async def ask() -> str:
            """Ask the next session."""
            await at_work.wait()
            try:
                return (await sessions[other].run("?")).output
            except RunError as error:
                refused.append(str(error))
                return "nobody"

        return ask

    agents = [made([asking] * 4, tools=[to_ask((number + 1) % many)]) for number in range(many)]
    sessions = [agent.session(DEMO) for agent in agents]
    async with asyncio.timeout(5):
        results = await asyncio.gather(*(session.run("start") for session in sessions))
    assert [result.output for result in results] == ["answer"] * many
    assert len(refused) == 1
    assert 'the turn of session "demo", and each would wait for the other for ever' in refused[0]


async def test_a_run_that_is_begun_and_not_awaited_waits_for_one_that_asks_the_session_around_it() -> None:
    begun, is_asked_back, told = list[Run](), asyncio.Event(), list[str]()

    @tool(read_only=True)
    async def ask() -> str:
        """Begin a run of the other session, and go on."""
        begun.append(others.start("?"))
        await is_asked_back.wait()
        await asyncio.sleep(0.05)  # until that waits for this run
        return "begun"

    @tool(read_only=True, name="ask")
    async def ask_back() -> str:
        """Ask the first session."""
        is_asked_back.set()
        told.append((await ones.run("?")).output)
        return told[0]

    ones, others = [made([asking] * 4, tools=[one]).session(DEMO) for one in (ask, ask_back)]
    async with asyncio.timeout(5):
        results = await asyncio.gather(ones.run("start"), others.run("start"))
        assert [result.output for result in (*results, await begun[0].wait())] == ["answer"] * 3
    assert told == ["answer"]
