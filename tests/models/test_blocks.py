"""Tests of content blocks on their way to a provider."""

import pytest

from loom import AgentConfig, create_agent
from loom.errors import ConfigError, ProviderError
from loom.models.blocks import readable, wire_content
from loom.models.litellm import client
from loom.models.providers import PROVIDERS
from loom.types.content import DocumentBlock, ImageBlock, MessageContent, TextBlock, create_image_block_from_url
from loom.types.messages import Message, ToolCall
from loom.types.models import ModelRequest, ToolSchema
from tests.models import protocols as spoken
from tests.models.loopback import ask, live, provider

PNG = ImageBlock(source={"type": "base64", "media_type": "image/png", "data": "QUJD"})
PDF = DocumentBlock(source={"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="})
OPENAI = PROVIDERS["openai"]
ANTHROPIC = PROVIDERS["anthropic"]


def test_text_alone_stays_text() -> None:
    assert wire_content("hi", OPENAI) == "hi"


def test_blocks_become_parts_in_their_order() -> None:
    assert wire_content((TextBlock(text="see"), PNG, PDF), OPENAI) == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {
            "type": "file",
            "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        },
    ]


def test_an_address_is_given_to_a_provider_that_fetches_it() -> None:
    image = create_image_block_from_url("https://example.com/a.png")
    for row in (OPENAI, ANTHROPIC):
        assert wire_content((image,), row) == [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]


@pytest.mark.parametrize(
    ("name", "url", "why"),
    [
        ("gemini", "https://example.com/a.png", "fetches no images"),
        ("anthropic", "http://example.com/a.png", "fetches images only from https:// addresses"),
    ],
)
def test_an_address_that_would_be_fetched_on_this_machine_is_refused(name: str, url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        wire_content((create_image_block_from_url(url),), PROVIDERS[name])


def test_a_document_by_address_is_only_for_anthropic() -> None:
    document = DocumentBlock(source={"type": "url", "url": "https://example.com/a.pdf"})
    sent = wire_content((document,), ANTHROPIC)
    assert sent == [{"type": "file", "file": {"file_id": "https://example.com/a.pdf"}}]
    with pytest.raises(ConfigError, match='of protocol "openai" fetches no documents; send it inline, as create_doc'):
        wire_content((document,), OPENAI)


def test_the_files_of_tool_results_follow_the_last_result_of_the_turn() -> None:
    messages = [
        Message(role="tool", tool_call_id="a", content=(TextBlock(text="drawn"), PNG)),
        Message(role="tool", tool_call_id="b", content="plain"),
        Message(role="user", content="and?"),
        Message(role="tool", tool_call_id="c", content=(PDF,)),
    ]
    read = list(readable(messages, OPENAI))
    assert [(message.role, message.tool_call_id, message.text) for message in read] == [
        ("tool", "a", "drawn\n[1 of its files: see the next message of the user]"),
        ("tool", "b", "plain"),
        ("user", None, "[files of the tool result a]"),
        ("user", None, "and?"),
        ("tool", "c", "[1 of its files: see the next message of the user]"),
        ("user", None, "[files of the tool result c]"),
    ]
    assert read[2].content == (TextBlock(text="[files of the tool result a]"), PNG)


def test_files_stay_in_the_tool_result_where_the_provider_takes_them() -> None:
    messages = [Message(role="tool", tool_call_id="a", content=(PNG,))]
    assert list(readable(messages, ANTHROPIC)) == messages


def test_a_tool_result_of_text_blocks_is_their_text() -> None:
    messages = [Message(role="tool", tool_call_id="a", content=(TextBlock(text="x"), TextBlock(text="y")))]
    assert [message.content for message in readable(messages, OPENAI)] == ["x\ny"]


@live
@pytest.mark.parametrize(
    ("protocol", "image", "document"),
    [
        (
            spoken.OPENAI,
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
            {
                "type": "file",
                "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            },
        ),
        (
            spoken.ANTHROPIC,
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
        ),
        (
            spoken.GEMINI,
            {"inline_data": {"data": "QUJD", "mime_type": "image/png"}},
            {"inline_data": {"data": "JVBERg==", "mime_type": "application/pdf"}},
        ),
    ],
    ids=["openai", "anthropic", "gemini"],
)
async def test_images_and_documents_are_sent_as_the_protocol_wants_them(
    protocol: spoken.Protocol, image: object, document: object
) -> None:
    request = ModelRequest(messages=(Message(role="user", content=(TextBlock(text="see"), PNG, PDF)),))
    with provider(protocol.hello) as server:
        await ask(client(protocol.ref(server.base)), request)
    (message,) = server.asked[0].body["contents" if protocol is spoken.GEMINI else "messages"]
    text = {"text": "see"} if protocol is spoken.GEMINI else {"type": "text", "text": "see"}
    assert message["parts" if protocol is spoken.GEMINI else "content"] == [text, image, document]


@live
async def test_anthropic_fetches_an_image_by_its_address() -> None:
    image = ImageBlock(source={"type": "url", "url": "https://example.com/a.png"})
    document = DocumentBlock(source={"type": "url", "url": "https://example.com/a.pdf"})
    with provider(spoken.ANTHROPIC.hello) as server:
        request = ModelRequest(messages=(Message(role="user", content=(image, document)),))
        await ask(client(spoken.ANTHROPIC.ref(server.base)), request)
    assert server.asked[0].body["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    ]


@live
@spoken.every_protocol
async def test_a_tool_may_answer_with_an_image(protocol: spoken.Protocol) -> None:
    request = ModelRequest(
        messages=(
            Message(role="user", content="Draw."),
            Message(role="assistant", tool_calls=(ToolCall(id="a", name="draw"),)),
            Message(role="tool", name="draw", tool_call_id="a", content=(TextBlock(text="drawn"), PNG)),
        ),
        tools=(ToolSchema(name="draw"),),
    )
    with provider(protocol.hello) as server:
        await ask(client(protocol.ref(server.base)), request)
    sent = str(server.asked[0].body)
    assert "drawn" in sent
    assert "QUJD" in sent


HI, MORE = Message(role="user", content="hi"), Message(role="user", content="more")
CALL = ToolCall(id="a", name="add")


@live
@pytest.mark.parametrize("text", ["", " \n"])
async def test_anthropic_is_not_told_of_a_turn_that_said_nothing(text: str) -> None:
    with provider(spoken.ANTHROPIC.hello) as server:
        model = client(spoken.ANTHROPIC.ref(server.base))
        await ask(model, ModelRequest(messages=(HI, Message(role="assistant", content=text), MORE)))
    (said,) = server.asked[0].body["messages"]
    assert said == {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "more"}]}


@live
async def test_gemini_is_not_told_of_a_turn_that_said_nothing() -> None:
    with provider(spoken.GEMINI.hello) as server:
        model = client(spoken.GEMINI.ref(server.base))
        await ask(model, ModelRequest(messages=(HI, Message(role="assistant"), MORE)))
    assert server.asked[0].body["contents"] == [{"role": "user", "parts": [{"text": "hi"}, {"text": "more"}]}]


@live
async def test_a_turn_of_calls_and_a_result_without_text_are_sent_without_any() -> None:
    talk = (
        HI,
        Message(role="assistant", content=" \n", tool_calls=(CALL,)),
        Message(role="tool", content=(TextBlock(text=""),), tool_call_id="a", name="add"),
    )
    with provider(spoken.ANTHROPIC.hello) as server:
        await ask(client(spoken.ANTHROPIC.ref(server.base)), ModelRequest(messages=talk))
    _, turn, result = server.asked[0].body["messages"]
    assert turn["content"] == [{"type": "tool_use", "id": "a", "name": "add", "input": {}}]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "a", "content": ""}]


@live
async def test_an_image_needs_no_words() -> None:
    with provider(spoken.ANTHROPIC.hello) as server:
        shown = Message(role="user", content=(TextBlock(text=" "), PNG))
        await ask(client(spoken.ANTHROPIC.ref(server.base)), ModelRequest(messages=(shown,)))
    (said,) = server.asked[0].body["messages"]
    assert [part["type"] for part in said["content"]] == ["image"]


@live
@pytest.mark.parametrize(
    ("protocol", "content"),
    [
        (spoken.ANTHROPIC, ""),
        (spoken.ANTHROPIC, "\n"),
        (spoken.ANTHROPIC, (TextBlock(text=""),)),
        (spoken.GEMINI, ""),
    ],
)
async def test_an_empty_prompt_is_refused_by_name_before_it_is_sent(
    protocol: spoken.Protocol, content: MessageContent
) -> None:
    with provider() as server:
        agent = create_agent(AgentConfig(model=protocol.ref(server.base)))
        with pytest.raises(ProviderError, match=rf'"{protocol.name}" takes no user.s message without text: message 1 '):
            await agent.run(content)
    assert server.connections == 0


@pytest.mark.parametrize("text", ["", " "])
def test_who_takes_an_empty_text_gets_it(text: str) -> None:
    talk = (Message(role="user", content=text), Message(role="assistant", content=text))
    assert tuple(readable(talk, OPENAI)) == talk
    assert text == "" or tuple(readable(talk, PROVIDERS["gemini"])) == talk
