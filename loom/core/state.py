"""The record a graph works on, and how writes to its fields combine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from loom.core.values import Values, bare, values_of
from loom.errors import ConfigError, LoomError

# Any, in this module: field values, whose types are the user's.


@dataclass(frozen=True)
class Reducer:
    """How a write is combined with what a field holds: a pure `fn(old, write) -> new`."""

    fn: Callable[[Any, Any], Any]
    name: str = ""

    def __repr__(self) -> str:
        return self.name or getattr(self.fn, "__name__", "reducer")


def _append(old: Any, write: Any) -> Any:
    return old + write


def _merge(old: Any, write: Any) -> Any:
    return old | write


def _add(old: Any, write: Any) -> Any:
    return old + write


append = Reducer(_append, "append")
"""A list or tuple grows by the items of the write."""

merge = Reducer(_merge, "merge")
"""A dict is updated by the write, a set united with it."""

add = Reducer(_add, "add")
"""A number grows by the write."""

_FITTING: Mapping[str, tuple[type, ...]] = {
    "append": (list, tuple),
    "merge": (dict, set, frozenset),
    "add": (int, float, complex),
}


class State(BaseModel):
    """The record a graph works on: frozen, strict about names, saved as JSON.

    `class S(State, version=2)` with a static `migrate(data, from_version) -> data` reads what was
    saved under an older version.
    """

    # Arbitrary types pass here so that `compile()` can name the field that cannot be saved (LOOM205).
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    state_version: ClassVar[int] = 1

    def __init_subclass__(cls, *, version: int = 1, **config: Any) -> None:
        super().__init_subclass__(**config)
        cls.state_version = version

    @classmethod
    def __pydantic_init_subclass__(cls, **config: Any) -> None:
        decorators = cls.__pydantic_decorators__
        hidden = [*decorators.field_validators, *decorators.model_validators, *decorators.validators]
        if hidden:
            raise ConfigError(
                f'state "{cls.__name__}" has the validator "{hidden[0]}", which writes would bypass; '
                "put it into the field's type: Annotated[T, AfterValidator(fn)]"
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
    """One field of a state."""

    name: str
    values: Values
    reducer: Reducer | None
    has_default: bool
    default: Callable[[], Any] = field(repr=False)
    key: bytes


@lru_cache(maxsize=1024)
def fields_of(state: type[State]) -> Mapping[str, Field]:
    """Return the fields of a state by name, in the order they were declared."""
    found: dict[str, Field] = {}
    for name, info in state.model_fields.items():
        # Constraints of the field (Gt, MaxLen, validators) are part of its type: put them back.
        annotation = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        reducers = [extra for extra in info.metadata if isinstance(extra, Reducer)]
        values = values_of(_without_reducers(annotation))
        found[name] = Field(
            name=name,
            values=values,
            reducer=reducers[-1] if reducers else None,
            has_default=not info.is_required(),
            default=lambda info=info: info.get_default(call_default_factory=True, validated_data={}),
            key=to_json(name),
        )
    return found


def _without_reducers(annotation: Any) -> Any:
    if get_origin(annotation) is not Annotated:
        return annotation
    inner, *extras = get_args(annotation)
    kept = [extra for extra in extras if not isinstance(extra, Reducer)]
    return Annotated[inner, *kept] if kept else inner


def reducer_flaw(field: Field) -> str:
    """Return why a field cannot have its reducer; empty if it can."""
    fitting = _FITTING.get(field.reducer.name) if field.reducer else None
    inner = bare(field.values.type)
    kind = get_origin(inner) or inner
    if not fitting or not isinstance(kind, type) or issubclass(kind, fitting):
        return ""
    expected = " or ".join(one.__name__ for one in fitting)
    return f'reducer "{field.reducer}" wants a {expected}, got {kind.__name__}'


def reduce(field: Field, old: Any, write: Any) -> Any:
    """Return what a field holds after a write, as a value of its own."""
    reducer = field.reducer
    if reducer is None:
        return write
    if reducer.name in _FITTING:
        return reducer.fn(old, write)
    try:
        new = field.values.validate(reducer.fn(old, write))
    except ValidationError as error:
        raise LoomError(f'reducer "{reducer}" of field "{field.name}" returned what is no value of it: {error}') from None
    return field.values.round_trip(new, field.values.dump(new))


def state_from(state: type[State], view: Mapping[str, Any]) -> Any:
    """Make a state of checked values. A field that is missing from `view` is absent from it.

    Validation is skipped on purpose: every value in a view was validated when it was written.
    """
    made = state.__new__(state)
    object.__setattr__(made, "__dict__", dict(view))
    object.__setattr__(made, "__pydantic_fields_set__", set(view))
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made
