"""What was decided about tool calls, and what came of those that were made."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from loom.types.frozen import FrozenDict, FrozenJson, FrozenTexts
from loom.types.messages import ToolResult

Outcome = Literal["allow", "ask", "deny"]
# What decided: that there is no such tool, the arguments, a hook, … or nothing, where nothing objected.
DecidedBy = Literal["", "lookup", "arguments", "hook", "policy", "rate_limit", "rule"]


class Decision(BaseModel):
    """Whether a tool call may be made, and exactly what would be called.

    `arguments` are validated, with defaults filled in, as JSON: what was judged is what runs. `digest` is the SHA-256
    in hex over the canonical JSON of tool, arguments and run id. `rule` names what decided within `by`: a safety rule
    by its name, a policy by its setting; empty where nothing objected. `reason` is for people and for the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    call_id: str
    tool: str
    outcome: Outcome
    by: DecidedBy = ""
    rule: str = ""
    reason: str = ""
    digest: str
    arguments: FrozenJson = FrozenDict()
    # Seconds until the rate limit would let the call through.
    retry_after_s: float | None = None


class ToolRun(BaseModel):
    """What came of a call that was made.

    Where the output was too long, `kept` holds the whole of it by the reference that `result` names. `notes` tell what
    went wrong after the call, such as a hook that failed: the call has happened nonetheless. `is_told`: an event told
    of the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    result: ToolResult
    kept: FrozenTexts = FrozenDict()
    notes: tuple[str, ...] = ()
    is_told: bool = False
