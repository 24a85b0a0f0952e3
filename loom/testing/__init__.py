"""The test kit: scripted and recorded models, one node at a time, snapshots of what nodes give, what stores must do."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loom.testing.cassette import CassetteModel
    from loom.testing.checkpointer_suite import CheckpointerSuite
    from loom.testing.nodes import run_node
    from loom.testing.scripted import ScriptedModel, call

__all__ = ["CassetteModel", "CheckpointerSuite", "ScriptedModel", "call", "run_node"]

_HOMES = {
    "CassetteModel": "loom.testing.cassette",
    "CheckpointerSuite": "loom.testing.checkpointer_suite",
    "ScriptedModel": "loom.testing.scripted",
    "call": "loom.testing.scripted",
    "run_node": "loom.testing.nodes",
}

if "pytest" in sys.modules:  # so that a case of the stores' suite that fails tells the values it compared
    import pytest

    pytest.register_assert_rewrite(*(f"loom.testing.checkpointer_{part}" for part in ("claims", "crashes", "suite")))


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module "{__name__}" has no attribute "{name}"')
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
