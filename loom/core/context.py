"""What a running node can reach: its place in the run, models, tools, events."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn

if TYPE_CHECKING:  # only names here: a graph is declared without loading what its run will need
    from random import Random

    from loom.core.model_port import ModelPort
    from loom.types.events import Event
    from loom.types.models import Model, ModelRef
    from loom.types.tools import Tool
    from loom.types.usage import Usage

Effect = Literal["pure", "read", "model", "write"]


# Any, in this module: what a node asks for, calls and is given, whose types are its own.


class Context(ABC):
    """A node's view of its run, which is at work on `node`. `visit` and `attempt` count from 1.

    The items of an `each` are visits in their order, whichever begins first. `tools` and `resources` are those of the
    runtime, by name. `deadline` is a Unix time or None. `spent` is what this attempt used so far, None where that is
    nothing.
    """

    __slots__ = ("attempt", "branch", "deadline", "node", "resources", "run_id", "spent", "tools", "visit")

    run_id: str
    node: str
    branch: str
    visit: int
    attempt: int
    deadline: float | None
    tools: "Mapping[str, Tool]"
    resources: Mapping[str, Any]
    spent: "Usage | None"

    @abstractmethod
    def emit(self, event: "Event") -> None:
        """Add an event to the run's story. It is saved with the next record of the run."""

    @abstractmethod
    def emit_live(self, event: "Event") -> None:
        """Show an event to those who read along, and save it nowhere."""

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
        return _model_port()(self, ref)

    @abstractmethod
    def client(self, ref: "ModelRef") -> "Model":
        """Return what `model` asks: a call of it is in no story, and its usage is not counted."""

    @abstractmethod
    def now(self) -> float:
        """Return the Unix time in seconds. A step that is run again sees the same times, in the same order."""

    @abstractmethod
    def remaining_s(self) -> float | None:
        """Return the seconds left until the run's deadline, at least 0; None without one."""

    @property
    @abstractmethod
    def random(self) -> "Random":
        """Random numbers, the same whenever this visit of the node is run again."""

    @abstractmethod
    def idempotency_key(self, key: str) -> str:
        """Return a key for an outside service: the same for every attempt at the effect `key`, in every process."""

    @abstractmethod
    def stop(self, reason: str) -> NoReturn:
        """End this walk of the run as a limit does: its status is `stopped`, its `stop_reason` this one.

        The step is not finished, and a resume runs it again. What other branches have at work goes on.

        Raises:
            LoomError: the reason is empty.
        """
        ...

    @abstractmethod
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

    @abstractmethod
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


@cache
def _model_port() -> "type[ModelPort]":
    from loom.core.model_port import ModelPort  # noqa: PLC0415

    return ModelPort
