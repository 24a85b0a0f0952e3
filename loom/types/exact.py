# ruff: noqa: ANN401 - Any is a type here, or a value of one
"""Which values of frozen records equal what is read back of them: told by looking at each.

The type alone cannot tell it: pydantic lets a record pass unseen, which may be of a subclass, or made by `model_copy`
or `model_construct` of anything. So for each type a function is made, once, that looks at the whole of a value; where
it finds another thing than reading gives, the value has to be read back.
"""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from math import isfinite
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from loom.types.assembly import assembled
from loom.types.frozen import BIG, FREEZE, FrozenDict

# True: the value is exact. None: it is, as soon as all fields of its records count as set (`completed`). False: no.
IsExact = Callable[[Any], bool | None]

_kind_of: Callable[[Any], Any] = type  # under another name, by which type checkers conclude nothing
_KINDS = (str, bool, types.NoneType)  # every value of these is what JSON reads
_NUMBERS: Mapping[Any, IsExact] = {
    int: lambda value: _kind_of(value) is int and -BIG < value < BIG,
    float: lambda value: _kind_of(value) is float and isfinite(value),
}
_ALIKE = (bool, int, float)  # a number of one may equal a number of another
_HARMLESS = {"frozen", "extra", "title", "arbitrary_types_allowed", "defer_build"}
_WHOLE = frozenset((*_KINDS, *_NUMBERS, FrozenDict))  # the kinds of exact values without records
_FIELD_SETTINGS = (
    "alias", "validation_alias", "serialization_alias", "exclude", "exclude_if", "discriminator", "validate_default",
)  # fmt: skip


def is_only_fields(model: type[BaseModel]) -> bool:
    """Tell whether neither code nor a setting of a model has a part in how it is made, saved and read."""
    schema = "__get_pydantic_core_schema__"
    decorators = model.__pydantic_decorators__
    has_code = (
        any(getattr(decorators, one.name) for one in fields(decorators))
        or model.__pydantic_custom_init__
        or model.__pydantic_post_init__  # private attributes have one too
        or inspect.getattr_static(model, schema) is not inspect.getattr_static(BaseModel, schema)
    )
    has_settings = (
        model.__pydantic_root_model__
        or not model.model_config.keys() <= _HARMLESS
        or model.model_config.get("extra") == "allow"
        or any(getattr(one, name, None) for one in model.model_fields.values() for name in _FIELD_SETTINGS)
    )
    return not has_code and not has_settings


def exactness(annotation: Any, outer: tuple[Any, ...] = ()) -> IsExact | None:
    """Return how to tell that a value is of the type, can never change, and is what its JSON reads.

    None where that cannot be told of any. `outer` are the records around it. To look at a value never changes it.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(args[0], args[1:], outer)
    if origin is Literal:
        return _literal(args)
    if origin in (Union, types.UnionType):
        return _union(args, outer)
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        return _items(args[0], outer)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return _record(annotation, outer)
    if annotation in _KINDS:
        return lambda value: _kind_of(value) is annotation
    return _NUMBERS.get(annotation) if origin is None else None


def _annotated(inner: Any, extras: Sequence[Any], outer: tuple[Any, ...]) -> IsExact | None:
    if extras == (FREEZE,) and inner == dict[str, Any]:
        return lambda value: _kind_of(value) is FrozenDict
    if extras == (FREEZE,) and inner == dict[str, str]:
        return lambda value: _kind_of(value) is FrozenDict and all(_kind_of(text) is str for text in value.values())
    if get_origin(inner) in (Union, types.UnionType) and len(extras) == 1 and _is_tag(extras[0]):
        return _any([look for member in get_args(inner) if (look := exactness(member, outer))])
    return None


def _is_tag(extra: Any) -> bool:
    return isinstance(extra, FieldInfo) and isinstance(extra.discriminator, str) and not extra.metadata


def _literal(words: Sequence[Any]) -> IsExact | None:
    known: dict[object, list[Any]] = {type(word): [one for one in words if type(one) is type(word)] for word in words}
    if not known.keys() <= {*_KINDS, int}:
        return None
    return lambda value: value in known.get(_kind_of(value), ())


def _union(members: Sequence[Any], outer: tuple[Any, ...]) -> IsExact | None:
    """Tell it of a union of which JSON shows what member it is: words and numbers, one array, one object."""
    looks = [exactness(member, outer) for member in members]
    shapes = [_shape(member) for member in members]
    if None in looks or shapes.count("array") > 1 or shapes.count("object") > 1:
        return None
    if any(map(_has_numbers, members)) and sum(one in _ALIKE or _has_numbers(one) for one in members) > 1:
        return None  # a Literal claims what is equal to a word of its own: 1, 1.0 and true
    kinds = frozenset(_KINDS).intersection(members)
    others = _any([look for member, look in zip(members, looks, strict=True) if look and member not in kinds])
    if others is None:
        return lambda value: _kind_of(value) in kinds
    return lambda value: _kind_of(value) in kinds or others(value)


def _has_numbers(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and any(isinstance(word, int) for word in get_args(annotation))


def _shape(annotation: Any) -> str:
    if get_origin(annotation) is tuple:
        return "array"
    is_object = inspect.isclass(annotation) and issubclass(annotation, BaseModel)
    return "object" if is_object or get_origin(annotation) is Annotated else "word"


def _any(looks: Sequence[IsExact]) -> IsExact | None:
    if len(looks) < 2:
        return looks[0] if looks else None

    def is_exact(value: Any) -> bool | None:
        for look in looks:
            if (found := look(value)) is not False:
                return found
        return False

    return is_exact


def _items(item: Any, outer: tuple[Any, ...]) -> IsExact | None:
    look = exactness(item, outer)
    if look is None:
        return None

    def is_exact(value: Any) -> bool | None:
        if _kind_of(value) is not tuple:
            return False
        found: bool | None = True
        for one in value:
            if not (seen := look(one)):
                if seen is False:
                    return False
                found = None
        return found

    return is_exact


def _record(record: type[BaseModel], outer: tuple[Any, ...]) -> IsExact | None:
    if record in outer or not record.model_config.get("frozen") or not is_only_fields(record):
        return None
    types_of = {
        name: Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        for name, info in record.model_fields.items()
    }
    looks = {name: exactness(annotation, (*outer, record)) for name, annotation in types_of.items()}
    if None in looks.values():
        return None
    # Fields of whose values the kind tells all, apart from the rest: all this is looked at in every step.
    kinds = {name: found for name, annotation in types_of.items() if (found := _kinds(annotation))}
    by_kind, by_look = [*kinds.items()], [(name, look) for name, look in looks.items() if look and name not in kinds]
    names, size = frozenset(looks), len(looks)

    def is_exact(value: Any) -> bool | None:
        if _kind_of(value) is not record:
            return False
        content = value.__dict__
        if content.keys() != names:
            return False
        for name, kinds in by_kind:
            if _kind_of(content[name]) not in kinds:
                return False
        found = True if len(value.__pydantic_fields_set__) == size else None
        for name, look in by_look:
            if not (seen := look(content[name])):
                if seen is False:
                    return False
                found = None
        return found

    return is_exact


def completed(value: Any) -> Any:
    """Return an exact value with records of its own, of which all fields count as set, as they do when it is read."""
    kind = _kind_of(value)
    if kind in _WHOLE:
        return value
    if kind is tuple:
        return tuple([completed(one) for one in value]) if value else value
    content = value.__dict__.copy()
    for name, one in value.__dict__.items():
        if _kind_of(one) not in _WHOLE:
            content[name] = completed(one)
    return assembled(kind, content)


def _kinds(annotation: Any) -> frozenset[type]:
    """Return the kinds of the values of a type of which the kind tells all; none of another type."""
    members = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return frozenset(members) if all(member in _KINDS for member in members) else frozenset()
