# ruff: noqa: ANN401 - Any is a type here
"""Types as they are annotated: without what stands around them, by name, and which of them fit together."""

import inspect
import types
import typing
from collections.abc import Iterable
from itertools import zip_longest
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

_CONTAINERS = (list, tuple, set, frozenset, dict)


def bare(annotation: Any) -> Any:
    """Return the type without `Annotated`, `NewType` and aliases around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) and not hasattr(annotation, "__args__"):
            annotation = get_origin(annotation)  # List, Dict, …: the class by its old name
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return types.NoneType if annotation is None else annotation


def is_union(annotation: Any) -> bool:
    """Tell whether a bare type is a union."""
    return get_origin(annotation) in (Union, types.UnionType)


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
    """Return a type as a user would write it, without modules and metadata."""
    if annotation is Ellipsis:
        return "..."
    if isinstance(annotation, list):  # the parameters of a Callable
        return f"[{', '.join(map(type_name, cast(Iterable[Any], annotation)))}]"
    inner = bare(annotation)
    origin, args = get_origin(inner), get_args(inner)
    if is_union(inner):
        return " | ".join(map(type_name, args))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    kind = origin or inner
    name = kind.__name__ if inspect.isclass(kind) else str(kind).removeprefix("typing.")
    return f"{name}[{', '.join(map(type_name, args))}]" if args else name.replace("NoneType", "None")


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
    if get_origin(source) is Literal:
        return all(_value_fits(value, target) for value in get_args(source))
    if is_union(target):
        return any(fits(source, member) for member in get_args(target))
    return _class_fits(source, target)


def _value_fits(value: Any, target: Any) -> bool:
    target = bare(target)
    if is_union(target):
        return any(_value_fits(value, member) for member in get_args(target))
    if get_origin(target) is Literal:
        return value in get_args(target)
    return fits(type(value), target)


def _class_fits(source: Any, target: Any) -> bool:
    ours, theirs = get_origin(source) or source, get_origin(target) or target
    if theirs is Literal:
        return False
    if not isinstance(ours, type) or not isinstance(theirs, type):
        return True  # a TypeVar, something pydantic knows better
    try:
        if not issubclass(ours, theirs) and (ours, theirs) != (int, float):
            return False
    except TypeError:  # a protocol, a TypedDict
        return True
    of_source, of_target = get_args(source), get_args(target)
    if len(of_source) != len(of_target):
        return True
    return all(fits(a, b) for a, b in zip(of_source, of_target, strict=True) if Ellipsis not in (a, b))


def surely_fits(source: Any, target: Any) -> bool:
    """Tell whether every value of type `source` is one of `target`, and may be passed on as it is. Errs towards no."""
    if target is Any or target is object or source is target or (source == target and repr(source) == repr(target)):
        return True
    if get_origin(target) is Annotated:
        return False
    source = bare(source)
    if is_union(source):
        return all(surely_fits(member, target) for member in get_args(source))
    if is_union(target):
        return any(surely_fits(source, member) for member in get_args(target))
    of_source, of_target = get_args(source), get_args(target)
    source, target = get_origin(source) or source, get_origin(target) or target
    try:
        if not issubclass(source, target):
            return False
    except TypeError:  # one of them is no class, or a protocol
        return False
    if not of_source or not of_target:  # a container of anything is checked, a class of its own knows what it holds
        return not of_target or source not in _CONTAINERS
    parts = zip_longest((one for one in of_source if one is not ...), (one for one in of_target if one is not ...))
    return all(surely_fits(of_one, of_other) for of_one, of_other in parts)
