"""Tests of what is not here: it is refused by name."""

from importlib import import_module
from typing import Any

import pytest

from loom import Agent, AgentConfig
from loom.runtime.session import Session
from loom.testing import ScriptedModel
from loom.types.absent import ABSENT

ROOMS = ["loom.config", "loom.orchestration", "loom.runtime"]


@pytest.mark.parametrize(("room", "name"), [(room, name) for room in ROOMS for name in ABSENT[room]])
def test_what_a_room_does_not_have_is_refused_by_name_with_what_to_use_instead(room: str, name: str) -> None:
    with pytest.raises(ImportError) as caught:
        exec(f"from {room} import {name}")  # as a user writes it
    assert str(caught.value) == f'{room} has no "{name}": {ABSENT[room][name]}'


@pytest.mark.parametrize("room", ROOMS)
def test_what_nobody_knows_is_missing_as_anywhere(room: str) -> None:
    assert not hasattr(import_module(room), "Nothing")
    with pytest.raises(AttributeError, match=f'module "{room}" has no name "Nothing"'):
        _ = import_module(room).Nothing


@pytest.mark.parametrize("kind", ["Agent", "Session"])
def test_what_an_object_does_not_have_is_refused_by_name(kind: str) -> None:
    agent = Agent(AgentConfig(model=ScriptedModel([])))
    made: Any = agent if kind == "Agent" else agent.session()
    for name, reason in ABSENT[kind].items():
        assert not hasattr(made, name)
        with pytest.raises(AttributeError) as caught:
            getattr(made, name)
        assert str(caught.value) == f'{kind} has no "{name}": {reason}'
    with pytest.raises(AttributeError, match=f'{kind} has no "nothing"'):
        _ = made.nothing


def test_what_is_said_to_be_absent_is() -> None:
    for room in ROOMS:
        assert not ABSENT[room].keys() & set(vars(import_module(room)))
    assert not ABSENT["Agent"].keys() & set(vars(Agent))
    assert not ABSENT["Session"].keys() & set(vars(Session))
