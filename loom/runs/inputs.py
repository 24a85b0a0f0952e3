"""How a run begins: its id, its first values."""

import os
import random
import time
from collections.abc import Mapping
from typing import Any

from loom.core.plan import Plan
from loom.core.state import Field
from loom.errors import ConfigError, did_you_mean, quoted, short
from loom.types.annotations import type_name
from loom.types.saving import first_finding

# Any: inputs, whose types are those of the state's fields.
Inputs = Mapping[str, Any]

_CHANCE = random.Random()  # noqa: S311 - unlike others, not secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CHANCE.seed)


def new_run_id() -> str:
    """Return an id that sorts by time and is unlike any other."""
    return f"{int(time.time() * 1000) << 40 | _CHANCE.getrandbits(40):021x}"


def checked_run_id(given: str | None) -> str:
    """Return the id that was given, or a new one.

    Raises:
        ConfigError: it is no text, or one that cannot be saved.
    """
    if given is None:
        return new_run_id()
    if not isinstance(given, str) or not given or not given.isprintable():
        raise ConfigError(f"run_id must be a text of printable characters, one at least; got {short(given)}")
    return given


def starting_values(plan: Plan, inputs: Inputs) -> tuple[dict[str, Any], bytes]:
    """Return the fields a run begins with, defaults included, and their JSON.

    Raises:
        ConfigError: a field is unknown, missing or of the wrong type.
    """
    _refuse_unknown(plan, inputs)
    for name in plan.given:
        if name not in inputs:
            raise ConfigError(f'graph "{plan.name}" needs the input "{name}", which has no default; pass it to run')
    return values_from(plan, inputs)


def values_from(plan: Plan, inputs: Inputs) -> tuple[dict[str, Any], bytes]:
    """Return the given fields and the defaults of the others, checked, and their JSON."""
    values: dict[str, Any] = {}
    saved: list[bytes] = []
    for name, field in plan.fields.items():
        if name in inputs:
            value, text = _checked(plan, field, inputs[name])
        elif field.has_default:
            value, text = _checked(plan, field, _default(plan, field, values))
        else:
            continue
        values[name] = value
        saved.append(b"%b:%b" % (field.key, text))
    return values, b"{" + b",".join(saved) + b"}"


def checked_values(plan: Plan, given: Inputs) -> bytes:
    """Return the JSON of fields that are to be set.

    Raises:
        ConfigError: a field is unknown or of the wrong type.
    """
    _refuse_unknown(plan, given)
    saved = [(plan.fields[name], _checked(plan, plan.fields[name], value)[1]) for name, value in given.items()]
    return b"{" + b",".join(b"%b:%b" % (field.key, text) for field, text in saved) + b"}"


def _refuse_unknown(plan: Plan, given: Inputs) -> None:
    if not isinstance(given, Mapping):
        raise ConfigError(f'graph "{plan.name}" takes values by field, as in {{"name": value}}; got {short(given)}')
    for name in given:
        if name not in plan.fields:
            hint = did_you_mean(name, plan.fields)
            raise ConfigError(f'graph "{plan.name}" has no field "{name}"; fields are {quoted(plan.fields)}.{hint}')


def _default(plan: Plan, field: Field, before: Inputs) -> object:
    try:
        return field.default(before)
    except Exception as error:
        message = f'graph "{plan.name}", field "{field.name}": its default_factory raised {first_finding(error)}'
        raise ConfigError(message) from error


def _checked(plan: Plan, field: Field, given: object) -> tuple[Any, bytes]:
    try:
        return field.values.settle(given)
    except Exception as error:  # pydantic's own, or a validator's of the user
        message = f'graph "{plan.name}", field "{field.name}": got {short(given)}, expected '
        raise ConfigError(f"{message}{type_name(field.values.type)}: {first_finding(error)}") from error
