"""A function's parameters as a pydantic model: what a tool's arguments are."""

import inspect
import types
import typing
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from math import isfinite
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_json

from loom.errors import ConfigError, short
from loom.types.messages import MALFORMED

# Any, in this module: the function's signature is the user's.

_CONFIG: Final = ConfigDict(extra="forbid", protected_namespaces=(), validate_default=True)
_TAKEN: Final = {"model_config": "the settings of pydantic", MALFORMED: "arguments that are no JSON"}
_SCALARS: Final = (str, int, float, bool, types.NoneType)


def arguments_of(fn: Callable[..., Any], name: str) -> type[BaseModel]:
    """Return the model of the arguments that the function of tool `name` takes.

    Raises:
        ConfigError: the signature does not say what the arguments are, or no JSON fits.
    """
    try:
        hints = typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise ConfigError(f'tool "{name}" has an annotation that cannot be resolved: {error}') from None
    except TypeError:
        raise ConfigError(f'tool "{name}" must be made of a function, got {type(fn).__name__}') from None
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(fn).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f'tool "{name}" has the parameter "{parameter}"; arguments are plain named parameters')
        if parameter.name not in hints:
            raise ConfigError(f'tool "{name}": the parameter "{parameter.name}" needs a type, which the model is told')
        if parameter.name.startswith("_"):
            raise ConfigError(f'tool "{name}": the parameter "{parameter.name}" must not begin with an underscore')
        if parameter.name in _TAKEN:
            raise ConfigError(
                f'tool "{name}": the parameter "{parameter.name}" needs another name: this one stands for '
                f"{_TAKEN[parameter.name]}"
            )
        fields[parameter.name] = _field(name, parameter, hints[parameter.name])
    try:
        with quiet_about_names():
            model: type[BaseModel] = create_model(name, __config__=_CONFIG, **fields)
            model.model_json_schema()
    except PydanticUserError as error:
        raise ConfigError(f'tool "{name}" has a parameter that no JSON fits: {error.message}') from error
    for field, info in model.model_fields.items():
        if info.alias is not None or info.validation_alias is not None:
            raise ConfigError(
                f'tool "{name}": the parameter "{field}" has an alias; rules go by the name, so rename the parameter'
            )
    return model


@contextmanager
def quiet_about_names() -> Generator[None]:
    """Let an argument be called "json" or "copy"; the values are read past the model's own names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r'Field name ".*" .* shadows', category=UserWarning)
        yield


def _field(name: str, parameter: inspect.Parameter, hint: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return type and default of a parameter. `x: int = None` means that null is taken too."""
    default = parameter.default
    if default is parameter.empty:
        return hint, ...
    if isinstance(default, FieldInfo) and (default.is_required() or default.default_factory_takes_validated_data):
        return hint, default
    value = default.get_default(call_default_factory=True) if isinstance(default, FieldInfo) else default
    try:
        to_json(value)
        TypeAdapter(hint).validate_python(value)
    except PydanticUserError:
        return hint, default  # a type that is no JSON: told by the model
    except ValidationError:
        if value is None:
            return hint | None, default
        raise ConfigError(
            f'tool "{name}": the default of "{parameter.name}" is not of its type: {short(value)}'
        ) from None
    except PydanticSerializationError:
        raise ConfigError(f'tool "{name}": the default of "{parameter.name}" is no JSON: {short(value)}') from None
    return hint, default


def is_plain(arguments: type[BaseModel]) -> bool:
    """Tell whether validated arguments are JSON as they are, and stay the same when they are validated again.

    Errs towards no: where constraints, settings of a field or validators have a say, only trying it out tells.
    """
    return all(map(is_plain_field, arguments.model_fields.values()))


def is_plain_field(field: FieldInfo) -> bool:
    """Tell of one argument what `is_plain` tells of all."""
    if field.metadata or field.exclude is not None or getattr(field, "exclude_if", None) is not None:
        return False
    return _is_json(field.annotation) and (field.is_required() or _is_plain_default(field))


def _is_json(annotation: Any) -> bool:  # noqa: ANN401
    """Tell whether pydantic turns whatever it takes for the type into values that JSON has."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if kind in (Union, types.UnionType):  # of others it depends on the value which member takes it
        return len(parts) == 2 and types.NoneType in parts and all(map(_is_json, parts))
    if kind is Literal:
        return all(type(part) in _SCALARS for part in parts)
    if kind is dict:
        return parts[:1] == (str,) and _is_json(parts[1])
    if kind is list:
        return all(map(_is_json, parts)) and bool(parts)
    return annotation in _SCALARS


def _is_plain_default(field: FieldInfo) -> bool:
    """Tell whether the default comes through as it is."""
    default = field.default
    if type(default) not in _SCALARS:
        return False
    hint: Any = field.annotation
    value = TypeAdapter(hint).validate_python(default)
    return type(value) is type(default) and value == default and (type(value) is not float or isfinite(value))
