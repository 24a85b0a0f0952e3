"""Tests of what is handed on when a conversation begins anew."""

import copy

import pytest

from loom.types.handoff import HandoffArtifact

HANDOFF = HandoffArtifact(
    goal="Write a haiku.\n",
    sprint=2,
    progress_summary="- called search 2 times",
    produced_artifacts={"draft": "three lines"},
    open_tasks=("count the syllables",),
    context_snapshot={"rho": 0.97},
    handoff_ts="2026-01-01T00:00:00+00:00",
)


def test_a_model_reads_it_as_markdown() -> None:
    assert HANDOFF.to_system_prompt() == (
        "# Handoff Document (Sprint 2)\n\n"
        "## Goal\n\nWrite a haiku.\n\n\n"
        "## Progress Summary\n\n- called search 2 times\n\n"
        "## Produced Artifacts\n\n- **draft**: three lines\n\n"
        "## Open Tasks\n\n- count the syllables\n\n"
        "## Context Snapshot\n\n- rho: 0.97\n\n"
        "_Handed off at 2026-01-01T00:00:00+00:00_\n"
    )


def test_what_is_not_there_is_said() -> None:
    text = HandoffArtifact(goal="?", sprint=1).to_system_prompt()
    assert (text.count("_(none)_"), text.count("_(no progress recorded)_")) == (3, 1)


def test_it_comes_back_from_json_as_it_was() -> None:
    assert HandoffArtifact.model_validate_json(HANDOFF.model_dump_json()) == HANDOFF


def test_it_cannot_be_changed_so_it_may_be_shared() -> None:
    with pytest.raises(TypeError, match="belongs to a frozen record"):
        HANDOFF.produced_artifacts["draft"] = "other"
    assert copy.deepcopy(HANDOFF).context_snapshot is HANDOFF.context_snapshot
