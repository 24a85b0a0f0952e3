"""Runs whose time is up: in the middle of an effect, or while a model is asked."""

from typing import Any

import anyio

from loom import Context, GraphResult, Limits, MemoryCheckpointer, ModelRef, Runtime
from loom.errors import ProviderUnavailableError
from loom.runs.app import CompiledGraph
from loom.types.messages import Message
from loom.types.models import Emit, ModelReply, ModelRequest
from loom.types.usage import Usage
from tests.runs.effects import Seen

REF = ModelRef("test", "one")


async def cancelled(app: CompiledGraph[Seen], store: MemoryCheckpointer, grace_s: float) -> GraphResult[Seen]:
    """Cancel a run while its effect is under way."""
    run = app.start(run_id="r", runtime=Runtime(checkpointer=store, limits=Limits(grace_s=grace_s)))
    await anyio.sleep(0.05)
    run.cancel()
    return await run.wait()


class Provider:
    """A model that takes the time it is told to, and no longer than it is given, as clients of providers do."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.asked = 0

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        self.asked += 1
        with anyio.move_on_after(request.timeout_s):
            await anyio.sleep(self.seconds.pop(0))
            return ModelReply(text="said", usage=Usage(input_tokens=3, output_tokens=1))
        raise ProviderUnavailableError(f"it did not finish in the {request.timeout_s} s that it had")


async def talk(ctx: Context) -> str:
    return (await ctx.model(REF).complete([Message(role="user", content="Hello")])).text


async def talk_twice(ctx: Context) -> str:
    return await talk(ctx) + await talk(ctx)


def hurried(model: Provider, store: MemoryCheckpointer, deadline_s: float = 0.05, **more: Any) -> Runtime:
    return Runtime(checkpointer=store, models=model, limits=Limits(deadline_s=deadline_s), **more)
