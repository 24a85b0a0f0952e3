"""Runs and sessions of an agent: what they are given, what they tell, what comes of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, field_validator

from loom.core.result import Ask
from loom.errors import ConfigError, short
from loom.types.events import Event
from loom.types.frozen import FrozenDict, FrozenJson
from loom.types.knowledge import KnowledgeBundle
from loom.types.settings import Settings
from loom.types.usage import Usage

RunEvent = Event

FALLBACK = "fallback"
"""The finish reason of a reply that no model gave."""

UNFINISHED = frozenset(
    (
        *(FALLBACK, "refusal", "error", "other", "abort", "aborted", "cancelled", "network_error", "pause_turn"),
        # cut off
        *("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded", "compaction"),
        *("incomplete", "time_limit", "token_limit", "insufficient_system_resource", "too_many_tool_calls"),
        # held back
        *("content_filter", "content_filtered", "guardrail_intervened", "sensitive", "error_toxic", "safety"),
        *("blocklist", "prohibited_content", "recitation", "spii", "language", "image_safety"),
        # not readable
        *("malformed_function_call", "malformed_response", "unexpected_tool_call", "missing_thought_signature"),
    )
)
"""The finish reasons, in lower case, of replies that are no whole answer; any other is that of a whole one."""


class RunState(StrEnum):
    """How far a run has come."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    STOPPED = "stopped"


class SessionConfig(Settings):
    """Which session. Without an `id` it is one of its own. `metadata` is the user's."""

    id: str | None = None
    # Any: the user's own.
    metadata: dict[str, Any] = {}

    @field_validator("id")
    @classmethod
    def _can_be_shown(cls, name: str | None) -> str | None:
        if name is not None and not (name and name.isprintable()):
            raise ValueError(f"must be printable text, got {short(name)}")
        return name

    def to_metadata(self) -> dict[str, Any]:
        """Return a copy of the metadata."""
        return dict(self.metadata)


class RunContext(Settings):
    """What one run is given beside its prompt: inputs as JSON, and evidence."""

    inputs: dict[str, JsonValue] = {}
    knowledge: KnowledgeBundle | None = None

    @field_validator("inputs")
    @classmethod
    def _can_be_saved(cls, inputs: dict[str, JsonValue]) -> dict[str, JsonValue]:
        try:
            json.dumps(inputs, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:  # no number, half a character, a value inside itself
            raise ValueError(f"must be JSON that can be saved: {error}") from None
        return inputs

    def to_payload(self) -> dict[str, Any]:
        """Return it as JSON for the model; empty if there is nothing."""
        found: dict[str, Any] = dict(self.inputs)
        if self.knowledge:
            if "knowledge" in found:
                raise ConfigError('RunContext has an input "knowledge" and knowledge too; give the input another name')
            found["knowledge"] = self.knowledge.to_context_payload()
        return found

    def to_text(self, cleaned: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> str:
        """Return the payload as text, once it is `cleaned`; empty if there is nothing."""
        payload = cleaned(self.to_payload())
        return json.dumps(payload, ensure_ascii=False) if payload else ""


class Artifact(BaseModel):
    """Something that a run made. The output of a run is one, of kind `output`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    run_id: str
    kind: str
    title: str = ""
    uri: str = ""
    created_at: datetime
    content: str = ""
    metadata: FrozenJson = FrozenDict()


@dataclass(frozen=True)
class RunResult:
    """How a run ended, or where it waits.

    `asks` are what a paused run waits for; `stop_reason` says why one was stopped. `finish_reason` is that of the
    model's last reply, of which `output` is the text: `stop` where the model came to its end, `tool_calls` where it
    called tools, `length` where the reply was cut off, `content_filter` or `refusal` where there is none; else the
    provider's own word. It is empty where no model replied.
    """

    run_id: str = ""
    state: RunState = RunState.COMPLETED
    output: str = ""
    duration_ms: int = 0
    usage: Usage = field(default_factory=Usage)
    asks: tuple[Ask, ...] = ()
    stop_reason: str | None = None
    finish_reason: str = ""
    tell: Callable[[], list[Event]] = field(default=list[Event], repr=False, compare=False)

    @cached_property
    def events(self) -> list[Event]:
        """What happened until then, oldest first."""
        return self.tell()

    @cached_property
    def artifacts(self) -> list[Artifact]:
        """What the run made, its output among it."""
        return artifacts_in(self.events, self.output)

    @property
    def is_fallback(self) -> bool:
        """Whether no model answered and the output is the fixed form of `LOCAL_SUMMARY`."""
        return self.finish_reason == FALLBACK

    @property
    def error(self) -> Mapping[str, str] | None:
        """A `message`, where the run did not come to its own end; a run that failed raises instead."""
        return {"message": self.stop_reason} if self.state is RunState.STOPPED and self.stop_reason else None


def is_unfinished(finish_reason: str) -> bool:
    """Tell whether a reply that ended so is cut off, held back or none at all."""
    return finish_reason.partition(":")[0].strip().lower() in UNFINISHED


def artifacts_in(events: list[Event], output: str) -> list[Artifact]:
    """Return the artifacts that a run's events tell of; the newest output stands for all."""
    found: dict[str, Artifact] = {}
    for event in events:
        if event.type == "artifact.created":
            made, kind = event.payload["artifact_id"], event.payload["kind"]
            found[made] = Artifact(
                id=made,
                run_id=event.run_id,
                kind=kind,
                title=event.payload.get("title", kind.capitalize()),
                created_at=datetime.fromtimestamp(event.at, UTC),
                content=output if kind == "output" else "",
            )
    return list(found.values())
