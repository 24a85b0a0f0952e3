"""What the engine knows of a type: how its values are checked, saved, read back and handed out.

A value that a later step sees equals its JSON round trip, so that a resumed run cannot differ from
an uninterrupted one. Three questions are answered once per type, when a graph is compiled:

- *is it plain?* Then what `json` reads back is already the value, and nothing needs to be parsed.
- *is it exact?* Then a validated value equals its round trip, and nothing needs to be read back.
- *may it be shared?* A node's inputs are its own: immutable values are shared, lists and dicts of
  immutable values are copied flat, everything else is copied deep.
"""

import copy
import datetime
import decimal
import enum
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, Secret, SecretBytes, SecretStr, TypeAdapter

# Any, in this module: a value of the type at hand, which only pydantic knows.

_PLAIN = (bool, int, float, str, types.NoneType)
_IMMUTABLE = (
    *_PLAIN, bytes, complex, enum.Enum, decimal.Decimal, uuid.UUID, pathlib.PurePath,
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo,
)  # fmt: skip
_SECRET = (SecretStr, SecretBytes, Secret)
_JSON = ConfigDict(ser_json_inf_nan="strings", ser_json_bytes="base64", val_json_bytes="base64")


class Values:
    """The values of one type. Make it by `values_of`."""

    __slots__ = ("_adapter", "copy", "dump", "flaw", "is_exact", "is_plain", "load_json", "type", "validate")

    def __init__(self, annotation: Any) -> None:
        adapter = _adapter(annotation)
        self._adapter = adapter
        self.type = annotation
        self.validate: Callable[[Any], Any] = adapter.validator.validate_python
        self.dump: Callable[[Any], bytes] = adapter.serializer.to_json
        self.load_json: Callable[[bytes], Any] = adapter.validator.validate_json
        self.is_plain = _is_plain(annotation)
        self.is_exact = _is_exact(annotation)
        self.copy = _copier(annotation)
        self.flaw = _flaw(annotation, adapter)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what is saved."""
        return self._adapter.json_schema(mode="serialization")

    def round_trip(self, value: Any, saved: bytes) -> Any:
        """Return what reading `saved`, the dump of `value`, gives."""
        return value if self.is_exact else self.load_json(saved)

    def restore(self, parsed: Any) -> Any:
        """Return the value that was saved, from its parsed JSON."""
        if self.is_plain:
            return parsed
        return self.load_json(ANYTHING.dump(parsed))


def values_of(annotation: Any) -> Values:
    """Return what is known of a type, worked out once."""
    try:
        return _cached(annotation)
    except TypeError:  # an unhashable annotation
        return Values(annotation)


@lru_cache(maxsize=4096)
def _cached(annotation: Any) -> Values:
    return Values(annotation)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True, **_JSON))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)  # the type brings a configuration of its own


def bare(annotation: Any) -> Any:
    """Return the type without `Annotated`, `NewType` and aliases around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the types that a type is made of, one level down."""
    for member in get_args(annotation):
        if member is not Ellipsis:
            yield member


def is_union(annotation: Any) -> bool:
    """Tell whether a bare type is a union."""
    return get_origin(annotation) in (Union, types.UnionType)


def _is_plain(annotation: Any) -> bool:
    annotation = bare(annotation)
    origin = get_origin(annotation)
    if annotation in _PLAIN:
        return True
    if origin is Literal:
        return all(type(value) in _PLAIN for value in get_args(annotation))
    if is_union(annotation) or origin is list:
        return all(_is_plain(member) for member in _members(annotation))
    if origin is dict:
        key, value = get_args(annotation)
        return bare(key) is str and _is_plain(value)
    return False


def _is_exact(annotation: Any) -> bool:
    """A plain type, or a set or tuple of plain ones. A float in a union may be read back as an int."""
    inner = bare(annotation)
    if get_origin(inner) in (set, frozenset, tuple):
        return all(_is_plain(member) for member in _members(inner))
    return _is_plain(inner) and not _has_validators(annotation)


def _has_validators(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        return any("Validator" in type(extra).__name__ for extra in extras) or _has_validators(inner)
    return any(_has_validators(member) for member in _members(bare(annotation)))


def _is_immutable(annotation: Any) -> bool:
    annotation = bare(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return True
    if is_union(annotation) or origin in (tuple, frozenset):
        return all(_is_immutable(member) for member in _members(annotation))
    if not isinstance(annotation, type):
        return False
    if issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        return bool(annotation.model_config.get("frozen")) and all(_is_immutable(field.annotation) for field in fields)
    return issubclass(annotation, _IMMUTABLE)


def _share(value: Any) -> Any:
    return value


def _copier(annotation: Any) -> Callable[[Any], Any] | None:
    """Return how to hand a value out; None if it may be shared."""
    inner = bare(annotation)
    if _is_immutable(inner):
        return None
    flat: dict[Any, Callable[[Any], Any]] = {list: list.copy, dict: dict.copy, set: set.copy}
    if get_origin(inner) in flat and all(_is_immutable(member) for member in _members(inner)):
        return flat[get_origin(inner)]
    return copy.deepcopy


def _leaves(annotation: Any, seen: set[Any]) -> Iterator[type]:
    annotation = bare(annotation)
    yield from (leaf for member in _members(annotation) for leaf in _leaves(member, seen))
    if isinstance(annotation, type) and annotation not in seen:
        seen.add(annotation)
        yield annotation
        if issubclass(annotation, BaseModel):
            yield from (
                leaf for field in annotation.model_fields.values() for leaf in _leaves(field.annotation, seen)
            )


def _flaw(annotation: Any, adapter: TypeAdapter[Any]) -> str:
    """Return why values of the type cannot be saved as JSON; empty if they can."""
    for leaf in _leaves(annotation, set()):
        if issubclass(leaf, _SECRET):
            return f"{leaf.__name__} is a secret, which a saved state would lose; keep secrets in the environment"
    if _is_plain(annotation):
        return ""
    try:
        adapter.json_schema(mode="serialization")
    except Exception as error:  # noqa: BLE001 - whatever pydantic finds is the flaw
        reason = str(error).strip().splitlines()[0].rstrip(".")
        return f"{reason}; live objects (clients, connections) belong to Runtime"
    return ""


ANYTHING = values_of(Any)


def list_item(annotation: Any) -> Any | None:
    """Return the type of the items of a list or of a tuple of any length; None if it is neither."""
    inner = bare(annotation)
    members = get_args(inner)
    if get_origin(inner) is list:
        return members[0]
    if get_origin(inner) is tuple and len(members) == 2 and members[1] is Ellipsis:
        return members[0]
    return Any if inner in (list, tuple) else None


def type_name(annotation: Any) -> str:
    """Return a type as a user would write it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("NoneType", "None")


def fits(source: Any, target: Any) -> bool:
    """Tell whether a value of type `source` may stand where `target` is wanted.

    Errs towards yes: only what cannot fit is refused, the rest is checked when a value comes.
    """
    if source is target:
        return True
    source, target = bare(source), bare(target)
    if source == target or Any in (source, target) or target is object:
        return True
    if is_union(source):
        return all(fits(member, target) for member in get_args(source))
    if is_union(target):
        return any(fits(source, member) for member in get_args(target))
    if get_origin(source) is Literal:
        return (get_origin(target) is Literal and set(get_args(source)) <= set(get_args(target))) or all(
            fits(type(value), target) for value in get_args(source)
        )
    source_class, target_class = get_origin(source) or source, get_origin(target) or target
    if target_class is Literal:
        return False
    if not isinstance(source_class, type) or not isinstance(target_class, type):
        return True  # a TypeVar, a protocol, something pydantic knows better
    if target_class is float and source_class is int:
        return True
    try:
        if not issubclass(source_class, target_class):
            return False
    except TypeError:
        return True
    ours, theirs = get_args(source), get_args(target)
    if not ours or not theirs or len(ours) != len(theirs):
        return True
    return all(fits(a, b) for a, b in zip(ours, theirs, strict=True) if a is not Ellipsis and b is not Ellipsis)
