import json
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from loom import AgentConfig, create_agent
from loom.errors import ProviderError, ProviderUnavailableError
from loom.models.litellm import client
from loom.models.providers import PROVIDERS, Provider, Structured
from loom.models.wire import Assembly, is_closed, request_arguments
from loom.tools.tool import tool
from loom.types.messages import MALFORMED, Message, ToolCall
from loom.types.models import ModelRef, ModelRequest, ToolSchema
from loom.types.stream import TextDelta, ThinkingDelta, ToolCallDelta
from loom.types.usage import Usage
from tests.models.loopback import ASK, HELLO, Answer, ask, delta, live, openai, provider
from tests.models.protocols import Protocol, every_protocol


class Verdict(BaseModel):
    passed: bool
    notes: list[str] = []


class Scores(BaseModel):
    scores: dict[str, int]


class Nested(BaseModel):
    inner: Scores


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    passed: bool


class Anything(BaseModel):
    # Any: this is what the test is about.
    value: Any


class Tree(BaseModel):
    name: str
    children: list["Tree"] = []


HI = Message(role="user", content="hi")
SCHEMA = Provider("test")
CLOSED = Provider("test", structured="closed")
OBJECT = Provider("test", structured="object")
WORDS = Provider("test", structured="words")


@tool(read_only=True)
async def echo(text: str) -> str:
    """Say it again."""
    return text


def asked(*messages: Message, response_type: type[BaseModel] | None = None) -> ModelRequest:
    return ModelRequest(messages=messages or (HI,), response_type=response_type)


def test_only_what_is_set_is_sent() -> None:
    assert request_arguments(asked(), SCHEMA) == {"messages": [{"role": "user", "content": "hi"}]}


def test_limits_and_temperature_are_sent_when_given() -> None:
    request = ModelRequest(messages=(HI,), max_output_tokens=5, temperature=0.0)
    arguments = request_arguments(request, SCHEMA)
    assert (arguments["max_tokens"], arguments["temperature"]) == (5, 0.0)


def test_a_turn_of_calls_has_no_text_and_its_results_name_them() -> None:
    call = ToolCall(id="a", name="add", arguments={"word": "né"})
    request = asked(
        HI,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="5", tool_call_id="a", name="add"),
    )
    assert request_arguments(request, SCHEMA)["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"word": "né"}'}}],
        },
        {"role": "tool", "content": "5", "tool_call_id": "a", "name": "add"},
    ]


def test_what_gemini_thought_of_a_call_is_told_to_gemini_alone() -> None:
    call = ToolCall(id="a__thought__c2VjcmV0", name="add")
    request = asked(
        Message(role="assistant", tool_calls=(call,)), Message(role="tool", content="5", tool_call_id=call.id)
    )
    for row, told in ((SCHEMA, "a"), (PROVIDERS["gemini"], call.id)):
        turn, result = request_arguments(request, row)["messages"]
        assert (turn["tool_calls"][0]["id"], result["tool_call_id"]) == (told, told)


def test_a_tool_without_parameters_takes_an_empty_object() -> None:
    request = ModelRequest(messages=(HI,), tools=(ToolSchema(name="now", description="Tell the time."),))
    assert request_arguments(request, SCHEMA)["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "now",
                "description": "Tell the time.",
                "parameters": {"type": "object", "properties": {}},
            },
        }
    ]


@pytest.mark.parametrize(
    ("response_type", "closed"),
    [(Verdict, True), (Tree, True), (Scores, False), (Nested, False), (Open, False), (Anything, False)],
)
def test_a_type_is_closed_when_it_names_every_key(response_type: type[BaseModel], closed: bool) -> None:
    assert is_closed(response_type.model_json_schema()) is closed


def test_a_list_of_anything_is_not_closed() -> None:
    assert not is_closed({"type": "object", "properties": {"all": {"type": "array", "items": {}}}})


@pytest.mark.parametrize("structured", ["schema", "closed"])
def test_a_closed_type_is_enforced(structured: Structured) -> None:
    assert (
        request_arguments(asked(response_type=Verdict), Provider("test", structured=structured))["response_format"]
        is Verdict
    )


def test_free_keys_are_asked_for_without_the_strict_form() -> None:
    arguments = request_arguments(asked(response_type=Scores), SCHEMA)
    assert arguments["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "Scores", "schema": Scores.model_json_schema(), "strict": False},
    }


def test_free_keys_are_told_in_words_where_only_the_strict_form_is_known() -> None:
    arguments = request_arguments(asked(response_type=Scores), CLOSED)
    assert "response_format" not in arguments
    assert [message["role"] for message in arguments["messages"]] == ["system", "user"]


def test_a_provider_that_enforces_json_alone_is_told_the_schema() -> None:
    system = Message(role="system", content="Be brief.")
    arguments = request_arguments(asked(system, HI, response_type=Verdict), OBJECT)
    assert arguments["response_format"] == {"type": "json_object"}
    told = arguments["messages"][0]["content"]
    assert told.startswith("Be brief.\n\nReply with one JSON object")
    assert '"passed"' in told
    assert len(arguments["messages"]) == 2


def test_a_provider_that_enforces_nothing_is_told_in_words() -> None:
    arguments = request_arguments(asked(response_type=Verdict), WORDS)
    assert "response_format" not in arguments
    assert arguments["messages"][0]["content"].startswith("Reply with one JSON object")


@live
@every_protocol
async def test_a_reply_in_the_shape_of_a_type_is_asked_for(protocol: Protocol) -> None:
    with provider(protocol.hello) as server:
        await ask(client(protocol.ref(server.base)), ASK.model_copy(update={"response_type": Verdict}))
    sent = str(server.asked[0].body)
    assert "passed" in sent
    assert "boolean" in sent


@live
async def test_a_response_type_is_asked_for_as_a_strict_schema() -> None:
    with provider(HELLO) as server:
        await ask(client(server.ref), ASK.model_copy(update={"response_type": Verdict}))
    asked = server.asked[0].body["response_format"]
    assert asked["type"] == "json_schema"
    assert asked["json_schema"]["strict"] is True
    assert asked["json_schema"]["schema"]["required"] == ["passed", "notes"]


def piece(index: int, id: str | None, name: str | None, arguments: str) -> SimpleNamespace:  # noqa: A002
    return SimpleNamespace(index=index, id=id, function=SimpleNamespace(name=name, arguments=arguments))


def chunk(
    text: str | None = None, *, calls: list[SimpleNamespace] | None = None, end: str | None = None, **more: str
) -> SimpleNamespace:
    delta = SimpleNamespace(content=text, tool_calls=calls, **more)
    return SimpleNamespace(choices=[SimpleNamespace(delta=delta, finish_reason=end)])


def assembled(*chunks: SimpleNamespace, end: str | None = "stop") -> tuple[Assembly, list[object]]:
    assembly = Assembly("local:m", turn=3)
    return assembly, [delta for each in (*chunks, chunk(end=end)) for delta in assembly.add(each)]


def test_text_and_thoughts_are_shown_as_they_arrive() -> None:
    assembly, shown = assembled(chunk(reasoning_content="hm"), chunk("Hel"), chunk("lo"), chunk(""))
    assert shown == [ThinkingDelta(delta="hm"), TextDelta(delta="Hel"), TextDelta(delta="lo")]
    assert assembly.reply(None).text == "Hello"


def test_a_thought_has_two_names() -> None:
    _, shown = assembled(chunk(reasoning="hm"))
    assert shown == [ThinkingDelta(delta="hm")]


def test_a_reply_without_an_end_is_none() -> None:
    assembly, _ = assembled(chunk("Hel"), chunk("lo"), end=None)
    with pytest.raises(ProviderUnavailableError, match="after 5 characters: the stream ended without a finish reason"):
        assembly.reply(None)


def test_an_end_may_come_without_a_piece() -> None:
    bare = SimpleNamespace(choices=[SimpleNamespace(delta=None, finish_reason="stop")])
    assembly, _ = assembled(chunk("Hello"), bare, end=None)
    assert assembly.reply(None).finish_reason == "stop"


def test_calls_are_put_together_from_their_pieces() -> None:
    assembly, shown = assembled(
        chunk(calls=[piece(0, "a", "add", "")]),
        chunk(calls=[piece(0, None, None, '{"x":')]),
        chunk(calls=[piece(1, "b", "sub", '{"y": 2}'), piece(0, None, None, " 1}")]),
    )
    assert assembly.reply(None).tool_calls == (
        ToolCall(id="a", name="add", arguments={"x": 1}),
        ToolCall(id="b", name="sub", arguments={"y": 2}),
    )
    assert shown == [
        ToolCallDelta(index=0, id="a", name="add"),
        ToolCallDelta(index=0, id="a", name="add", arguments='{"x":'),
        ToolCallDelta(index=1, id="b", name="sub", arguments='{"y": 2}'),
        ToolCallDelta(index=0, id="a", name="add", arguments=" 1}"),
    ]


def test_calls_that_share_an_index_are_told_apart_by_id() -> None:
    assembly, _ = assembled(chunk(calls=[piece(0, "a", "add", "{}")]), chunk(calls=[piece(0, "b", "sub", "{}")]))
    assert [call.name for call in assembly.reply(None).tool_calls] == ["add", "sub"]


def test_an_id_that_comes_with_every_piece_makes_no_new_call() -> None:
    assembly, _ = assembled(chunk(calls=[piece(0, "a", "add", '{"x":')]), chunk(calls=[piece(0, "a", "add", " 1}")]))
    assert assembly.reply(None).tool_calls == (ToolCall(id="a", name="add", arguments={"x": 1}),)


def test_a_call_without_an_id_gets_one_that_no_other_turn_has() -> None:
    assembly, _ = assembled(chunk(calls=[piece(0, None, "add", ""), piece(1, "", "sub", " ")]))
    assert assembly.reply(None).tool_calls == (
        ToolCall(id="call_3_1", name="add"),
        ToolCall(id="call_3_2", name="sub"),
    )


def nested(depth: int) -> str:
    return '{"a": ' * depth + "1" + "}" * depth


NO_ARGUMENTS = [
    '{"x": ',
    "[1]",
    "null",
    "add(1)",
    '{"x": NaN}',
    '{"x": [-Infinity]}',
    '{"x": 1e400}',
    '{"x": [-1e400]}',
]


@pytest.mark.parametrize("text", [*NO_ARGUMENTS, nested(151), nested(195), nested(1000)])
def test_arguments_that_are_no_object_stay_what_the_model_wrote(text: str) -> None:
    assembly, _ = assembled(chunk(calls=[piece(0, "a", "add", text)]))
    wanted = ToolCall(id="a", name="add", arguments={MALFORMED: text.strip()})
    assert assembly.reply(None).tool_calls == (wanted,)


@pytest.mark.parametrize("text", ['{"x": null, "y": [1.5, -0.0, 1e308, "NaN"]}', '{"x": 1e-400}', nested(150)])
def test_arguments_that_are_an_object_are_what_the_model_wrote(text: str) -> None:
    assembly, _ = assembled(chunk(calls=[piece(0, "a", "add", text)]))
    assert assembly.reply(None).tool_calls[0].arguments == json.loads(text)


def test_arguments_that_were_cut_off_say_what_to_raise() -> None:
    assembly, _ = assembled(chunk(calls=[piece(0, "a", "add", '{"x": ')]), end="length")
    with pytest.raises(ProviderError, match=r'model "local:m" called tool "add" .*raise max_output_tokens'):
        assembly.reply(None)


def test_usage_is_what_the_last_chunk_that_has_it_says() -> None:
    used = SimpleNamespace(
        prompt_tokens=10, completion_tokens=5, prompt_tokens_details=SimpleNamespace(cached_tokens=4)
    )
    assembly, _ = assembled(chunk("hi"), SimpleNamespace(choices=[], usage=used), chunk(""))
    assert assembly.reply(0.5).usage == Usage(input_tokens=10, output_tokens=5, cached_tokens=4, cost_usd=0.5)


def test_usage_that_nobody_told_has_an_unknown_cost() -> None:
    assembly, _ = assembled(chunk("hi"))
    assert assembly.reply(None).usage == Usage(cost_usd=None)


HIGH, LOW = "\ud83d", "\ude00"
ONE = {"index": 0, "id": "a", "type": "function"}


def written(*pieces: str) -> Answer:
    """Answer with a tool call whose arguments come in these pieces."""
    first, *more = pieces
    said = [delta(tool_calls=[ONE | {"function": {"name": "echo", "arguments": first}}])]
    said += [delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}]) for piece in more]
    return openai(*said, delta("tool_calls"))


@live
@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        ((f"a {HIGH}", f"{LOW} b"), ["a ", "😀 b"]),
        ((f"a {HIGH} b",), ["a \ufffd b"]),
        (("a", HIGH), ["a", "\ufffd"]),
    ],
    ids=["a pair in two pieces", "a lone half", "half at the end"],
)
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
async def test_no_half_of_a_character_is_shown_and_none_costs_the_reply(
    field: str, pieces: tuple[str, ...], shown: list[str]
) -> None:
    with provider(openai(*(delta(**{field: text}) for text in pieces), delta("stop"))) as server:
        reply, heard = await ask(client(server.ref))
    told = [piece.delta for piece in heard if isinstance(piece, TextDelta | ThinkingDelta)]
    assert told == shown
    assert reply.text == ("".join(shown) if field == "content" else "")


@live
async def test_a_character_in_two_pieces_reaches_the_tool_and_the_run_goes_on() -> None:
    with provider(written('{"text": "' + HIGH, LOW + '"}'), HELLO) as server:
        result = await create_agent(AgentConfig(model=server.ref, tools=[echo])).run("x")
    assert result.output == "Hello"
    assert server.asked[1].body["messages"][-1]["content"] == "😀"


@live
async def test_the_deltas_of_a_call_have_no_half_of_a_character() -> None:
    with provider(written('{"text": "' + HIGH, LOW + '", "more": "' + HIGH + '"}', HIGH)) as server:
        reply, heard = await ask(client(server.ref))
    told = [piece.arguments for piece in heard if isinstance(piece, ToolCallDelta)]
    assert told == ['{"text": "', '😀", "more": "\ufffd"}', "", "\ufffd"]
    assert reply.tool_calls[0].arguments == {MALFORMED: "".join(told)}


@live
async def test_deepseek_gets_back_no_half_of_a_character() -> None:
    thought = openai(
        delta(reasoning_content=HIGH), delta(reasoning_content=LOW + LOW), delta(content="yes"), delta("stop")
    )
    with provider(thought) as server:
        reply, _ = await ask(client(ModelRef.deepseek(api_base=f"{server.base}/v1")))
    assert [block.text for block in reply.thinking] == ["😀\ufffd"]
