"""What a run gives back: its result, its points, its place in a list of runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from loom.core.state import State
from loom.types.usage import Usage

Status = Literal["running", "completed", "paused", "stopped", "cancelled", "failed"]
S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class Ask:
    """A planned stop that waits for an answer. `answer_type` is the JSON Schema of the answer.

    `kind` is `ask`, `approve`, or `in_doubt` for an effect that may or may not have happened.
    """

    id: str
    kind: str
    key: str
    question: str
    node: str
    branch: str
    # Any: a JSON Schema, and what the asker wants shown.
    answer_type: Mapping[str, Any]
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """An answer to an ask of kind `in_doubt`: the effect did happen, and this is what it gave."""

    # Any: what the effect's function returns.
    value: Any


@dataclass(frozen=True, slots=True)
class GraphResult(Generic[S]):
    """How a run ended. `stop_reason` is set when `status` is `stopped`, `asks` when it is `paused`."""

    run_id: str
    status: Status
    state: S
    steps: int
    usage: Usage
    asks: tuple[Ask, ...] = ()
    stop_reason: str | None = None
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One saved point: a finished step, or the input (seq 0, node START).

    `writes` are as the node wrote them, before reducing, as JSON values. `next` names the nodes that
    were due once the step was saved. `at` is a Unix time in seconds.
    """

    seq: int
    node: str
    branch: str
    # Any: JSON values of the state's fields.
    writes: Mapping[str, Any]
    next: tuple[str, ...]
    at: float
    duration_s: float
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run in a list. Times are Unix seconds."""

    run_id: str
    status: Status
    graph: str
    created_at: float
    updated_at: float
    parent: str | None = None
