import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from pydantic import BaseModel

from loom.errors import ConfigError, ProviderError, RateLimitError
from loom.models.litellm import client
from loom.testing.cassette import CassetteModel
from loom.testing.scripted import ScriptedModel, call
from loom.types.content import ImageBlock, TextBlock
from loom.types.messages import Message, ThinkingBlock, ToolCall
from loom.types.models import Emit, Model, ModelRef, ModelReply, ModelRequest, ToolSchema
from loom.types.stream import ModelDelta, TextDelta, ThinkingDelta
from loom.types.usage import Usage

pytestmark = pytest.mark.anyio


class Verdict(BaseModel):
    passed: bool


ADD = ToolSchema(name="add", description="Add.", parameters={"type": "object", "properties": {}})
FULL = ModelRequest(
    messages=(
        Message(role="system", content="Write Python.\nBe brief."),
        Message(role="user", content="Add."),
        Message(role="assistant", tool_calls=(ToolCall(id="a", name="add", arguments={"y": 2, "x": 1}),)),
        Message(role="tool", content="3", tool_call_id="a", name="add"),
    ),
    tools=(ADD,),
    max_output_tokens=100,
    temperature=0.5,
    response_type=Verdict,
    node="write",
    run_id="r1",
)


def asking(text: str) -> ModelRequest:
    return ModelRequest(messages=(Message(role="user", content=text),))


async def ask(model: Model, request: ModelRequest) -> ModelReply:
    return await model.complete(request, lambda _: None)


async def recorded(path: Path, *replies: str, request: ModelRequest | None = None) -> None:
    """Record `replies` to one request, by default to "hi"."""
    for reply in replies:
        recorder = CassetteModel(path, ScriptedModel([reply]))
        for _ in range(replies.index(reply)):
            await ask(recorder, request or asking("hi"))
        await ask(recorder, request or asking("hi"))


async def test_what_was_recorded_is_replayed_without_the_model(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    reply = ModelReply(
        text="One.\nTwo.\n",
        tool_calls=(ToolCall(id="b", name="add", arguments={"z": [1, None]}),),
        usage=Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cost_usd=None),
        finish_reason="tool_calls",
        thinking=(ThinkingBlock(text="Hm.\nHm.", signature="s"), ThinkingBlock(redacted="x", after_text=5)),
    )
    assert await ask(CassetteModel(path, ScriptedModel([reply])), FULL) == reply
    assert await ask(CassetteModel(path), FULL) == reply


async def test_a_replay_is_heard_as_text(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "Hello there")
    heard: list[ModelDelta] = []
    await CassetteModel(path).complete(asking("hi"), heard.append)
    assert heard == [TextDelta(delta="Hello "), TextDelta(delta="there")]


async def test_a_recording_is_heard_live(tmp_path: Path) -> None:
    class Thinker:
        async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
            emit(ThinkingDelta(delta="hm"))
            return ModelReply(text="yes")

    heard: list[ModelDelta] = []
    await CassetteModel(tmp_path / "tape.json", Thinker()).complete(asking("hi"), heard.append)
    assert heard == [ThinkingDelta(delta="hm")]


async def test_node_and_run_are_no_part_of_the_request(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "fine", request=FULL)
    other = FULL.model_copy(update={"node": "judge", "run_id": "r2"})
    assert (await ask(CassetteModel(path), other)).text == "fine"


@pytest.mark.parametrize(
    "change",
    [
        {"messages": FULL.messages[:-1]},
        {
            "messages": (
                FULL.messages[0].model_copy(update={"thinking": (ThinkingBlock(text="hm"),)}),
                *FULL.messages[1:],
            )
        },
        {"tools": ()},
        {"tools": (ADD.model_copy(update={"description": "Sum."}),)},
        {"max_output_tokens": 99},
        {"max_output_tokens": None},
        {"temperature": 0.0},
        {"response_type": None},
    ],
    ids=" ".join,
)
async def test_whatever_else_differs_is_another_request(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "fine", request=FULL)
    with pytest.raises(ProviderError, match="has no reply to this request"):
        await ask(CassetteModel(path), FULL.model_copy(update=change))


async def test_an_image_is_known_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"

    def showing(pixels: str) -> ModelRequest:
        image = ImageBlock(source={"type": "base64", "media_type": "image/png", "data": pixels})
        return ModelRequest(messages=(Message(role="user", content=(TextBlock(text="see"), image)),))

    await recorded(path, "a cat", request=showing("Q0FU"))
    assert (await ask(CassetteModel(path), showing("Q0FU"))).text == "a cat"
    assert "Q0FU" not in path.read_text()
    with pytest.raises(ProviderError, match="no reply to this request"):
        await ask(CassetteModel(path), showing("RE9H"))


async def test_equal_requests_get_their_replies_in_order_each_once(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "one", "two")
    model = CassetteModel(path)
    assert [(await ask(model, asking("hi"))).text for _ in range(2)] == ["one", "two"]
    with pytest.raises(ProviderError, match="has 2 replies to this request and was asked 3 times"):
        await ask(model, asking("hi"))


async def test_another_process_starts_from_the_first_reply(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "one", "two")
    await ask(CassetteModel(path), asking("hi"))
    assert (await ask(CassetteModel(path), asking("hi"))).text == "one"


async def test_only_what_is_missing_is_asked_and_added(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "one")
    inner = ScriptedModel(["two"])
    model = CassetteModel(path, inner)
    assert (await ask(model, asking("hi"))).text == "one"
    assert (await ask(model, asking("bye"))).text == "two"
    assert inner.requests == [asking("bye")]
    assert (await ask(CassetteModel(path), asking("bye"))).text == "two"


async def test_a_failure_of_the_model_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    model = CassetteModel(path, ScriptedModel([RateLimitError("slow down"), "fine"]))
    with pytest.raises(RateLimitError):
        await ask(model, asking("hi"))
    assert not path.exists()
    assert (await ask(model, asking("hi"))).text == "fine"


async def test_a_miss_shows_how_the_request_differs_from_the_closest(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    model = CassetteModel(path, ScriptedModel(["far", "near"]))
    await ask(model, asking("Nothing\nof\nthis\nsort."))
    await ask(model, asking("Write a haiku.\nAbout rain.\nIn English."))
    asked = asking("Write a haiku.\nAbout snow.\nIn English.").model_copy(update={"node": "write"})
    with pytest.raises(ProviderError) as caught:
        await ask(CassetteModel(path), asked)
    message = str(caught.value)
    assert f'cassette "{path}", asked by node "write", has no reply to this request' in message
    assert '-        "About rain.",\n+        "About snow.",' in message
    assert "Nothing" not in message


async def test_a_long_difference_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "fine")
    with pytest.raises(ProviderError, match=r"… \d+ more lines$") as caught:
        await ask(CassetteModel(path), asking("\n".join(map(str, range(500)))))
    assert len(str(caught.value).splitlines()) < 100


async def test_the_file_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "tape.json"
    inner = ScriptedModel([ModelReply(text="def add():\n    …\n", usage=Usage(input_tokens=3, cost_usd=None))])
    await ask(CassetteModel(path, inner, about="A test.\nBy hand."), FULL)
    today = datetime.now(UTC).date().isoformat()
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert text.index('"x": 1') < text.index('"y": 2')
    assert list(json.loads(text).items()) == [
        ("version", 1),
        ("model", "ScriptedModel"),
        ("recorded", today),
        ("about", ["A test.", "By hand."]),
        (
            "entries",
            [
                {
                    "request": {
                        "max_output_tokens": 100,
                        "messages": [
                            {"content": ["Write Python.", "Be brief."], "role": "system"},
                            {"content": "Add.", "role": "user"},
                            {
                                "role": "assistant",
                                "tool_calls": [{"arguments": {"x": 1, "y": 2}, "id": "a", "name": "add"}],
                            },
                            {"content": "3", "name": "add", "role": "tool", "tool_call_id": "a"},
                        ],
                        "response_schema": Verdict.model_json_schema(),
                        "temperature": 0.5,
                        "tools": [ADD.model_dump()],
                    },
                    "replies": [
                        {
                            "text": ["def add():", "    …", ""],
                            "usage": {"input_tokens": 3, "cost_usd": None},
                            "finish_reason": "stop",
                        }
                    ],
                }
            ],
        ),
    ]
    assert [other.name for other in path.parent.iterdir()] == ["tape.json"]


async def test_a_note_stays_when_more_is_recorded_without_one(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await ask(CassetteModel(path, ScriptedModel(["one"]), about="First."), asking("hi"))
    await ask(CassetteModel(path, ScriptedModel(["two"])), asking("bye"))
    assert json.loads(path.read_text())["about"] == "First."


async def test_another_model_needs_another_file(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "one")
    with pytest.raises(ConfigError, match='records model "ScriptedModel", but inner is "openai:gpt-4o"'):
        CassetteModel(path, client(ModelRef.openai("gpt-4o")))


async def test_calls_survive(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await ask(CassetteModel(path, ScriptedModel([[call("add", x=1), call("sub")]])), asking("hi"))
    reply = await ask(CassetteModel(path), asking("hi"))
    assert [wish.id for wish in reply.tool_calls] == ["call_1", "call_2"]


def test_a_file_that_is_not_there_cannot_be_replayed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'tape.json" does not exist; record it with'):
        CassetteModel(tmp_path / "tape.json")


def test_a_note_without_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="about needs inner"):
        CassetteModel(tmp_path / "tape.json", about="A test.")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "model": "m", "recorded": "", "entries": []}'])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tape.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r'tape.json" cannot be read: '):
        CassetteModel(path)
    assert path.read_text() == text


async def test_two_entries_for_one_request_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "one")
    tape = json.loads(path.read_text())
    path.write_text(json.dumps(tape | {"entries": tape["entries"] * 2}))
    with pytest.raises(ConfigError, match="two entries for one request"):
        CassetteModel(path)


async def test_a_replay_needs_no_client(tmp_path: Path) -> None:
    path = tmp_path / "tape.json"
    await recorded(path, "one")
    code = (
        "import asyncio, sys\n"
        "sys.modules['litellm'] = None\n"
        "from loom.testing.cassette import CassetteModel\n"
        "from loom.types.models import Message, ModelRequest\n"
        "request = ModelRequest(messages=(Message(role='user', content='hi'),))\n"
        f"print(asyncio.run(CassetteModel({str(path)!r}).complete(request, lambda _: None)).text)"
    )
    done = await anyio.run_process([sys.executable, "-c", code])
    assert done.stdout == b"one\n"
