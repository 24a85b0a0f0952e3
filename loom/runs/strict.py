"""What `Runtime(strict=True)` checks at every step, although the engine already works so that it holds.

- What a node does to its inputs changes nothing that anything else sees.
- A value that later steps see equals what is read back from its saved JSON, after reducing too.

Both are decided by type when a graph is compiled; a type of the user's may be other than it says.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from loom.core.binding import View
from loom.core.state import Field
from loom.core.values import Values
from loom.errors import LoomError, short
from loom.types.annotations import type_name

# Any, in this module: field values, whose types are the user's.

Fields = Mapping[str, Field]


def as_saved(view: View, fields: Fields) -> dict[str, bytes]:
    """Return the fields of a view as they would be saved."""
    return {name: fields[name].values.dump(value) for name, value in view.items() if name in fields}


def refuse_touched(node: str, before: Mapping[str, bytes], view: View, fields: Fields) -> None:
    """Make sure that a node left the state alone that its inputs were taken from.

    Raises:
        LoomError: a field is not what it was.
    """
    now = as_saved(view, fields)
    for name in before:
        if now.get(name) != before[name]:
            raise LoomError(
                f'node "{node}" changed field "{name}" in place: its type {type_name(fields[name].values.type)} says '
                "that it cannot be changed, and so it is shared; make it so, or let the node return a new value"
            )


def refuse_lossy(node: str, written: Mapping[str, Any], fields: Fields) -> None:
    """Make sure that values equal what a resumed run would read back.

    Raises:
        LoomError: one does not.
    """
    for name, value in written.items():
        values = fields[name].values
        if difference := lossy(values, value):
            raise LoomError(
                f'node "{node}", field "{name}": {short(value)} comes back as {difference} from its saved JSON, so a '
                f"resumed run would see something else; give {type_name(values.type)} a way to be saved and read back"
            )


def lossy(values: Values, value: Any) -> str:
    """Return what a value is once it was saved and read back, if that is something else; empty if it is the same."""
    saved = values.dump(value)
    back = values.restore(from_json(saved))
    is_same = values.dump(back) == saved and (type(back) is type(value) or back == value)
    return "" if is_same else f"{short(back)}"
