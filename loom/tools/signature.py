"""A function's parameters as a pydantic model: what a tool's arguments are."""

import inspect
import typing
import warnings
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_json

from loom.errors import ConfigError

# Any, in this module: the function's signature is the user's.


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
        fields[parameter.name] = _field(name, parameter, hints[parameter.name])
    try:
        with warnings.catch_warnings():
            # An argument may well be called "json" or "copy"; the values are read past the model's own names.
            warnings.filterwarnings("ignore", message=r'Field name ".*" .* shadows', category=UserWarning)
            config = ConfigDict(extra="forbid", protected_namespaces=())
            model: type[BaseModel] = create_model(name, __config__=config, **fields)
            model.model_json_schema()
    except PydanticUserError as error:
        raise ConfigError(f'tool "{name}" has a parameter that no JSON fits: {error.message}') from error
    for field, info in model.model_fields.items():
        if info.alias is not None or info.validation_alias is not None:
            raise ConfigError(
                f'tool "{name}": the parameter "{field}" has an alias; rules go by the name, so rename the parameter'
            )
    return model


def _field(name: str, parameter: inspect.Parameter, hint: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return type and default of a parameter. `x: int = None` means that null is taken too."""
    default = parameter.default
    if default is parameter.empty:
        return hint, ...
    value = default.get_default(call_default_factory=True) if isinstance(default, FieldInfo) else default
    if isinstance(default, FieldInfo) and default.is_required():
        return hint, default
    try:
        to_json(value)
        TypeAdapter(hint).validate_python(value)
    except PydanticUserError:
        return hint, default  # a type that is no JSON: told by the model
    except ValidationError:
        if value is None:
            return hint | None, default
        raise ConfigError(f'tool "{name}": the default of "{parameter.name}" is not of its type: {value!r}') from None
    except PydanticSerializationError:
        raise ConfigError(f'tool "{name}": the default of "{parameter.name}" is no JSON: {value!r}') from None
    return hint, default
