"""Tests of the node that begins a conversation anew."""

import pytest

from loom import AgentConfig, MemoryCheckpointer, Runtime, create_agent, tool
from loom.config import RuntimeConfig, RuntimeLimits
from loom.context.view import put_aside, ref_of
from loom.context.window import Edits, Window
from loom.errors import ContextOverflowError
from loom.nodes.observe import HISTORY
from loom.nodes.renew import Renew, RenewOut
from loom.testing import ScriptedModel, call, run_node
from loom.types.content import ImageBlock, TextBlock
from loom.types.events import Event
from loom.types.messages import Message, ToolCall
from loom.types.models import ModelRequest
from tests.nodes.test_compress import UNEDITED, letters, talk

pytestmark = pytest.mark.anyio
WINDOW = Window(max_tokens=1000)


async def renewed(
    messages: tuple[Message, ...], edits: Edits = UNEDITED, events: list[Event] | None = None, window: Window = WINDOW
) -> RenewOut:
    inputs = {"messages": messages, "edits": edits, "rho": 0.97}
    return await run_node(Renew(instructions="Be exact.", window=window), inputs, events=events)


async def test_a_handoff_stands_for_all_but_what_the_model_has_not_seen() -> None:
    messages, events = talk(2000, 1800, 400), list[Event]()
    out = await renewed(messages, events=events)
    assert out.edits.handoff
    view = out.edits.view((), messages)
    assert [message.role for message in view] == ["user", "assistant", "tool"]
    assert letters(view) == "c"
    assert view[0].text == out.edits.handoff.to_system_prompt()
    assert "- called read 3 times" in view[0].text
    assert out.rho == WINDOW.rho("Be exact.", view, ()) < 0.5
    (event,) = events
    assert (event.type, event.payload["sprint"]) == ("context.renewed", 1)
    assert event.payload["tokens_after"] == round(out.rho * 1000) < event.payload["tokens_before"]


async def test_the_goal_is_the_prompt_byte_by_byte() -> None:
    prompt = " Read\r\n\tall — of it.\n\n"
    out = await renewed((Message(role="user", content=prompt), *talk(4000)[1:]))
    assert out.edits.handoff
    assert out.edits.handoff.goal == prompt
    assert prompt in out.edits.view((), talk(4000))[0].text


async def test_of_what_the_model_has_not_seen_the_largest_is_put_aside_with_a_preview() -> None:
    messages, events = talk(40, (400, 8000)), list[Event]()
    out = await renewed(messages, events=events)
    view = out.edits.view((), messages)
    assert [message.role for message in view] == ["user", "assistant", "tool", "tool"]
    assert view[2].text == "b" * 400
    ((ref, whole),) = out.kept.items()
    assert whole == "c" * 8000
    note = f"[… 7000 of 8000 characters left out; the whole result is kept as {ref} …]"
    assert view[3].text == f"{'c' * 500}\n{note}\n{'c' * 500}"
    assert out.rho == WINDOW.rho("Be exact.", view, ()) < 1
    assert events[0].payload["refs"] == [ref]


@pytest.mark.parametrize(
    ("said", "sizes"),
    [
        (0, (2000,) * 4),
        (0, (1000,) * 8),
        (0, (150, 8000, 250, 3000, 40)),
        (0, (300,) * 20),  # there is room for references, not for previews
        (8000, (40, 150)),  # there is none for the turn: the handoff tells them
        (8000, (40, 3000, 8000)),
    ],
)
async def test_each_result_that_the_model_has_not_seen_is_shown_or_told_by_a_reference(
    said: int, sizes: tuple[int, ...]
) -> None:
    first, turn, *results = talk(sizes)
    messages = (first, turn.model_copy(update={"content": "x" * said}), *results)
    out = await renewed(messages)
    told = "\n".join(message.text for message in out.edits.view((), messages))
    aside = {ref_of(one.text): one.text for one in results if one.text not in told}
    assert out.kept == aside
    assert all(ref in told for ref in aside)
    assert all(one.text in told for one in results if len(one.text) <= 150)
    assert out.rho < 1


async def test_an_image_that_the_model_has_not_seen_goes_last() -> None:
    image = ImageBlock(source={"type": "url", "url": "https://example.org/a.png"})
    *rest, result = talk(8000)
    messages = (*rest, result.model_copy(update={"content": (TextBlock(text=result.text), image)}))
    views = [
        (await renewed(messages, window=Window(max_tokens=size))).edits.view((), messages) for size in (2000, 1000)
    ]
    kept, gone = (view[-1] for view in views)
    assert kept.content[0] == image
    assert "characters left out" in kept.text
    assert gone.text == put_aside(result, ref_of(result.text)).text


async def test_a_long_prompt_and_long_last_words_leave_room() -> None:
    said = Message(role="assistant", content="x" * 8000, tool_calls=(ToolCall(id="1", name="read"),))
    messages = (Message(role="user", content="y" * 3000), said, *talk(40)[2:])
    out = await renewed(messages)
    assert out.rho < 1
    assert "a" * 40 in out.edits.view((), messages)[0].text


async def test_last_words_that_fill_the_window_are_no_reason_to_give_up() -> None:
    said = Message(role="assistant", content="x" * 8000, tool_calls=(ToolCall(id="1", name="read"),))
    result = Message(role="tool", name="read", tool_call_id="1", content="short")
    out = await renewed((Message(role="user", content="Go on."), said, result))
    assert out.rho < 1
    assert out.edits.handoff
    assert "- last said: xxx" in out.edits.handoff.progress_summary
    assert "- the result of read, not seen yet: short" in out.edits.handoff.progress_summary


async def test_each_renewal_counts_and_tells_all_that_was_done() -> None:
    first = await renewed(talk(4000, 40))
    more = talk(4000, 40, 4000, 40)
    second = await renewed(more, first.edits)
    assert second.edits.handoff
    assert (second.edits.handoff.sprint, second.edits.since) == (2, 7)
    assert "called read 4 times" in second.edits.handoff.progress_summary


async def test_what_was_aside_and_is_not_shown_any_more_is_forgotten_by_the_view() -> None:
    out = await renewed(talk(4000, 4000, 40), Edits(cleared=((2, "out_1"),)))
    assert out.edits.cleared == ()


async def test_an_image_of_the_prompt_stays() -> None:
    image = ImageBlock(source={"type": "url", "url": "https://example.org/a.png"})
    messages = (Message(role="user", content=(TextBlock(text="Look."), image)), *talk(4000)[1:])
    out = await renewed(messages, window=Window(max_tokens=2000))
    assert out.edits.view((), messages)[0].content[0] == image


async def test_where_a_handoff_would_make_no_room_nothing_is_changed() -> None:
    messages, events = (Message(role="user", content="x" * 3900),), list[Event]()
    out = await renewed(messages, events=events)
    assert (out.edits, events) == (UNEDITED, [])
    assert 0.95 < out.rho < 1


async def test_earlier_runs_make_room() -> None:
    earlier = (Message(role="user", content="x" * 8000),)
    out = await run_node(Renew(window=WINDOW), {"messages": talk()}, resources={HISTORY: earlier})
    assert out.rho < 1
    assert len(out.edits.view(earlier, talk())) == 1


async def test_the_handoff_tells_of_earlier_runs_too() -> None:
    answer = Message(role="assistant", content="I read them.")
    earlier = (*talk(4000, 40), answer)
    out = await run_node(Renew(window=WINDOW), {"messages": talk()}, resources={HISTORY: earlier})
    assert out.edits.handoff
    said = "- asked before: Read all.\n- called read 2 times\n- last said: I read them."
    assert out.edits.handoff.progress_summary == said
    assert out.edits.handoff.context_snapshot["messages"] == 7


async def test_what_can_never_be_left_out_is_told_by_its_sizes() -> None:
    with pytest.raises(ContextOverflowError) as caught:
        await renewed((Message(role="user", content="x" * 8000),), window=Window(max_tokens=1000))
    told = str(caught.value)
    assert "the window holds 1000 tokens" in told
    assert "instructions 3, prompt and handoff 20" in told
    assert "tools 0, reserved for the reply 0" in told


async def test_a_call_whose_result_is_too_large_for_the_window_is_made_once() -> None:
    imported: list[str] = []
    rows = "imported row, quite ordinary\n" * 2000

    @tool
    def import_rows(table: str) -> str:
        """Import the rows of a table; tell each."""
        imported.append(table)
        return f"{table}: {rows}"

    def reply(request: ModelRequest) -> str | list[ToolCall]:
        seen = any("imported row" in message.text for message in request.messages)
        return "done" if seen else [call("import_rows", table="a"), call("import_rows", table="b")]

    model, runtime = ScriptedModel([reply] * 10), Runtime(checkpointer=MemoryCheckpointer())
    limits = RuntimeLimits(max_context_tokens=8000, max_iterations=10)
    config = AgentConfig(model=model, tools=[import_rows], runtime=RuntimeConfig(limits=limits))
    agent = create_agent(config, runtime=runtime)
    result = await agent.run("Import a and b")
    assert (result.output, imported) == ("done", ["a", "b"])
    (renewal,) = [event for event in result.events if event.type == "context.renewed"]
    assert renewal.payload["tokens_after"] < 8000
    previews = [message.text for message in model.requests[-1].messages if message.role == "tool"]
    assert [text[:15] for text in previews] == ["a: imported row", "b: imported row"]
    kept = (await agent.graph.state(result.run_id, runtime=runtime)).kept
    for table, text in zip("ab", previews, strict=True):
        (cut,) = [kept[ref] for ref in renewal.payload["refs"] if ref in text]
        assert cut.startswith(f"{table}: imported row")
        assert cut.endswith(text[-3000:])
        (whole,) = [kept[ref] for ref in kept if ref in cut]
        assert whole == f"{table}: {rows}"
