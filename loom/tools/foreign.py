"""Arguments of tools that cannot validate them beforehand, held against the schema they tell."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from loom.errors import ToolExecutionError, did_you_mean, quoted
from loom.types.tools import Tool

# Any, in this module: a JSON Schema, and arguments of any tool.

CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as they come back from JSON.

    Raises:
        ValueError, TypeError: they do not come back as they were.
    """
    text = CANONICAL.encode(dict(arguments))
    text.encode()
    back: dict[str, Any] = json.loads(text)
    if back != arguments:
        raise ValueError("they change on their way through JSON")
    return back


def held_against_schema(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with the defaults that the tool's schema tells.

    Types are the tool's to check: only names are checked here.

    Raises:
        ToolExecutionError: an argument is missing or unknown.
        ValueError, TypeError: they are no JSON.
    """
    schema = tool.schema.parameters
    known: Mapping[str, Any] = schema.get("properties", {})
    parts = {name: cast("Mapping[str, Any]", part) for name, part in known.items() if isinstance(part, Mapping)}
    defaults = {name: part["default"] for name, part in parts.items() if "default" in part}
    filled = as_json({**defaults, **arguments})
    if missing := set(schema.get("required", ())) - filled.keys():
        raise ToolExecutionError(f'tool "{tool.name}" was not called: {quoted(missing)} must be given')
    unknown = filled.keys() - known.keys()
    if unknown and schema.get("additionalProperties") is False:
        hints = "".join(did_you_mean(name, known) for name in sorted(unknown))
        raise ToolExecutionError(
            f'tool "{tool.name}" was not called: it has no argument {quoted(unknown)}; it has {quoted(known)}.{hints}'
        )
    return filled
