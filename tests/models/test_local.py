"""A real small model, asked through the client."""

from collections.abc import Generator

import anyio
import pytest
from pydantic import BaseModel

from loom.models.litellm import LiteLLMModel, client
from loom.types.messages import Message
from loom.types.models import ModelRequest
from loom.types.stream import TextDelta
from tests.models.local import local_model, needs_local_model
from tests.models.loopback import ASK, MARKS, ask

pytestmark = [*MARKS, needs_local_model, pytest.mark.slow]


@pytest.fixture(scope="module")
def real() -> Generator[LiteLLMModel]:
    with local_model() as ref:
        yield client(ref)


class Verdict(BaseModel):
    passed: bool
    why: str = ""


async def test_a_real_model_streams_and_ends(real: LiteLLMModel) -> None:
    messages = (Message(role="system", content="Be brief."), Message(role="user", content="Say hello."))
    reply, heard = await ask(real, ModelRequest(messages=messages, max_output_tokens=8, temperature=0.0))
    assert len(heard) > 1
    assert reply.text
    assert reply.text == "".join(delta.delta for delta in heard if isinstance(delta, TextDelta))
    assert reply.finish_reason in {"stop", "length"}
    assert reply.usage.input_tokens > 0
    assert 0 < reply.usage.output_tokens <= 8
    assert reply.usage.cost_usd is None


async def test_a_real_model_replies_in_the_shape_of_a_type(real: LiteLLMModel) -> None:
    question = Message(role="user", content="Does 2 + 2 make 4? Judge.")
    request = ModelRequest(messages=(question,), response_type=Verdict, max_output_tokens=200, temperature=0.0)
    reply, _ = await ask(real, request)
    assert isinstance(Verdict.model_validate_json(reply.text), Verdict)


async def test_a_real_model_stops_writing_when_nobody_listens(real: LiteLLMModel) -> None:
    tale = ModelRequest(messages=(Message(role="user", content="Tell a long tale."),), max_output_tokens=1500)
    with anyio.CancelScope() as scope:
        await real.complete(tale, lambda _: scope.cancel())
    assert scope.cancelled_caught
    # The server has one slot: it answers at once only if it gave up the tale.
    with anyio.fail_after(10):
        reply, _ = await ask(real, ASK.model_copy(update={"max_output_tokens": 4}))
    assert reply.usage.output_tokens > 0
