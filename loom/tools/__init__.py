"""What nodes reach the world with: tools of a model behind one door, commands, files. Loaded on first use.

The decorator `tool` is at the front door, `loom`: here the name is that of the module it lives in.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loom.tools.door import Door, GuardedTool, as_door
    from loom.tools.hooks import HookManager
    from loom.tools.tool import ToolSpec
    from loom.types.decisions import Decision, ToolRun
    from loom.types.policy import HookDecision, HookOutcome
    from loom.types.tools import Tool

__all__ = [
    "Decision",
    "Door",
    "GuardedTool",
    "HookDecision",
    "HookManager",
    "HookOutcome",
    "Tool",
    "ToolRun",
    "ToolSpec",
    "as_door",
]

_HOMES = {
    "Decision": "loom.types.decisions",
    "Door": "loom.tools.door",
    "GuardedTool": "loom.tools.door",
    "HookDecision": "loom.types.policy",
    "HookManager": "loom.tools.hooks",
    "HookOutcome": "loom.types.policy",
    "Tool": "loom.types.tools",
    "ToolRun": "loom.types.decisions",
    "ToolSpec": "loom.tools.tool",
    "as_door": "loom.tools.door",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module "loom.tools" has no name "{name}"')
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
