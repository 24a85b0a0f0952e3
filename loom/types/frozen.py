"""Dicts and lists that cannot be changed, so that records which hold JSON may be shared."""

from collections.abc import Mapping
from typing import Annotated, Any, NoReturn, Self, cast

from pydantic import AfterValidator
from pydantic_core import CoreSchema, core_schema

# Any, in this module: JSON.


def _refuse(self: object, *_given: object, **_named: object) -> NoReturn:
    kind = "mapping" if isinstance(self, dict) else "list"
    raise TypeError(f"this {kind} belongs to a frozen record and cannot be changed; copy it, as in dict(…) or list(…)")


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed. It equals any dict of the same content."""

    __slots__ = ()
    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

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

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> CoreSchema:
        # Without it pydantic could not write a default of this type into a JSON Schema.
        return core_schema.no_info_after_validator_function(frozen, core_schema.list_schema())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


_DONE = frozenset((FrozenDict, FrozenList, str, int, float, bool, type(None)))


def frozen(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON as containers that cannot be changed."""
    kind = value.__class__
    if kind in _DONE:  # asked first, as it is by far the commonest and cheap to tell
        return value
    if kind is dict or isinstance(value, Mapping):
        return FrozenDict({name: frozen(item) for name, item in cast("Mapping[str, Any]", value).items()})
    if isinstance(value, list | tuple):
        return FrozenList([frozen(item) for item in cast("list[Any]", value)])
    return value


FREEZE = AfterValidator(frozen)

FrozenJson = Annotated[dict[str, Any], FREEZE]
"""A JSON object in a frozen record."""

FrozenTexts = Annotated[dict[str, str], FREEZE]
"""Texts by name in a frozen record."""
