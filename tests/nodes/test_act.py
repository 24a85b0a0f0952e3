"""Tests of the node that makes tool calls."""

import asyncio
import sys

import anyio
import pytest
from syrupy.assertion import SnapshotAssertion

from loom import END, START, Ask, Context, Graph, Limits, MemoryCheckpointer, Runtime, State, node
from loom.errors import ToolNotFoundError
from loom.nodes.act import Act, ActOut
from loom.testing import run_node
from loom.tools.door import Door
from loom.tools.tool import tool
from loom.types.decisions import Decision
from loom.types.events import Event
from loom.types.messages import ToolCall, ToolResult

pytestmark = pytest.mark.anyio
MADE: list[str] = []


@tool
async def echo(text: str) -> str:
    MADE.append(text)
    return text


@tool
def fail() -> str:
    raise RuntimeError("no paper")


@tool(requires_permission=True)
def pay() -> str:
    MADE.append("pay")
    return "paid"


@tool(max_output_chars=10)
def long() -> str:
    return "0123456789" * 10


@tool
def leave() -> str:
    sys.exit("bad usage")


@tool
async def give_up() -> str:
    inner = asyncio.create_task(anyio.sleep_forever())
    inner.cancel()
    await inner
    return ""


DOOR = Door([echo, fail, pay, long])


@pytest.fixture(autouse=True)
def _none_made() -> None:
    MADE.clear()


def wish(tool: str, number: int = 1, /, **arguments: object) -> ToolCall:
    return ToolCall(id=f"call_{number}", name=tool, arguments=arguments)


async def judged(*calls: ToolCall) -> tuple[Decision, ...]:
    return tuple([await DOOR.judge(call, run_id="test") for call in calls])


async def acted(*decisions: Decision, approved: tuple[str, ...] = (), events: list[Event] | None = None) -> ActOut:
    return await run_node(Act(), {"decisions": decisions, "approved": approved}, tools=DOOR, events=events)


async def test_every_call_has_a_result(node_snapshot: SnapshotAssertion) -> None:
    wishes = [wish("echo", 1, text="hello"), wish("ecko", 2), wish("fail", 3), wish("echo", 4, text=1), wish("pay", 5)]
    assert await acted(*await judged(*wishes)) == node_snapshot
    assert MADE == ["hello"]


async def test_a_call_that_ends_the_program_or_is_cancelled_by_itself_has_a_result_as_every_other() -> None:
    door = Door([echo, leave, give_up])
    wishes = (wish("leave"), wish("give_up"), wish("echo", text="a"))
    decisions = [await door.judge(each, run_id="test") for each in wishes]
    out = await run_node(Act(), {"decisions": decisions}, tools=door)
    assert [(result.is_error, result.text) for result in out.results] == [
        (True, 'tool "leave" failed: SystemExit: bad usage'),
        (True, 'tool "give_up" failed: CancelledError: '),
        (False, "a"),
    ]


async def test_two_calls_with_one_id_are_both_made() -> None:
    out = await acted(*await judged(wish("echo", text="a"), wish("echo", text="b")))
    assert [result.content for result in out.results] == ["a", "b"]
    assert MADE == ["a", "b"]


async def test_a_call_in_question_is_made_when_its_digest_was_approved() -> None:
    (decision,) = await judged(wish("pay"))
    assert (await acted(decision)).results[0].text == 'the call of tool "pay" needs a permission that nobody gave'
    assert (await acted(decision, approved=("another",))).results[0].is_error
    assert MADE == []
    assert (await acted(decision, approved=(decision.digest,))).results[0].text == "paid"
    assert MADE == ["pay"]


async def test_a_decision_that_was_changed_is_refused() -> None:
    (decision,) = await judged(wish("echo", text="a"))
    (question,) = await judged(wish("pay"))
    (denied,) = await judged(wish("echo", text=1))
    for changed in (
        decision.model_copy(update={"arguments": {"text": "b"}}),
        decision.model_copy(update={"digest": "0" * 64}),
        decision.model_copy(update={"tool": "fail"}),
        question.model_copy(update={"outcome": "allow"}),
        denied.model_copy(update={"outcome": "allow"}),
    ):
        assert (await acted(changed)).results[0].is_error
    assert MADE == []


async def test_a_decision_about_another_run_is_refused() -> None:
    other = await DOOR.judge(wish("echo", text="a"), run_id="other")
    assert "not the decision that was made" in (await acted(other)).results[0].text
    assert MADE == []


async def test_each_call_that_is_made_is_two_events() -> None:
    events: list[Event] = []
    await acted(*await judged(wish("echo", text="a"), wish("ecko"), wish("fail", 3)), events=events)
    assert [(event.type, event.payload["tool"], event.payload.get("is_error")) for event in events] == [
        ("tool.started", "echo", None),
        ("tool.finished", "echo", False),
        ("tool.started", "fail", None),
        ("tool.finished", "fail", True),
    ]
    assert events[0].payload["arguments"] == {"text": "a"}
    assert "no paper" in str(events[3].payload["content"])


async def test_the_whole_of_an_output_that_is_too_long_is_kept() -> None:
    out = await acted(*await judged(wish("long")))
    ((ref, whole),) = out.kept.items()
    assert whole == "0123456789" * 10
    assert ref in out.results[0].text


async def test_a_tool_that_is_gone_is_told_before_it_is_too_late() -> None:
    (decision,) = await judged(wish("echo", text="a"))
    with pytest.raises(ToolNotFoundError, match=r'"echo" was allowed, but now there are only "fail"; resume the run'):
        await run_node(Act(), {"decisions": [decision]}, tools={"fail": fail})


class Meeting:
    """Tools that tell when others are under way. One that is safe waits until `wanted` have come."""

    def __init__(self, wanted: int) -> None:
        self.present: set[str] = set()
        self.most = 0
        self.full = anyio.Event()
        self.wanted = wanted

    async def join(self, name: str) -> str:
        self.present.add(name)
        self.most = max(self.most, len(self.present))
        if self.most == self.wanted:
            self.full.set()
        with anyio.fail_after(5):
            await self.full.wait()
        self.present.remove(name)
        return name


async def test_calls_that_are_safe_beside_others_are_under_way_at_once_and_keep_their_order() -> None:
    meeting = Meeting(3)

    @tool(concurrency_safe=True, read_only=True)
    async def join(name: str) -> str:
        return await meeting.join(name)

    door = Door([join])
    decisions = [await door.judge(wish("join", name=name), run_id="test") for name in "cab"]
    out = await run_node(Act(), {"decisions": decisions}, tools=door)
    assert [result.text for result in out.results] == ["c", "a", "b"]
    assert meeting.most == 3


async def test_no_more_are_under_way_at_once_than_there_is_room() -> None:
    meeting = Meeting(2)

    @tool(concurrency_safe=True)
    async def join(name: str) -> str:
        return await meeting.join(name)

    door = Door([join])
    decisions = [await door.judge(wish("join", name=name), run_id="test") for name in "abcdef"]
    out = await run_node(Act(max_concurrency=2), {"decisions": decisions}, tools=door)
    assert [result.text for result in out.results] == list("abcdef")
    assert meeting.most == 2


async def test_a_call_that_is_not_safe_beside_others_has_the_place_for_itself() -> None:
    under_way: list[str] = []
    made: list[str] = []

    @tool(concurrency_safe=True)
    async def look(name: str) -> str:
        made.append(name)
        under_way.append(name)
        await anyio.sleep(0.01)
        under_way.remove(name)
        return name

    @tool
    async def change() -> str:
        made.append("change")
        before = list(under_way)
        await anyio.sleep(0.01)
        return f"{before} {under_way}"

    door = Door([look, change])
    wishes = [wish("look", name="a"), wish("look", name="b"), wish("change"), wish("look", name="c"), wish("change")]
    decisions = [await door.judge(one, run_id="test") for one in wishes]
    out = await run_node(Act(), {"decisions": decisions}, tools=door)
    assert [result.text for result in out.results] == ["a", "b", "[] []", "c", "[] []"]
    assert made == ["a", "b", "change", "c", "change"]


@tool
async def send(to: str, text: str = "") -> None:
    MADE.append(to)
    await anyio.sleep_forever()


async def doubted(call: ToolCall, secrets: tuple[str, ...] = ()) -> Ask:
    """Return what is asked after a run was cut off while its only call was under way, which is asked twice alike."""

    class Turn(State):
        call: ToolCall
        decisions: tuple[Decision, ...] = ()
        approved: tuple[str, ...] = ()
        results: tuple[ToolResult, ...] = ()
        kept: dict[str, str] = {}

    door = Door([send], secrets=secrets)

    @node(writes="decisions")
    async def judge(call: ToolCall, ctx: Context) -> tuple[Decision, ...]:
        return (await door.judge(call, run_id=ctx.run_id),)

    graph = Graph("turn", Turn)
    graph.node("judge", judge)
    graph.node("act", Act(), ungated="a test")
    graph.edge(START, "judge", "act", END)
    runtime = Runtime(tools=door, secrets=secrets, limits=Limits(grace_s=0), checkpointer=MemoryCheckpointer())
    app = graph.compile()
    run = app.start({"call": call}, run_id="r", runtime=runtime)
    async for event in run.events():
        if event.type == "tool.started":
            run.cancel()
    (ask,) = (await app.resume("r", runtime=runtime)).asks
    assert (await app.resume("r", runtime=runtime)).asks == (ask,)
    assert len(MADE) == 1
    return ask


async def test_who_is_asked_whether_a_call_happened_is_told_what_was_called_with_what() -> None:
    ask = await doubted(wish("send", to="ada@example.org", text="Hello \u201cAda\u201d"))
    assert ask.kind == "in_doubt"
    assert ask.question.startswith(
        'Did "0: send {"to":"ada@example.org","text":"Hello \u201cAda\u201d"}" of node "act" happen?'
    )


async def test_of_long_arguments_the_beginning_is_told() -> None:
    ask = await doubted(wish("send", to="ada@example.org", text="x" * 5000))
    assert '"text":"xxx' in ask.question
    assert "x…" in ask.question
    assert len(ask.question) < 320


async def test_no_secret_is_told_wherever_it_stands_in_the_arguments() -> None:
    secret = 'pass"word ' * 5
    for text in (secret, "x" * 150 + secret):
        MADE.clear()
        ask = await doubted(wish("send", to="ada", text=text), secrets=(secret,))
        assert "[redacted]" in ask.question
        assert "word" not in str(ask)
