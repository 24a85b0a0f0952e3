"""Tests of what a model says piece by piece: no secret comes through, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.runtime.veil import Veil, Veiled
from loom.types.models import Emit, ModelReply, ModelRequest
from loom.types.stream import ModelDelta, TextDelta, ThinkingDelta, ToolCallDelta

pytestmark = pytest.mark.anyio
SECRET = 'sk-"canary"-01'


class Says:
    """A model that emits what it is given."""

    def __init__(self, *deltas: ModelDelta) -> None:
        self._deltas = deltas

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        for delta in self._deltas:
            emit(delta)
        return ModelReply(text="done")


async def heard(*deltas: ModelDelta) -> list[ModelDelta]:
    found: list[ModelDelta] = []
    await Veiled(Says(*deltas), (SECRET,)).complete(ModelRequest(messages=()), found.append)
    return found


async def test_what_holds_no_secret_passes_as_it_is() -> None:
    deltas = (TextDelta(delta="Hello "), ThinkingDelta(delta="hm"), TextDelta(delta="you"))
    assert await heard(*deltas) == list(deltas)


async def test_a_secret_is_hidden_in_texts_thoughts_and_arguments() -> None:
    told = await heard(
        TextDelta(delta=f"It is {SECRET}."),
        ThinkingDelta(delta=SECRET[:6]),
        ThinkingDelta(delta=SECRET[6:]),
        ToolCallDelta(index=0, id="c1", name="send", arguments='{"key": "sk-\\"can'),
        ToolCallDelta(index=0, arguments='ary\\"-01"}'),
    )
    assert [delta.delta for delta in told if isinstance(delta, TextDelta)] == ["It is [redacted]."]
    assert [delta.delta for delta in told if isinstance(delta, ThinkingDelta)] == ["[redacted]"]
    arguments = [delta.arguments for delta in told if isinstance(delta, ToolCallDelta)]
    assert "".join(arguments) == '{"key": "[redacted]"}'


async def test_the_name_of_a_call_is_told_though_it_has_no_arguments_yet() -> None:
    (delta,) = await heard(ToolCallDelta(index=0, id="c1", name="send"))
    assert delta == ToolCallDelta(index=0, id="c1", name="send")


async def test_a_secret_is_hidden_in_the_name_and_the_id_of_a_call() -> None:
    told = await heard(
        ToolCallDelta(index=0, id=f"c{SECRET}", name=f"send{SECRET}", arguments='{"to": '),
        ToolCallDelta(index=0, id=f"c{SECRET}", name=f"send{SECRET}", arguments=f'"{SECRET[:3]}'),
    )
    calls = [(delta.id, delta.name) for delta in told if isinstance(delta, ToolCallDelta)]
    assert set(calls) == {("c[redacted]", "send[redacted]")}


async def test_the_beginning_of_a_secret_that_does_not_go_on_is_told_in_the_end() -> None:
    told = await heard(TextDelta(delta="see sk-"))
    assert [delta.delta for delta in told if isinstance(delta, TextDelta)] == ["see ", "sk-"]


@given(st.lists(st.sampled_from(["ab", "abab", "c", "a", "b", "abc", "x"]), max_size=12))
def test_however_a_text_is_cut_it_comes_out_as_if_cleaned_whole_or_holds_no_secret(pieces: list[str]) -> None:
    veil = Veil(("ababc",))
    shown = "".join([veil.take(piece) for piece in pieces]) + veil.rest()
    assert shown == "".join(pieces).replace("ababc", "[redacted]")
