"""Records put together of values that are known to fit."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from pydantic import BaseModel

Record = TypeVar("Record", bound=BaseModel)
Given = ParamSpec("Given")

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


def unchecked(kind: Callable[Given, Record]) -> Callable[Given, Record]:
    """Return a constructor of a record that takes what the record's own does, and looks at none of it.

    For values whose types a type checker knows, as it checks these calls. Only the fields that are given count as set.
    """
    record = cast("type[Record]", kind)
    if made := [name for name, field in record.model_fields.items() if field.default_factory]:
        raise TypeError(
            f"{record.__name__} is not for unchecked: a default of its fields {made} is made anew each time"
        )
    fields = {name: field.get_default(call_default_factory=True) for name, field in record.model_fields.items()}
    own = [name for name, default in fields.items() if type(default) in (dict, list, set)]  # not to be shared

    # Any: as above.
    def make(**content: Any) -> Record:
        whole = fields | content
        for name in own:
            if name not in content:
                whole[name] = fields[name].copy()
        return assembled(record, whole, {*content})

    return cast("Callable[Given, Record]", make)
