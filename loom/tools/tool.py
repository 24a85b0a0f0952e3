"""Typed tools made from functions."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial, update_wrapper
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

import anyio
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from loom.errors import ConfigError, ToolExecutionError, error_text
from loom.tools.failures import is_failure
from loom.tools.roundtrip import check_defaults, is_read_by_alias, written
from loom.tools.signature import arguments_of, is_plain
from loom.types.calling import call_off_loop
from loom.types.content import DocumentBlock, ImageBlock, MessageContent, TextBlock
from loom.types.given import check_count, check_flag, check_name, check_seconds, check_text, check_texts
from loom.types.models import ToolSchema

P = ParamSpec("P")
R = TypeVar("R")
Q = ParamSpec("Q")
S = TypeVar("S")

# Any, in this module: the arguments are the model's own JSON, validated here.


class ToolSettings(TypedDict, total=False):
    """What may be said of a tool. `ToolSpec` tells what each means."""

    name: str | None
    description: str | None
    read_only: bool
    destructive: bool
    concurrency_safe: bool
    idempotent: bool
    requires_permission: bool | None
    timeout_s: float | None
    contexts: Sequence[str]
    max_output_chars: int


class ToolSpec(Generic[P, R]):
    """A tool made from a function by `@tool`. Calling it calls the function.

    `read_only`: it changes nothing. `destructive`: it may destroy what cannot be brought back; a policy must allow
    such tools, and a person is asked before each call unless `requires_permission` says otherwise.
    `concurrency_safe`: its calls may run at the same time as others. `idempotent`: a second equal call does no more
    than the first, so it is made again after a crash. `timeout_s`: how long a call may take. `contexts`: the names of
    the policy contexts it may be used in; none means all. `max_output_chars`: how much of a result a model is shown;
    the rest is kept.

    Raises:
        ConfigError: the signature does not say what the arguments are, or the settings contradict each other.
    """

    def __init__(  # noqa: PLR0913 - each of them is a fact about the tool
        self,
        fn: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        read_only: bool = False,
        destructive: bool = False,
        concurrency_safe: bool = False,
        idempotent: bool = False,
        requires_permission: bool | None = None,
        timeout_s: float | None = None,
        contexts: Sequence[str] = (),
        max_output_chars: int = 20_000,
    ) -> None:
        update_wrapper(self, fn)
        self.fn = fn
        self.name: str = str(getattr(fn, "__name__", type(fn).__name__)) if name is None else name
        self.description = description if description is not None else (inspect.getdoc(fn) or "")
        self.read_only = read_only
        self.destructive = destructive
        self.concurrency_safe = concurrency_safe
        self.idempotent = idempotent
        self.requires_permission = destructive if requires_permission is None else requires_permission
        self.timeout_s = timeout_s
        self.contexts = contexts
        self.max_output_chars = max_output_chars
        self._check()
        self.contexts = tuple(contexts)
        self._is_async = inspect.iscoroutinefunction(fn)
        self._arguments = arguments_of(fn, self.name)
        self._is_plain = is_plain(self._arguments)
        self._by_alias = is_read_by_alias(self._arguments, self.name)
        check_defaults(self._arguments, self.name, by_alias=self._by_alias)
        self._validate: Callable[[dict[str, Any]], BaseModel] = self._arguments.__pydantic_validator__.validate_python
        self.schema = ToolSchema(
            name=self.name, description=self.description, parameters=self._arguments.model_json_schema()
        )

    def _check(self) -> None:
        place = f'tool "{self.name}"'
        check_name(f"{place}: its name", self.name)
        check_text(f"{place}: description", self.description)
        for flag in ("read_only", "destructive", "concurrency_safe", "idempotent", "requires_permission"):
            check_flag(f"{place}: {flag}", getattr(self, flag))
        if self.read_only and self.destructive:
            raise ConfigError(f"{place} is read_only and destructive; it can be one of them")
        if self.timeout_s is not None:
            check_seconds(f"{place}: timeout_s", self.timeout_s)
        check_texts(f"{place}: contexts", self.contexts, '"deployment"')
        check_count(f"{place}: max_output_chars", self.max_output_chars)
        if inspect.isasyncgenfunction(self.fn):
            raise ConfigError(f"{place} must return its result, but it is an async generator, which yields")

    @staticmethod
    def from_function(fn: Callable[Q, S], **settings: Unpack[ToolSettings]) -> "ToolSpec[Q, S]":
        """Make a tool of a function, as `tool` does."""
        return ToolSpec(fn, **settings)

    @property
    def effect(self) -> Literal["read", "write"]:
        """What a call does to the world."""
        return "read" if self.read_only else "write"

    def to_input_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the arguments."""
        return self.schema.parameters

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<tool {self.name}>"

    def validated(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as JSON, converted to their types and with defaults filled in.

        Raises:
            ToolExecutionError: they do not fit, or are not the same when they come back from JSON.
        """
        given = self._validated(arguments)
        if self._is_plain:
            return vars(given)
        dumped = written(given, by_alias=self._by_alias)
        if self._validated(dumped).__dict__ != given.__dict__:
            raise ToolExecutionError(
                f'tool "{self.name}" was not called: its arguments change on their way through JSON'
            )
        return dumped

    def _validated(self, arguments: Mapping[str, Any]) -> BaseModel:
        try:
            return self._validate(dict(arguments))
        except ValidationError as error:
            flaws = "; ".join(f'"{".".join(map(str, flaw["loc"]))}": {flaw["msg"]}' for flaw in error.errors())
            raise ToolExecutionError(f'tool "{self.name}" was not called, its arguments do not fit: {flaws}') from error

    async def call(self, arguments: Mapping[str, Any]) -> MessageContent:
        """Validate the arguments, call the function, return its result: text and blocks as they are, else as JSON.

        A plain `def` runs in a worker thread.

        Raises:
            ToolExecutionError: the arguments do not fit, the function raised or took longer than `timeout_s`, or its
                result is no JSON.
        """
        values = vars(self._validated(arguments))
        try:
            result = self._called(values) if self.timeout_s is None else self._called_in_time(values, self.timeout_s)
            return _content(await result)
        except PydanticSerializationError as error:
            raise ToolExecutionError(f'tool "{self.name}" returned what cannot be put as JSON: {error}') from error
        except _OutOfTimeError:
            left = (
                "" if self._is_async else "; its thread cannot be stopped and was abandoned, it may still do its work"
            )
            raise ToolExecutionError(f'tool "{self.name}" took longer than {self.timeout_s:g} s{left}') from None
        except BaseException as error:  # whatever the user's function raises
            if not is_failure(error):
                raise
            raise ToolExecutionError(f'tool "{self.name}" failed: {error_text(error)}') from error

    async def _called_in_time(self, values: Mapping[str, Any], timeout_s: float) -> object:
        with anyio.move_on_after(timeout_s):
            return await self._called(values)
        raise _OutOfTimeError

    def _called(self, values: Mapping[str, Any]) -> Awaitable[object]:
        if self._is_async:
            return cast("Callable[..., Awaitable[object]]", self.fn)(**values)
        return call_off_loop(partial(self.fn, **values))


class _OutOfTimeError(Exception):
    """The call took longer than it may. Not a `TimeoutError`, which the function may raise itself."""


def _content(result: object) -> MessageContent:
    if isinstance(result, str):
        return result
    if isinstance(result, TextBlock | ImageBlock | DocumentBlock):
        return (result,)
    if isinstance(result, list | tuple) and result:
        items = cast("Sequence[object]", result)
        blocks = tuple(item for item in items if isinstance(item, TextBlock | ImageBlock | DocumentBlock))
        if len(blocks) == len(items):
            return blocks
    return to_json(result).decode()


@overload
def tool(fn: Callable[P, R], /) -> ToolSpec[P, R]: ...
@overload
def tool(**settings: Unpack[ToolSettings]) -> Callable[[Callable[P, R]], ToolSpec[P, R]]: ...
def tool(
    fn: Callable[P, R] | None = None, /, **settings: Unpack[ToolSettings]
) -> ToolSpec[P, R] | Callable[[Callable[P, R]], ToolSpec[P, R]]:
    """Make a tool of a function. Its parameters are the arguments, its docstring the description unless one is given.

    The settings are those of `ToolSpec`.

    Raises:
        ConfigError: the signature does not say what the arguments are, or the settings contradict each other.
    """

    def make(fn: Callable[P, R]) -> ToolSpec[P, R]:
        return ToolSpec(fn, **settings)

    return make if fn is None else make(fn)
