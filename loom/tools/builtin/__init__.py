"""Tools that are real and confined. An agent has none of them unless it is given them."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loom.tools.builtin.commands import command_tool
    from loom.tools.builtin.fetch import fetch_tool
    from loom.tools.builtin.files import file_tools

__all__ = ["command_tool", "fetch_tool", "file_tools"]

_HOMES = {"command_tool": "commands", "fetch_tool": "fetch", "file_tools": "files"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module "{__name__}" has no name "{name}"')
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
