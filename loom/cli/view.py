"""A saved run as one record: what `show` prints, and what `run` and `resume` end with."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from loom.cli.store import CommandStore
from loom.core.journal import decode
from loom.core.result import Checkpoint, Status
from loom.core.runtime import Runtime
from loom.core.state import State, fields_of
from loom.runs.app import CompiledGraph
from loom.runs.notes import open_asks
from loom.types.usage import Usage

# Any, in this module: JSON values of the user's fields, and the state of a graph.


class AskView(BaseModel):
    """An ask that waits for an answer, of the type that a JSON Schema says."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    node: str
    question: str
    answer_type: dict[str, Any]
    payload: dict[str, Any]


class RunView(BaseModel):
    """One run as stored. Times are Unix seconds; `state` and the writes are JSON."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    graph: str
    status: Status
    stop_reason: str | None
    asks: list[AskView]
    error: str | None
    steps: int
    usage: Usage
    started_at: float
    updated_at: float
    state: dict[str, Any]


async def asks_of(store: CommandStore, run_id: str) -> list[AskView]:
    """Return the asks of a run that are open, whatever its graph has become.

    Raises:
        RunNotFoundError: the store has no run of this id.
        CheckpointError: the store failed.
    """
    journal = await store.read(run_id)
    return _asks([decode(record, run_id) for record in journal.records])


async def view_of(app: CompiledGraph[Any], store: CommandStore, run_id: str) -> RunView:
    """Read a run.

    Raises:
        RunNotFoundError: the store has no run of this id.
        GraphChangedError: it belongs to another graph.
        CheckpointError: the store failed.
    """
    journal = await store.read(run_id)
    records = [decode(record, run_id) for record in journal.records]
    state = await app.state(run_id, runtime=Runtime(checkpointer=store))
    ended = records[-1] if records[-1]["kind"] == "end" else {}
    usages = [Usage.model_validate(record["usage"]) for record in records if "usage" in record]
    return RunView(
        run_id=run_id,
        graph=app.name,
        status=journal.status,
        stop_reason=ended.get("reason"),
        asks=_asks(records),
        error=ended.get("error"),
        steps=sum(record["kind"] == "step" for record in records),
        usage=sum(usages, Usage()),
        started_at=records[0]["at"],
        updated_at=records[-1]["at"],
        state=state_json(state),
    )


def _asks(records: Iterable[Mapping[str, Any]]) -> list[AskView]:
    return [AskView.model_validate(ask, from_attributes=True) for ask in open_asks(records)]


def state_json(state: State) -> dict[str, Any]:
    """Return the fields that were written or have a default, as they are saved."""
    return {
        name: from_json(field.values.dump(getattr(state, name)))
        for name, field in fields_of(type(state)).items()
        if name in vars(state)
    }


def point_json(point: Checkpoint) -> dict[str, Any]:
    """Return one saved point as JSON."""
    names = ("seq", "node", "branch", "attempt", "at", "duration_s")
    return {name: getattr(point, name) for name in names} | {"writes": dict(point.writes), "next": list(point.next)}
