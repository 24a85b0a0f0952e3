"""What is handed on when a conversation begins anew: the goal, what was done, what is open."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from loom.types.frozen import FrozenDict, FrozenJson, FrozenTexts


def _utc_now() -> str:
    return datetime.now(UTC).isoformat()


class HandoffArtifact(BaseModel):
    """Everything that whoever goes on has to know. `sprint` counts renewals from 1, `handoff_ts` is in UTC, ISO 8601.

    `produced_artifacts` are descriptions by name; `context_snapshot` is how full the window was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: str
    sprint: int = Field(ge=0)
    progress_summary: str = ""
    produced_artifacts: FrozenTexts = FrozenDict()
    open_tasks: tuple[str, ...] = ()
    context_snapshot: FrozenJson = FrozenDict()
    handoff_ts: str = Field(default_factory=_utc_now)

    def to_system_prompt(self) -> str:
        """Return it as Markdown for a model."""
        artifacts = [f"- **{name}**: {text}" for name, text in self.produced_artifacts.items()]
        snapshot = [f"- {name}: {value}" for name, value in self.context_snapshot.items()]
        sections = (
            ("Goal", [self.goal]),
            ("Progress Summary", [self.progress_summary or "_(no progress recorded)_"]),
            ("Produced Artifacts", artifacts or ["_(none)_"]),
            ("Open Tasks", [f"- {task}" for task in self.open_tasks] or ["_(none)_"]),
            ("Context Snapshot", snapshot or ["_(none)_"]),
        )
        body = "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in sections)
        return f"# Handoff Document (Sprint {self.sprint})\n\n{body}\n\n_Handed off at {self.handoff_ts}_\n"
