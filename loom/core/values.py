"""What the engine knows of a type: how its values are checked, saved, read back and handed out.

A value that a later step sees equals its JSON round trip, so that a resumed run cannot differ from
an uninterrupted one. Three questions are answered once per type, when a graph is compiled:

- *is it plain?* Then what `json` reads back is already the value, and nothing needs to be parsed.
- *is it exact?* Then a validated value equals its round trip, and nothing needs to be read back.
  Of frozen records this is told by looking at each value (`loom.types.exact`).
- *may it be shared?* A node's inputs are its own: immutable values are shared, lists and dicts of
  immutable values are copied flat, everything else is copied deep.
"""

import copy
import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import types
import typing
import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaSerializer, core_schema, to_json

from loom.errors import ConfigError
from loom.types.annotations import bare, is_union, type_name
from loom.types.exact import completed, exactness
from loom.types.frozen import FREEZE
from loom.types.saving import SURE, first_finding, flaw_of, refuse_unreadable

# Any, in this module: a value of the type at hand, which only pydantic knows.

Generator = type[GenerateJsonSchema]

_PLAIN = (bool, int, float, str, types.NoneType)
_IMMUTABLE = (
    *_PLAIN, bytes, complex, enum.Enum, decimal.Decimal, uuid.UUID, pathlib.PurePath,
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo,
)  # fmt: skip
_NUMBERS = (bool, int, float, types.NoneType)
_CONFIG = ConfigDict(
    arbitrary_types_allowed=True, ser_json_inf_nan="strings", ser_json_bytes="base64", val_json_bytes="base64"
)


class Values:
    """The values of one type. Make it by `values_of`."""

    __slots__ = (
        "_adapter", "copy", "dump", "flaw", "is_exact", "is_plain", "is_stable", "load_json", "looks_exact",
        "refuse_unreadable", "type", "validate",
    )  # fmt: skip

    def __init__(self, annotation: Any) -> None:
        adapter = _adapter(annotation)
        self._adapter = adapter
        self.type = annotation
        self.validate: Callable[..., Any] = adapter.validator.validate_python
        self.dump: Callable[[Any], bytes] = adapter.serializer.to_json
        self.load_json: Callable[[bytes], Any] = adapter.validator.validate_json
        pieces = list(_pieces(annotation, {}))
        self.is_stable = not any(map(_is_opaque, pieces))  # to check a checked value again changes nothing
        self.is_exact = self.is_stable and _is_exact(annotation)
        self.is_plain = self.is_stable and _is_json(annotation) and float not in pieces
        if not self.is_exact:  # a model's aliases are for its outside; what is saved has the names of the fields
            self.dump = _dumper(pieces, adapter)
            self.load_json = partial(self.load_json, by_alias=False, by_name=True)
        self.looks_exact = exactness(annotation)
        self.copy = _copier(annotation)
        self.flaw = "" if self.is_exact else flaw_of(pieces, adapter)
        is_doubtful = int in pieces if self.is_exact else any(map(_may_nest, pieces))
        self.refuse_unreadable = refuse_unreadable if is_doubtful else None

    def schema(self, generator: Generator = GenerateJsonSchema) -> dict[str, Any]:
        """Return the JSON Schema of what may be given."""
        return self._adapter.json_schema(mode="validation", by_alias=False, schema_generator=generator)

    def settle(self, value: Any) -> tuple[Any, bytes]:
        """Check a value; return it as later steps see it, and its JSON.

        Raises:
            ValueError: it is none of the type, or cannot be saved.
        """
        looks_exact = self.looks_exact
        if looks_exact and (found := looks_exact(value)) is not False:
            return value if found else completed(value), self._adapter.serializer.to_json(value, by_alias=False)
        value = self.validate(value)
        saved = self.dump(value)
        if self.refuse_unreadable and len(saved) > SURE:
            self.refuse_unreadable(saved)
        is_exact = self.is_exact or (looks_exact and looks_exact(value))
        return value if is_exact else self.load_json(saved), saved

    def restore(self, parsed: Any) -> Any:
        """Return the value that was saved, from its parsed JSON. It was checked when it was saved."""
        return parsed if self.is_plain else self.read(parsed)

    def read(self, parsed: Any) -> Any:
        """Check parsed JSON of unknown origin; return it as a value of the type.

        Raises:
            ValueError: it is none of the type.
        """
        return self.load_json(to_json(parsed))


_EXACT = core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())


def exact_dumper() -> Callable[[dict[str, Any]], bytes]:
    """Return how exact values by name are saved. Each remembers how long its JSON was, so let every node have one."""
    return SchemaSerializer(_EXACT, core_schema.CoreConfig(ser_json_inf_nan="strings")).to_json


def values_of(annotation: Any) -> Values:
    """Return what is known of a type, worked out once."""
    try:
        return _cached(annotation)
    except TypeError:  # an unhashable annotation
        return Values(annotation)


def values_at(where: str, annotation: Any) -> Values:
    """Return what is known of a type that stands somewhere.

    Raises:
        ConfigError: pydantic makes nothing of it.
    """
    try:
        return values_of(annotation)
    except Exception as error:  # whatever pydantic, or the type itself, makes of it
        message = f"{where}: no value can be checked by the type {type_name(annotation)}"
        raise ConfigError(f"{message}: {first_finding(error)}") from error


@lru_cache(maxsize=4096)
def _cached(annotation: Any) -> Values:
    return Values(annotation)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=_CONFIG)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)  # the type brings a configuration of its own


def _pieces(annotation: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Yield a type and all it is made of, each once. The types of a record's fields are among them.

    Metadata is yielded with what it is about; `_Again` stands for an alias inside itself, `_Twice` for a
    record that may be inside itself.
    """
    if id(annotation) in seen:
        if type(annotation).__name__ == "TypeAliasType":
            yield _Again  # pragma: no cover - such an alias needs the type statement of Python 3.12
        elif _record(get_origin(annotation) or annotation):
            yield _Twice
        return
    seen[id(annotation)] = annotation  # held, so that no other type gets its id
    yield annotation
    inner = bare(annotation)
    if inner is not annotation:
        if get_origin(annotation) is Annotated:
            inner = get_args(annotation)[0]
        yield from _pieces(inner, seen)
    elif get_origin(inner) is not Literal:
        for piece in (*get_args(inner), *_record(get_origin(inner) or inner)):
            yield from _pieces(piece, seen)


class _Again:
    """An alias met inside itself."""


class _Twice:
    """A record met again."""


def _record(kind: Any) -> list[Any]:
    """Return the types of the fields of a model, dataclass, TypedDict or NamedTuple."""
    if not inspect.isclass(kind):
        return []
    if issubclass(kind, BaseModel):
        return [field.annotation for field in kind.model_fields.values()]
    is_record = dataclasses.is_dataclass(kind) or hasattr(kind, "__total__") or hasattr(kind, "_field_defaults")
    if not is_record:
        return []
    try:
        return list(typing.get_type_hints(kind, include_extras=True).values())
    except NameError:  # of a function's own scope: what pydantic finds there cannot be looked up here
        return []


def _is_opaque(piece: Any) -> bool:
    """Tell whether metadata of the type decides by itself how values are checked or saved."""
    extras = get_args(piece)[1:] if get_origin(piece) is Annotated else ()
    return piece is _Again or any(hasattr(extra, "__get_pydantic_core_schema__") for extra in extras)


def _may_nest(piece: Any) -> bool:
    """Tell whether values of a piece may be nested to any depth, as far as its other pieces do not tell."""
    kind = bare(piece)
    if get_origin(kind) is not None or _record(kind):
        return _is_opaque(piece) or getattr(kind, "model_config", {}).get("extra") == "allow"
    return not (isinstance(kind, type) and issubclass(kind, _IMMUTABLE))


def _is_json(annotation: Any) -> bool:
    """Tell whether values of the type are what JSON has, read back as they were."""
    annotation = bare(annotation)
    origin = get_origin(annotation)
    if annotation in _PLAIN:
        return True
    if origin is Literal:
        return all(type(value) in _PLAIN for value in get_args(annotation))
    if is_union(annotation):
        # An infinity is saved as a string, which another member of the union may claim.
        if float in _pieces(annotation, {}) and not all(bare(one) in _NUMBERS for one in get_args(annotation)):
            return False
        return all(_is_json(member) for member in get_args(annotation))
    if origin is list:
        return _is_json(get_args(annotation)[0])
    if origin is dict:
        key, value = get_args(annotation)
        return bare(key) is str and _is_json(value)
    return False


def _is_exact(annotation: Any) -> bool:
    """Tell whether a checked value equals its round trip: JSON's own types, or a set or tuple of them."""
    inner = bare(annotation)
    if get_origin(inner) in (set, frozenset, tuple):
        return all(_is_json(member) for member in get_args(inner) if member is not Ellipsis)
    return _is_json(inner)


def _is_immutable(annotation: Any, seen: tuple[Any, ...] = ()) -> bool:
    annotation = bare(annotation)
    origin = get_origin(annotation)
    if origin is Literal or annotation in seen:
        return True
    if is_union(annotation) or origin in (tuple, frozenset):
        return all(_is_immutable(member, seen) for member in get_args(annotation) if member is not Ellipsis)
    if not isinstance(annotation, type):
        return False
    if issubclass(annotation, BaseModel):
        config, seen = annotation.model_config, (*seen, annotation)
        is_closed = config.get("frozen") and config.get("extra") != "allow" and not annotation.__private_attributes__
        return bool(is_closed) and all(
            FREEZE in one.metadata or _is_immutable(one.annotation, seen) for one in annotation.model_fields.values()
        )
    return issubclass(annotation, _IMMUTABLE)


def _copier(annotation: Any) -> Callable[[Any], Any] | None:
    """Return how to hand a value out; None if it may be shared."""
    inner = bare(annotation)
    if _is_immutable(inner):
        return None
    flat: dict[Any, Callable[[Any], Any]] = {list: list[Any].copy, dict: dict[Any, Any].copy, set: set[Any].copy}
    if get_origin(inner) in flat and all(map(_is_immutable, get_args(inner))):
        return flat[get_origin(inner)]
    return copy.deepcopy


def _dumper(pieces: list[Any], adapter: TypeAdapter[Any]) -> Callable[[Any], bytes]:
    """Return how a value is saved.

    A record saves infinities by a setting of its own, as null unless it says otherwise. One with floats
    is taken apart first, so that theirs are saved as strings too; those in its loosely typed fields are not.
    """
    if float not in pieces or not any(_record(get_origin(piece) or piece) for piece in pieces):
        return partial(adapter.serializer.to_json, by_alias=False, round_trip=True)
    take_apart = partial(adapter.serializer.to_python, mode="json", by_alias=False, round_trip=True)
    return lambda value: to_json(take_apart(value), inf_nan_mode="strings")
