"""A model as a node calls it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from pydantic import BaseModel

from loom.errors import ConfigError, error_text, short
from loom.types.events import Event
from loom.types.messages import Message
from loom.types.models import Model, ModelRef, ModelReply, ModelRequest, ToolSchema
from loom.types.stream import ModelDelta
from loom.types.usage import Usage


class ModelHost(Protocol):
    """What a call of a model needs of the run it is made in."""

    run_id: str

    def model(self, ref: ModelRef) -> Model:
        """Return the model that the run has for `ref`."""
        ...

    def emit(self, event: Event) -> None:
        """Add an event to the run's story."""
        ...

    def emit_live(self, event: Event) -> None:
        """Show an event to those who read along, and save it nowhere."""
        ...

    def remaining_s(self) -> float | None:
        """Return the seconds left until the run's deadline, at least 0; None without one."""
        ...


class ModelPort:
    """One model, as a node calls it: usage is counted and deltas are events."""

    __slots__ = ("_count", "_host", "_node", "_ref")

    def __init__(self, host: ModelHost, ref: ModelRef, node: str, count: Callable[[Usage], None]) -> None:
        self._host = host
        self._ref = ref
        self._node = node
        self._count = count

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
            timeout_s=self._host.remaining_s(),
            node=self._node,
            run_id=self._host.run_id,
        )

        about = {"node": self._node, "model": self._ref.identifier}
        try:
            reply = await self._reply(request)
        except Exception as error:
            self._host.emit(Event(type="model.failed", payload=about | {"error": error_text(error)}))
            raise
        self._count(reply.usage)
        came = {"finish_reason": reply.finish_reason, "usage": {**vars(reply.usage)}}
        self._host.emit(Event(type="model.finished", payload=about | came))
        return reply

    async def _reply(self, request: ModelRequest) -> ModelReply:
        replying: object = self._host.model(self._ref).complete(request, self._emit)
        reply = await replying if isinstance(replying, Awaitable) else replying
        if not isinstance(reply, ModelReply) or reply is replying:
            raise self._misfit("gives", reply, "ModelReply, by async def complete(self, request, emit)")
        return reply

    def _emit(self, delta: ModelDelta) -> None:
        if not isinstance(delta, ModelDelta):
            raise self._misfit("emits", delta, "TextDelta, ThinkingDelta or ToolCallDelta")
        self._host.emit_live(Event(type="model.delta", payload={"node": self._node, **delta.model_dump()}))

    def _misfit(self, gives: str, got: object, expected: str) -> ConfigError:
        return ConfigError(f'model "{self._ref.identifier}" {gives} {short(got)}; expected {expected}')
