"""What all settings have in common: frozen, strict about types and names, with errors that name the setting."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from loom.errors import ConfigError, did_you_mean, quoted, short


class Settings(BaseModel):
    """A frozen record of settings. Nothing is converted: a mapping is no record, a text no number.

    Settings are given by name. By position they are taken too, in the order in which they are written; type checkers,
    which follow pydantic, want names.

    Raises:
        ConfigError: a field is missing, unknown, given twice or of the wrong type; the message names each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True, defer_build=True)

    # Any: whatever the caller passes, which is judged here.
    def __init__(self, /, *placed: Any, **given: Any) -> None:
        if placed:
            given |= by_name(type(self), tuple(type(self).model_fields), placed, given)
        flaws = list(_mappings(type(self), given))
        if not flaws:
            try:
                super().__init__(**given)
            except ValidationError as error:
                flaws = [_flaw(type(self), flaw) for flaw in error.errors(include_url=False)]
        if flaws:
            raise ConfigError("; ".join(dict.fromkeys(flaws)))

    # Any: as above.
    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Yield what is shown of the settings: all but the values of headers, which may be keys."""
        for name, value in super().__repr_args__():
            yield name, _without_keys(cast("dict[str, Any]", value)) if isinstance(value, dict) else value


# Any: as above.
def _without_keys(setting: dict[str, Any]) -> dict[str, Any]:
    """Return a setting with the names alone of headers that stand in it."""
    found = {name: setting[name] for name in ("headers", "extra_headers") if isinstance(setting.get(name), Mapping)}
    return setting | {name: dict.fromkeys(headers, "[redacted]") for name, headers in found.items()}


# Any: as above.
def by_name(
    kind: type[Settings], names: Sequence[str], placed: Sequence[Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings that stand at places by their names.

    Raises:
        ConfigError: there are more places than names, or a setting is given by name too.
    """
    if len(placed) > len(names):
        known = ", ".join(f'"{name}"' for name in names)
        raise ConfigError(f"{kind.__name__} has {len(names)} settings, {known}; got {len(placed)} by position")
    if twice := [name for name in names[: len(placed)] if name in given]:
        raise ConfigError(f"{kind.__name__}({twice[0]}=…) is given twice, by position and by name")
    return dict(zip(names, placed, strict=False))


def _mappings(kind: type[BaseModel], given: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong where a mapping stands for a record: pydantic would take it."""
    for name, value in given.items():
        if name not in kind.model_fields:
            continue
        records = list(_records(kind.model_fields[name].annotation))
        places: dict[str, object] = {name: value}
        if isinstance(value, list | tuple):
            places = {f"{name}[{number}]": item for number, item in enumerate(cast("list[object]", value))}
        for place, found in places.items():
            if records and isinstance(found, Mapping):
                wanted = " or ".join(record.__name__ for record in records)
                yield f"{kind.__name__}({place}=…) must be {wanted}, got a mapping"


# Any: a type as it stands in an annotation.
def _records(annotation: Any) -> Iterator[type[Settings]]:  # noqa: ANN401
    """Yield the records that a field may hold, as themselves or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    elif get_origin(annotation) is not dict:
        for part in get_args(annotation):
            yield from _records(part)


def _flaw(kind: type[BaseModel], flaw: Mapping[str, Any]) -> str:
    """Return one finding of pydantic's as a sentence: where, expected, got."""
    path, found = flaw["loc"], flaw["input"]
    place = f"{path[0]}{''.join(f'[{part!r}]' for part in path[1:] if not _is_member(part))}" if path else ""
    where = f"{kind.__name__}({place}=…)" if place else kind.__name__
    match flaw["type"]:
        case "extra_forbidden":
            known = kind.model_fields
            return f'{kind.__name__} has no setting "{place}"; it has {quoted(known)}.{did_you_mean(place, known)}'
        case "missing":
            return f"{where} is missing"
        case "model_type" | "model_class_type" | "is_instance_of" | "dataclass_type" | "dataclass_exact_type":
            expected = flaw["ctx"].get("class_name") or flaw["ctx"].get("class")
            return f"{where} must be {expected}, got {type(found).__name__}"
        case "value_error":
            return f"{where} {flaw['ctx']['error']}"
        case _:
            return f"{where} must be {_wanted(flaw['msg'])}, got {type(found).__name__}: {short(found)}"


def _is_member(part: object) -> bool:
    """Tell whether a piece of a path is pydantic's name for a member of a union, and not a key or an index."""
    return isinstance(part, str) and ("[" in part or part in {"str", "int", "float", "bool"} or part[:1].isupper())


def _wanted(message: str) -> str:
    return message.removeprefix("Input should be ").removeprefix("a valid ")
