"""What a running node can reach: its place in the run, models, tools, events."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

if TYPE_CHECKING:  # only names here: a graph is declared without loading what its run will need
    from random import Random

    from loom.core.model_port import ModelPort
    from loom.types.events import Event
    from loom.types.models import Model, ModelRef
    from loom.types.tools import Tool
    from loom.types.usage import Usage

Effect = Literal["pure", "read", "model", "write"]


class Host(Protocol):
    """What runs a node, as far as its context needs it."""

    run_id: str

    @property
    def tools(self) -> "Mapping[str, Tool]": ...
    # Any: what the nodes of a graph and who runs it agree on.
    @property
    def resources(self) -> Mapping[str, Any]: ...
    def model(self, ref: "ModelRef") -> "Model": ...
    def emit(self, event: "Event") -> None: ...
    def emit_live(self, event: "Event") -> None: ...
    def now(self) -> float: ...
    def remaining_s(self) -> float | None: ...
    def stop(self, reason: str) -> NoReturn: ...
    def idempotency_key(self, key: str) -> str: ...
    @property
    def random(self) -> "Random": ...
    # Any: an answer's type and value, a function's result: the node's own.
    async def ask(
        self, question: str, answer_type: Any, key: str | None, kind: str, payload: Mapping[str, Any] | None
    ) -> Any: ...
    async def once(
        self,
        key: str,
        fn: Callable[..., Any],
        *arguments: Any,
        idempotent: bool,
        effect: Effect | None,
        result_type: Any,
    ) -> Any: ...


class Context:
    """A node's view of its run. `visit` and `attempt` count from 1; `deadline` is a Unix time or None.

    The items of an `each` are visits in their order, whichever begins first. `spent` is what this attempt used so far,
    None where that is nothing.
    """

    __slots__ = ("_host", "attempt", "branch", "deadline", "node", "spent", "visit")

    def __init__(
        self,
        host: Host,
        node: str,
        *,
        branch: str = "",
        visit: int = 1,
        attempt: int = 1,
        deadline: float | None = None,
    ) -> None:
        self._host = host
        self.node = node
        self.branch = branch
        self.visit = visit
        self.attempt = attempt
        self.deadline = deadline
        self.spent: Usage | None = None

    @property
    def run_id(self) -> str:
        """The run this node works for."""
        return self._host.run_id

    @property
    def tools(self) -> "Mapping[str, Tool]":
        """The tools of the runtime, by name."""
        return self._host.tools

    # Any: as above.
    @property
    def resources(self) -> Mapping[str, Any]:
        """The live objects of the runtime, by name."""
        return self._host.resources

    def emit(self, event: "Event") -> None:
        """Add an event to the run's story. It is saved with the next record of the run."""
        self._host.emit(event)

    @property
    def usage(self) -> "Usage":
        """What this attempt used so far. A node that calls a model in a way of its own may add to it."""
        if self.spent is None:
            from loom.types.usage import Usage  # noqa: PLC0415

            self.spent = Usage()
        return self.spent

    @usage.setter
    def usage(self, used: "Usage") -> None:
        self.spent = used

    def model(self, ref: "ModelRef") -> "ModelPort":
        """Return the model that the runtime has for `ref`, or the provider's client."""
        return _model_port()(self._host, ref, self.node, self._count)

    def _count(self, used: "Usage") -> None:
        self.spent = used if self.spent is None else self.spent + used

    def now(self) -> float:
        """Return the Unix time in seconds. A step that is run again sees the same times, in the same order."""
        return self._host.now()

    @property
    def random(self) -> "Random":
        """Random numbers, the same whenever this visit of the node is run again."""
        return self._host.random

    def idempotency_key(self, key: str) -> str:
        """Return a key for an outside service: the same for every attempt at the effect `key`, in every process."""
        return self._host.idempotency_key(key)

    def stop(self, reason: str) -> NoReturn:
        """End this walk of the run as a limit does: its status is `stopped`, its `stop_reason` this one.

        The step is not finished, and a resume runs it again. What other branches have at work goes on.

        Raises:
            LoomError: the reason is empty.
        """
        self._host.stop(reason)

    # Any, here and below: what the node asks for and calls, whose types are its own.
    async def ask(
        self,
        question: str,
        *,
        answer_type: Any = str,
        key: str | None = None,
        kind: Literal["ask", "approve"] = "ask",
        payload: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the answer to a question; without one the run pauses, durably, until `resume(answers=…)`.

        `key` tells this ask from others of the same visit; by default it is the question. An answer that is
        not of `answer_type` is an `AnswerError` of `resume`, and the ask stays open.
        """
        return await self._host.ask(question, answer_type, key, kind, payload)

    async def once(
        self,
        key: str,
        fn: Callable[..., Any],
        *arguments: Any,
        idempotent: bool = False,
        effect: Effect | None = None,
        result_type: Any = None,
    ) -> Any:
        """Call `fn(*arguments)` at most once in the life of the run, and return its result.

        The intent is journaled, then `fn` is called (in a thread if it is not async), then the result
        is journaled; a step that is run again gets that result. If the process dies in between, the
        effect is in doubt: when it is idempotent or writes nothing it is called again, else the run
        pauses with an ask of kind `in_doubt`. `effect` is the node's unless given; the result's type
        is `result_type`, else the annotated one, else plain JSON.

        Raises:
            EffectError: the effect is greater than the node declares.
            LoomError: the key was used in this visit, or the result cannot be saved.
        """
        return await self._host.once(key, fn, *arguments, idempotent=idempotent, effect=effect, result_type=result_type)


@cache
def _model_port() -> "type[ModelPort]":
    from loom.core.model_port import ModelPort  # noqa: PLC0415

    return ModelPort
