"""Records put together of values that are known to fit."""

from typing import Any, TypeVar

from pydantic import BaseModel

Record = TypeVar("Record", bound=BaseModel)

_NEW, _SET = object.__new__, object.__setattr__


# Any: values of the fields, whose types the caller knows.
def assembled(kind: type[Record], content: dict[str, Any], given: set[str] | None = None) -> Record:
    """Return a record that holds exactly this, unchecked; `given` are the fields that count as set, by default all.

    For values that were checked already: a constructor would look through all of them once more.
    """
    made = _NEW(kind)
    _SET(made, "__dict__", content)
    _SET(made, "__pydantic_fields_set__", {*content} if given is None else given)
    _SET(made, "__pydantic_extra__", None)
    _SET(made, "__pydantic_private__", None)
    return made
