# ruff: noqa: ANN401 - Any is JSON here, or what has a JSON form
"""Dicts and lists that cannot be changed, so that records which hold JSON may be shared.

They hold nothing but JSON, all of it frozen: whatever else they are given becomes what its JSON reads.
So they equal what is read back where they were saved. What has no JSON form stays, and saving refuses it.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Annotated, Any, NoReturn, Self, cast

from pydantic import AfterValidator
from pydantic_core import CoreSchema, PydanticSerializationError, core_schema, from_json, to_json

_MAX_DEPTH = 150  # JSON nested 200 deep cannot be read back, and what holds it adds some
BIG = 2**63  # an integer beyond that may be too long to be read back


def _refuse(self: object, *_given: object, **_named: object) -> NoReturn:
    kind = "mapping" if isinstance(self, dict) else "list"
    raise TypeError(f"this {kind} belongs to a frozen record and cannot be changed; copy it, as in dict(…) or list(…)")


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed. It equals any dict of the same content."""

    __slots__ = ()
    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(frozen(dict(*given, **named)))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> CoreSchema:
        # Without it pydantic could not write a default of this type into a JSON Schema.
        return core_schema.no_info_after_validator_function(frozen, core_schema.dict_schema())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class FrozenList(list[Any]):
    """A list that cannot be changed. It equals any list of the same content."""

    __slots__ = ()
    __setitem__ = __delitem__ = append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __iadd__ = __imul__ = _refuse

    def __init__(self, given: Iterable[Any] = ()) -> None:
        super().__init__(frozen([*given]))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> CoreSchema:
        # Without it pydantic could not write a default of this type into a JSON Schema.
        return core_schema.no_info_after_validator_function(frozen, core_schema.list_schema())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


_FILL_DICT, _FILL_LIST = dict[str, Any].update, list[Any].extend
_DONE = frozenset((FrozenDict, FrozenList, str, bool, type(None)))


def frozen(value: Any) -> Any:
    """Return JSON as containers that cannot be changed; what is no JSON as its JSON reads, an infinity or NaN as None.

    Raises:
        ValueError: what was saved of it could not be read back.
    """
    return _frozen(value, _MAX_DEPTH)


def _frozen(value: Any, room: int) -> Any:
    kind = value.__class__
    if kind in _DONE:  # asked first, as it is by far the commonest and cheap to tell
        return value
    if kind is int and -BIG < value < BIG:
        return value
    if kind is float:
        return value if isfinite(value) else None
    if not room:
        raise ValueError(f"JSON nested more than {_MAX_DEPTH} deep cannot be read back")
    if kind is dict or isinstance(value, Mapping):
        content = {
            name if type(name) is str else _key(name): _frozen(item, room - 1)
            for name, item in cast("Mapping[Any, Any]", value).items()
        }
        made = dict.__new__(FrozenDict)
        _FILL_DICT(made, content)
        return made
    if isinstance(value, list | tuple):
        items = list.__new__(FrozenList)
        _FILL_LIST(items, [_frozen(item, room - 1) for item in cast("list[Any]", value)])
        return items
    read = _read(value)
    return read if type(read) is int or read is value else _frozen(read, room)


def _key(name: object) -> Any:
    given = {name: None}
    read = _read(given)
    return name if read is given else next(iter(read))


def _read(value: Any) -> Any:
    """Return what the JSON of a value reads; the value where it has none."""
    try:
        saved = to_json(value, by_alias=False, inf_nan_mode="null")
    except PydanticSerializationError:
        return value
    return from_json(saved)


FREEZE = AfterValidator(frozen)

FrozenJson = Annotated[dict[str, Any], FREEZE]
"""A JSON object in a frozen record."""

FrozenTexts = Annotated[dict[str, str], FREEZE]
"""Texts by name in a frozen record."""
