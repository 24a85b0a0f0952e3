"""How a run was started: the graph and what was set, kept with the run so that `resume` finds it again."""

import inspect
import re
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from loom.cli.find import AnyGraph, Maker, find, made
from loom.cli.inputs import pair, pairs, value_of
from loom.cli.options import Given
from loom.core.graph import Graph
from loom.core.values import values_of
from loom.errors import ConfigError, did_you_mean, quoted, short
from loom.models.litellm import client
from loom.models.providers import provider_of
from loom.runs.app import CompiledGraph
from loom.types.annotations import bare, is_union, type_name
from loom.types.models import Model, ModelRef
from loom.types.saving import first_finding

# Any, in this module: the settings of a user's function.


class Settings(BaseModel):
    """GRAPH and the options that make the graph and its runtime. Paths are as they were typed."""

    model_config = ConfigDict(frozen=True)

    graph: str
    model: str | None = None
    api_base: str | None = None
    checks: dict[str, tuple[str, ...]] = {}
    workspace: str | None = None
    set: dict[str, str] = {}
    max_steps: int | None = None

    def but(self, other: "Settings") -> "Settings":
        """Return these settings with those of `other` that were given; checks and `set` add to those here."""
        given = {name: value for name, value in other.model_dump().items() if value not in ("", None)}
        given |= {"checks": self.checks | other.checks, "set": self.set | other.set}
        return self.model_copy(update=given)

    @property
    def reference(self) -> ModelRef | None:
        """The model that was named."""
        if self.model is None:
            if self.api_base is not None:
                raise ConfigError("--api-base says where a model is; name it too, with --model provider/name")
            return None
        return ModelRef.parse(self.model, api_base=self.api_base)


def settings_from(given: Given) -> Settings:
    """Read what was typed.

    Raises:
        ConfigError: a check or a setting is not of its form.
    """
    return Settings(
        graph=given.graph,
        model=given.model,
        api_base=given.api_base,
        checks=_checks(given.checks or ()),
        workspace=given.workspace,
        set=pairs(given.sets or (), "--set"),
        max_steps=given.max_steps,
    )


class Made(NamedTuple):
    """A graph, and the model that stands in for all of its own, if one does."""

    graph: AnyGraph
    model: Model | None


def make(settings: Settings, *, stand_in: ModelRef | None = None) -> Made:
    """Find the graph and set it up; `stand_in` is the model of one that will not run.

    Raises:
        ConfigError: there is no such graph, it lacks a setting, or takes none of this name; or a model that is to
            be asked is none.
        GraphError: it has problems that show while it is made.
        LoadError: the user's code raised.
    """
    found = find(settings.graph)
    reference = settings.reference
    if isinstance(found, (Graph, CompiledGraph)):
        for name in _taken(settings):
            raise ConfigError(
                f'"{settings.graph}" takes no {_option(name)}: it is a graph, not a function that makes one'
            )
        return Made(found, _client(reference) if reference and not stand_in else None)
    arguments, takes_model = _arguments(found, settings, reference or stand_in)
    model = _client(reference) if reference and not stand_in else None
    for value in arguments.values():
        if isinstance(value, ModelRef) and not stand_in:
            provider_of(value)
    return Made(made(found, arguments, settings.graph), None if takes_model else model)


def _client(reference: ModelRef) -> Model:
    """Return the client of a model that the options name; what is wrong with it is told in their words."""
    try:
        return client(reference)
    except ConfigError as error:
        said = str(error).replace("ModelRef.local(api_base)", "--model local/NAME --api-base URL")
        raise ConfigError(re.sub("(?<=: )api_base(?= must)|(?<=needs )api_base", "--api-base", said)) from None


def _checks(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Split each `name=command`; the command as a shell would, but no shell runs it."""
    checks: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, command = pair(text, "--check")
        try:
            checks[name] = tuple(shlex.split(command))
        except ValueError as error:
            raise ConfigError(f'--check "{name}": {error} in the command: {command}') from None
        if not checks[name]:
            raise ConfigError(f'--check "{name}" has no command; got "{text}"')
    return checks


def _taken(settings: Settings) -> dict[str, Any]:
    """Return the options that only a function can take, by parameter."""
    options: dict[str, Any] = {"checks": settings.checks, "workspace": settings.workspace}
    return {name: value for name, value in options.items() if value} | settings.set


def _arguments(maker: Maker, settings: Settings, reference: ModelRef | None) -> tuple[dict[str, Any], bool]:
    """Return what to call the function with, and whether the model is part of it."""
    try:
        parameters = inspect.signature(maker, eval_str=True).parameters
    except NameError as error:
        raise ConfigError(f'"{settings.graph}" has an annotation that cannot be read: {error}') from None
    given = _taken(settings)
    for name in given.keys() - parameters.keys():
        hint = did_you_mean(name, parameters)
        raise ConfigError(
            f'"{settings.graph}" takes no {_option(name)}; its parameters are {quoted(parameters)}.{hint}'
        )
    models = [name for name, one in parameters.items() if _is_model(one.annotation) and name not in given]
    arguments: dict[str, Any] = dict.fromkeys(models, reference) if reference else {}
    for name, value in given.items():
        arguments[name] = _argument(name, value, parameters[name].annotation, is_text=name in settings.set)
    for name, one in parameters.items():
        if one.default is inspect.Parameter.empty and name not in arguments and one.kind not in _VARIADIC:
            option = "--model provider/name" if name in models else _option(name)
            raise ConfigError(f'"{settings.graph}" needs "{name}"; give it with {option}')
    return arguments, bool(models)


def _argument(name: str, value: object, kind: object, *, is_text: bool) -> object:
    if kind is inspect.Parameter.empty:
        return value
    values = values_of(kind)
    try:
        return values.validate(value_of(str(value), values) if is_text else value)
    except ValidationError as error:
        found = first_finding(error)
        raise ConfigError(f"{_option(name)}: got {short(value)}, expected {type_name(kind)}: {found}") from None


def _option(name: str) -> str:
    return {"checks": "--check", "workspace": "--workspace"}.get(name, f"--set {name}=…")


def _is_model(annotation: object) -> bool:
    kind = bare(annotation)
    return kind is ModelRef or (is_union(kind) and any(_is_model(member) for member in get_args(kind)))


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
