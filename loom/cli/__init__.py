"""The command line: `loom run`, `resume`, `runs`, `show`, `render`, `check`."""

from loom.cli.commands import main

__all__ = ["main"]
