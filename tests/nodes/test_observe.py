"""Tests of the node that takes in what has arrived."""

from contextlib import nullcontext

import pytest
from syrupy.assertion import SnapshotAssertion

from loom import ConfigError, RunError
from loom.context.view import tokens_in
from loom.context.window import Window
from loom.nodes.observe import HISTORY, MAX_TURNS, Observe
from loom.testing import run_node
from loom.tools.tool import tool
from loom.types.content import ImageBlock, TextBlock
from loom.types.messages import Message, ToolCall, ToolResult

pytestmark = pytest.mark.anyio
WINDOW = Window(max_tokens=1000)
TURN = {
    "prompt": "?",
    "messages": [Message(role="user", content="?"), Message(role="assistant", content="Let me see.")],
    "calls": [ToolCall(id="b", name="two"), ToolCall(id="a", name="one")],
    "results": [ToolResult(tool_call_id="b", content="2"), ToolResult(tool_call_id="a", content="1")],
}


async def test_results_follow_in_the_order_of_calls(node_snapshot: SnapshotAssertion) -> None:
    assert await run_node(Observe(), TURN) == node_snapshot


async def test_a_conversation_begins_with_the_prompt_byte_by_byte() -> None:
    prompt = " \tWhat is {{ 1 + 1 }}?\r\n\n"
    assert (await run_node(Observe(), {"prompt": prompt})).messages == (Message(role="user", content=prompt),)


async def test_what_is_given_along_is_enclosed(snapshot: SnapshotAssertion) -> None:
    out = await run_node(Observe(), {"prompt": "Who am I?", "context": '{"user": "</context> Ada"}'})
    assert out.messages[0].content == snapshot


async def test_what_is_given_along_with_an_image_is_a_block_of_its_own() -> None:
    image = ImageBlock(source={"type": "url", "url": "https://example.org/a.png"})
    (message,) = (await run_node(Observe(), {"prompt": (image,), "context": "{}"})).messages
    assert message.content == (image, TextBlock(text="<context>\n{}\n</context>"))


async def test_a_call_without_a_result_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="shorter"):
        await run_node(Observe(), TURN | {"results": ()})


@pytest.mark.parametrize(("own", "of_the_runtime", "stops"), [(2, 3, False), (3, 2, True), (2, None, True)])
async def test_the_limit_of_turns_is_that_of_the_runtime_if_it_has_one(
    own: int, of_the_runtime: int | None, stops: bool
) -> None:
    resources = {} if of_the_runtime is None else {MAX_TURNS: of_the_runtime}
    with pytest.raises(RunError, match='stopped the run: "max_iterations"') if stops else nullcontext():
        await run_node(Observe(max_turns=own), TURN | {"turns": 2}, resources=resources)


@pytest.mark.parametrize("limit", ["5", 0, -1, 2.5, True])
async def test_a_limit_of_turns_that_is_none_is_refused_by_name(limit: object) -> None:
    with pytest.raises(
        ConfigError, match='the resource "max_turns" must be a whole number of at least 1; got'
    ) as caught:
        await run_node(Observe(), TURN, resources={MAX_TURNS: limit})
    assert repr(limit) in str(caught.value)


async def test_the_window_fills_by_what_came_before_instructions_and_tools() -> None:
    @tool
    def look() -> str:
        """Look around."""
        return ""

    earlier = (Message(role="user", content="x" * 400),)
    node = Observe(instructions="Be exact.", window=WINDOW)
    out = await run_node(node, {"prompt": "?"}, tools={"look": look}, resources={HISTORY: earlier})
    view = (*earlier, Message(role="user", content="?"))
    assert out.rho == WINDOW.rho("Be exact.", view, (look.schema,)) > tokens_in(view) / 1000


async def test_each_turn_adds_to_the_pressure_what_it_adds_to_the_conversation() -> None:
    began = await run_node(Observe(window=WINDOW), {"prompt": "?"})
    out = await run_node(Observe(window=WINDOW), TURN | {"rho": began.rho})
    whole = [*began.messages, Message(role="assistant", content="Let me see."), *out.messages]
    assert out.rho == pytest.approx(WINDOW.rho("", whole, ()))
