"""What happens in a run, as readers see it."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from loom.types.assembly import unchecked


class Event(BaseModel):
    """One thing that happened.

    `offset` numbers the events of a run without gaps, from 1; 0 marks an event that is live only,
    as `model.delta` is. `seq` is the number of the last finished step, `at` a Unix time in seconds.
    """

    model_config = ConfigDict(frozen=True)

    type: str
    # Any: JSON, by the type of the event.
    payload: dict[str, Any] = {}
    run_id: str = ""
    seq: int = 0
    at: float = 0.0
    offset: int = 0


happened = unchecked(Event)
"""Make an event of Loom's own, whose payload is known to be JSON."""
