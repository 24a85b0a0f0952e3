"""Tests of connections: few are opened, and none is left behind."""

import asyncio
import gc
import warnings

import anyio
import pytest

from loom.models import close
from loom.models.litellm import client
from loom.models.pool import pool
from loom.types.models import ModelRef
from tests.models.loopback import HELLO, MARKS, ask, provider
from tests.models.protocols import Protocol, every_protocol

pytestmark = [*MARKS, pytest.mark.usefixtures("keys")]


@every_protocol
async def test_calls_one_after_the_other_use_one_connection(protocol: Protocol) -> None:
    with provider(*[protocol.hello] * 20, keeps=True) as server:
        for _ in range(20):
            reply, _ = await ask(client(protocol.ref(server.base)))
            assert reply.text == "Hello"
        assert (len(server.asked), server.connections) == (20, 1)
        await close()


@every_protocol
async def test_calls_at_once_share_what_is_open(protocol: Protocol) -> None:
    with provider(*[protocol.hello] * 24, keeps=True) as server:
        model = client(protocol.ref(server.base))
        for _ in range(3):
            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(ask, model)
        assert len(server.asked) == 24
        assert server.connections <= 8
        await close()


async def test_closing_hangs_up_and_the_next_call_opens_again() -> None:
    with provider(HELLO, HELLO, keeps=True) as server:
        await ask(client(server.ref))
        await close()
        assert await anyio.to_thread.run_sync(lambda: server.hung_up.acquire(timeout=5))
        await close()
        await ask(client(server.ref))
        assert server.connections == 2
        await close()


@every_protocol
def test_the_end_of_a_loop_hangs_up_and_leaves_nothing_open(protocol: Protocol) -> None:
    with provider(*[protocol.hello] * 2, keeps=True) as server, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for number in (1, 2):
            asyncio.run(ask(client(protocol.ref(server.base))))
            assert server.connections == number
            assert server.hung_up.acquire(timeout=5)
        gc.collect()
    assert [str(warning.message) for warning in warned if warning.category is ResourceWarning] == []


@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_a_proxy_is_found_with_and_without_a_scheme(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with provider(HELLO) as server:
        monkeypatch.setenv("http_proxy", scheme + server.base.removeprefix("http://").partition("/")[0])
        monkeypatch.setenv("no_proxy", "")
        reply, _ = await ask(client(ModelRef.local("http://example.invalid/v1")))
        assert reply.text == "Hello"
        await close()


def test_each_loop_has_connections_of_its_own() -> None:
    async def twice() -> tuple[object, object]:
        return await pool(), await pool()

    first, again = asyncio.run(twice())
    assert first is again
    assert asyncio.run(twice())[0] is not first
