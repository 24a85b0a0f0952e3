"""Tests that litellm keeps no books of a call."""

from importlib import import_module
from typing import Any

import anyio
import pytest

from loom.errors import ProviderError
from loom.models.litellm import client
from tests.models.loopback import MARKS, ask, provider, status
from tests.models.protocols import ANTHROPIC

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]


async def test_nobody_whom_litellm_would_tell_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    # Any: litellm's own records of a call.
    def listen(*call: Any) -> None:
        told.append(str(call))

    with provider(ANTHROPIC.hello, ANTHROPIC.hello, status(400)) as server:
        # The first call is what loads litellm.
        await ask(client(ANTHROPIC.ref(server.base)))
        litellm = import_module("litellm")
        for listeners in ("input_callback", "success_callback", "failure_callback", "callbacks"):
            monkeypatch.setattr(litellm, listeners, [listen])
        reply, _ = await ask(client(ANTHROPIC.ref(server.base)))
        with pytest.raises(ProviderError):
            await ask(client(ANTHROPIC.ref(server.base)))
    await anyio.sleep(0.2)
    assert reply.usage.input_tokens == 110
    assert told == []
