"""Typed tools made from functions."""

import inspect
import typing
import warnings
from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar, overload

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_json

from loom.errors import ConfigError, ToolExecutionError
from loom.types.models import ToolSchema

P = ParamSpec("P")
R = TypeVar("R")


class FunctionTool(Generic[P, R]):
    """A tool made from a function by `@tool`. Calling it calls the function."""

    def __init__(self, fn: Callable[P, R], *, name: str | None = None, description: str | None = None) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        self.name: str = name or str(getattr(fn, "__name__", type(fn).__name__))
        self.description = description if description is not None else (inspect.getdoc(fn) or "")
        self._arguments = _arguments_of(fn, self.name)
        parameters = self._arguments.model_json_schema()
        self.schema = ToolSchema(name=self.name, description=self.description, parameters=parameters)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name}>"

    # Any: the arguments are the model's own JSON, validated here.
    async def call(self, arguments: Mapping[str, Any]) -> str:
        """Validate the arguments, call the function, return its result as text: a str as it is, else as JSON.

        A plain `def` runs in a worker thread.

        Raises:
            ToolExecutionError: the arguments do not fit, the function raised, or its result is no JSON.
        """
        try:
            given = self._arguments.model_validate(dict(arguments))
        except ValidationError as error:
            flaws = "; ".join(f'"{".".join(map(str, flaw["loc"]))}": {flaw["msg"]}' for flaw in error.errors())
            raise ToolExecutionError(f'tool "{self.name}" was not called, its arguments do not fit: {flaws}') from error
        values = {name: given.__dict__[name] for name in self._arguments.model_fields}
        try:
            result = await self._result(values)
            return result if isinstance(result, str) else to_json(result).decode()
        except PydanticSerializationError as error:
            raise ToolExecutionError(f'tool "{self.name}" returned what cannot be put as JSON: {error}') from error
        except Exception as error:  # whatever the user's function raises
            raise ToolExecutionError(f'tool "{self.name}" failed: {type(error).__name__}: {error}') from error

    async def _result(self, values: Mapping[str, Any]) -> object:
        call: Callable[[], object] = partial(self.fn, **values)
        if inspect.iscoroutinefunction(self.fn):
            return await typing.cast("typing.Awaitable[object]", call())
        return await anyio.to_thread.run_sync(call)


@overload
def tool(fn: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *, name: str | None = None, description: str | None = None
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    fn: Callable[P, R] | None = None, /, *, name: str | None = None, description: str | None = None
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Make a tool of a function. Its parameters are the arguments, its docstring the description unless one is given.

    Raises:
        ConfigError: the signature does not say what the arguments are.
    """

    def make(fn: Callable[P, R]) -> FunctionTool[P, R]:
        return FunctionTool(fn, name=name, description=description)

    return make if fn is None else make(fn)


# Any: the function's signature is the user's.
def _arguments_of(fn: Callable[..., Any], name: str) -> type[BaseModel]:
    try:
        hints = typing.get_type_hints(fn, include_extras=True)
    except NameError as error:
        raise ConfigError(f'tool "{name}" has an annotation that cannot be resolved: {error}') from None
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(fn).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f'tool "{name}" has the parameter "{parameter}"; arguments are plain named parameters')
        if parameter.name not in hints:
            raise ConfigError(f'tool "{name}": the parameter "{parameter.name}" needs a type, which the model is told')
        if parameter.name.startswith("_"):
            raise ConfigError(f'tool "{name}": the parameter "{parameter.name}" must not begin with an underscore')
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    try:
        with warnings.catch_warnings():
            # An argument may well be called "json" or "copy"; the values are read past the model's own names.
            warnings.filterwarnings("ignore", message=r'Field name ".*" .* shadows', category=UserWarning)
            config = ConfigDict(extra="forbid", protected_namespaces=())
            model: type[BaseModel] = create_model(name, __config__=config, **fields)
            model.model_json_schema()
    except PydanticUserError as error:
        raise ConfigError(f'tool "{name}" has a parameter that no JSON fits: {error.message}') from error
    return model
