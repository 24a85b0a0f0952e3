"""The record a graph works on, and how writes to its fields combine."""

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from numbers import Number
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin

import pydantic
from pydantic import BaseModel, ConfigDict, PydanticUndefinedAnnotation
from pydantic_core import PydanticUndefined, to_json

from loom.core.values import Values, values_at
from loom.errors import ConfigError, LoomError, error_text, short
from loom.types.annotations import bare, is_union, type_name
from loom.types.assembly import assembled
from loom.types.frozen import BIG
from loom.types.saving import first_finding

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

# Any, in this module: field values, whose types are the user's.


@dataclass(frozen=True)
class Reducer:
    """How a write is combined with what a field holds: a pure `fn(old, write) -> new`."""

    fn: Callable[[Any, Any], Any]
    name: str = ""

    def __post_init__(self) -> None:
        call = getattr(self.fn, "__call__", None)  # noqa: B004 - an object's own, which may be async
        if call is None or inspect.iscoroutinefunction(self.fn) or inspect.iscoroutinefunction(call):
            raise ConfigError(f"Reducer takes a plain function, fn(old, write) -> new; got {short(self.fn)}")

    def __repr__(self) -> str:
        return self.name or getattr(self.fn, "__name__", "reducer")


append = Reducer(operator.add, "append")
"""A list or tuple grows by the items of the write."""

merge = Reducer(lambda old, write: old | write, "merge")
"""A dict is updated by the write, a set united with it."""

add = Reducer(operator.add, "add")
"""A number grows by the write."""


_FITTING: Mapping[str, tuple[type, ...]] = {
    "append": (list, tuple),
    "merge": (dict, set, frozenset),
    "add": (Number,),
}


class State(BaseModel):
    """The record a graph works on: frozen, strict about names, saved as JSON.

    `class S(State, version=2)` with a static `migrate(data, from_version) -> data` reads what was
    saved under an older version.
    """

    # Arbitrary types pass here so that `compile()` can name the field that cannot be saved (LOOM205).
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    state_version: ClassVar[int] = 1

    def __init_subclass__(cls, *, version: int | None = None, **config: Any) -> None:
        super().__init_subclass__(**config)
        if version is not None:
            if type(version) is not int or version < 1:
                raise ConfigError(
                    f'state "{cls.__name__}": version must be a whole number from 1 on; got {short(version)}'
                )
            cls.state_version = version

    @classmethod
    def __pydantic_init_subclass__(cls, **config: Any) -> None:
        found = cls.__pydantic_decorators__
        into_type = "put it into the field's type: Annotated[T, {}(fn)]"
        for what, names, remedy in (
            (
                "validator",
                [*found.field_validators, *found.model_validators, *found.validators],
                into_type.format("AfterValidator"),
            ),
            ("serializer", [*found.field_serializers, *found.model_serializers], into_type.format("PlainSerializer")),
            ("private attribute", list(cls.__private_attributes__), "make it a field"),
        ):
            if names:
                raise ConfigError(
                    f'state "{cls.__name__}" has the {what} "{names[0]}", which writes would bypass; {remedy}'
                )

    # Any: data as saved under an older version, as JSON, and what it is now.
    if TYPE_CHECKING:

        @staticmethod
        def migrate(data: dict[str, Any], from_version: int) -> dict[str, Any]:
            """Return the data of an older version as data of this one. Written by the user."""
            ...

    def __getattr__(self, name: str) -> Any:
        if name in type(self).model_fields:
            raise AttributeError(f'field "{name}" of {type(self).__name__} was never written and has no default')
        return super().__getattr__(name)  # type: ignore[misc]  # pydantic defines it, but not for type checkers


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a state. `default` is given the fields declared before it."""

    name: str
    values: Values
    reducer: Reducer | None
    has_default: bool
    default: Callable[[Mapping[str, Any]], Any]
    key: bytes


@lru_cache(maxsize=1024)
def fields_of(state: type[State]) -> Mapping[str, Field]:
    """Return the fields of a state by name, in the order they were declared.

    Raises:
        ConfigError: an annotation names a type that does not exist, or one by which no value can be checked; a
            function stands where a reducer was meant; a default is no value of its field.
    """
    failure: Exception | None = None
    if not state.__pydantic_complete__:  # its types were not all defined when it was
        try:
            state.model_rebuild()
        except PydanticUndefinedAnnotation as error:
            raise ConfigError(
                f'state "{state.__name__}" names the type "{error.name}", which does not exist; define or import it'
            ) from None
        except Exception as error:  # noqa: BLE001 - told below, of the field if it is one's
            failure = error
    found = {name: _field(f'state "{state.__name__}", field "{name}"', name, state) for name in state.model_fields}
    if failure:
        message = f'state "{state.__name__}" is no model that pydantic can make: {first_finding(failure)}'
        raise ConfigError(message) from failure
    return found


def _field(where: str, name: str, state: type[State]) -> Field:
    info = state.model_fields[name]
    for extra in info.metadata:
        if _is_meant_to_reduce(extra):
            remedy = "call it, Reducer(fn)" if extra is Reducer else "wrap it, Reducer(fn), or say append, merge, add"
            raise ConfigError(f"{where}: {short(extra)} in its type is no reducer and would be passed over; {remedy}")
    if _has_reducer_inside(info.annotation):
        raise ConfigError(
            f"{where}: a reducer stands inside of its type {type_name(info.annotation)}, where it would be passed "
            "over; put it around the whole, Annotated[list[T] | None, Reducer(fn)]"
        )
    # Constraints of the field (Gt, MaxLen, validators) are part of its type: put them back.
    metadata = [extra for extra in info.metadata if not isinstance(extra, Reducer)]
    if info.discriminator:
        metadata.append(pydantic.Field(discriminator=info.discriminator))
    values = values_at(where, Annotated[info.annotation, *metadata] if metadata else info.annotation)
    if not values.flaw and info.default is not PydanticUndefined:
        try:
            values.validate(info.default)
        except Exception as error:
            message = f"{where}: its default {short(info.default)} does not fit {type_name(values.type)}"
            raise ConfigError(f"{message}: {first_finding(error)}") from error
    return Field(
        name=name,
        values=values,
        reducer=_reducer_in(info.metadata),
        has_default=not info.is_required(),
        default=partial(_default, info),
        key=to_json(name),
    )


def _is_meant_to_reduce(extra: Any) -> bool:
    """Tell whether metadata looks like a reducer that nobody wrapped: a function of two values."""
    signature = partial(inspect.signature, extra)  # before its type is narrowed to what pyright knows half of
    if not inspect.isroutine(extra) and not isinstance(extra, partial):
        return extra is Reducer
    try:
        signature().bind(None, None)
    except TypeError:
        return False
    except ValueError:  # of a builtin that does not tell
        pass
    return True


def _has_reducer_inside(annotation: Any) -> bool:
    """Tell whether a reducer stands on a part of a type."""
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return any(isinstance(extra, Reducer) for extra in extras) or any(map(_has_reducer_inside, get_args(annotation)))


def _default(info: "FieldInfo", before: Mapping[str, Any]) -> Any:
    return info.get_default(call_default_factory=True, validated_data=dict(before))


def _reducer_in(metadata: Sequence[Any]) -> Reducer | None:
    """Return the reducer that a field's metadata names.

    Where other metadata limits the field, a built-in one is copied: it is then one of the field's own,
    and what it returns is checked.
    """
    reducers = [extra for extra in metadata if isinstance(extra, Reducer)]
    is_limited = any(not isinstance(extra, (Reducer, str)) for extra in metadata)
    return (replace(reducers[-1]) if is_limited else reducers[-1]) if reducers else None


def reducer_flaw(field: Field) -> str:
    """Return why a field cannot have its reducer; empty if it can."""
    fitting = _FITTING.get(field.reducer.name) if field.reducer in (append, merge, add) else None
    inner = bare(field.values.type)
    kinds = [get_origin(one) or one for one in map(bare, get_args(inner) if is_union(inner) else (inner,))]
    if not fitting or all(_can_reduce(kind, fitting) for kind in kinds):
        return ""
    expected = " or ".join(one.__name__ for one in fitting)
    return f'reducer "{field.reducer}" wants {expected}, got {type_name(field.values.type)}'


def _can_reduce(kind: Any, fitting: tuple[type, ...]) -> bool:
    return not isinstance(kind, type) or (issubclass(kind, fitting) and kind is not bool)


def reduce(field: Field, old: Any, write: Any) -> Any:
    """Return what a field holds after a write, as a value of its own.

    Raises:
        LoomError: the reducer raised, or returned what is no value of the field, or what could not be read back.
    """
    reducer = field.reducer
    if reducer is None:
        return write
    if reducer is append or reducer is merge:
        return reducer.fn(old, write)
    try:
        made = reducer.fn(old, write)
        if reducer is add and (type(made) is not int or -BIG < made < BIG):
            return made
        return field.values.settle(made)[0]
    except Exception as error:
        raise LoomError(
            f'reducer "{reducer}" of field "{field.name}" failed, or returned what is no '
            f"{type_name(field.values.type)}: {error_text(error)}"
        ) from error


def state_from(state: type[State], view: Mapping[str, Any]) -> Any:
    """Make a state of checked values. A field that is missing from `view` is absent from it.

    Validation is skipped on purpose: every value in a view was validated when it was written.
    """
    return assembled(state, dict(view))
