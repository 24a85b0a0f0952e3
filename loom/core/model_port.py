"""A model as a node calls it."""

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from loom.errors import ConfigError, error_text, short
from loom.types.events import Event, happened
from loom.types.messages import Message
from loom.types.models import ModelRef, ModelReply, ModelRequest, ToolSchema
from loom.types.stream import ModelDelta

if TYPE_CHECKING:  # only a name here: a context gives its models by this module
    from loom.core.context import Context


class ModelPort:
    """One model, as a node calls it: usage is counted and deltas are events."""

    __slots__ = ("_ctx", "_ref")

    def __init__(self, ctx: "Context", ref: ModelRef) -> None:
        self._ctx = ctx
        self._ref = ref

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSchema] = (),
        max_output_tokens: int | None = None,
        temperature: float | None = None,
        temperature_is_default: bool = False,
        response_type: type[BaseModel] | None = None,
    ) -> ModelReply:
        """Ask the model, messages oldest first. It has as long as the run has until its deadline.

        A client that cuts the call off then raises `ProviderUnavailableError`, which is not raised on: the node is
        left, and the run stops with the reason `deadline`. A resume runs the step again.

        Raises:
            ProviderError: the provider refused, failed or could not be reached.
        """
        request = ModelRequest(
            messages=tuple(messages),
            tools=tuple(tools),
            max_output_tokens=max_output_tokens,
            temperature=temperature,
            temperature_is_default=temperature_is_default,
            response_type=response_type,
            timeout_s=self._ctx.remaining_s(),
            node=self._ctx.node,
            run_id=self._ctx.run_id,
        )

        about = {"node": self._ctx.node, "model": self._ref.identifier}
        try:
            reply = await self._reply(request)
        except Exception as error:
            self._ctx.emit(happened(type="model.failed", payload=about | {"error": error_text(error)}))
            raise
        spent = self._ctx.spent
        self._ctx.spent = reply.usage if spent is None else spent + reply.usage
        came = {"finish_reason": reply.finish_reason, "usage": {**vars(reply.usage)}}
        self._ctx.emit(happened(type="model.finished", payload=about | came))
        return reply

    async def _reply(self, request: ModelRequest) -> ModelReply:
        replying: object = self._ctx.client(self._ref).complete(request, self._emit)
        reply = await replying if isinstance(replying, Awaitable) else replying
        if not isinstance(reply, ModelReply) or reply is replying:
            raise self._misfit("gives", reply, "ModelReply, by async def complete(self, request, emit)")
        return reply

    def _emit(self, delta: ModelDelta) -> None:
        if not isinstance(delta, ModelDelta):
            raise self._misfit("emits", delta, "TextDelta, ThinkingDelta or ToolCallDelta")
        self._ctx.emit_live(Event(type="model.delta", payload={"node": self._ctx.node, **delta.model_dump()}))

    def _misfit(self, gives: str, got: object, expected: str) -> ConfigError:
        return ConfigError(f'model "{self._ref.identifier}" {gives} {short(got)}; expected {expected}')
