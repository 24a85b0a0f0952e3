"""What `--input` and `--set` say, as values."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from loom.core.state import State, fields_of
from loom.core.values import Values
from loom.errors import ConfigError
from loom.types.annotations import bare

# Any, in this module: values of the user's own types.


_FORMS = {
    "--answer": "ask=value",
    "--check": "name=command, as in 'tests pass=pytest -q'",
    "--input": "key=value, @file.json or -",
    "--rename": "old=new",
    "--set": "name=value",
}


def inputs_from(texts: Sequence[str], state: type[State]) -> dict[str, Any]:
    """Return the inputs that `--input` gives: `key=value`, `@file.json`, or `-` for JSON on stdin.

    A later one wins over an earlier one. Values are not checked here: the graph does that.

    Raises:
        ConfigError: a text has none of the three forms, or what it names holds no JSON object.
    """
    fields = fields_of(state)
    inputs: dict[str, Any] = {}
    for text in texts:
        if text == "-":
            inputs |= _object(sys.stdin.read(), "stdin")
        elif text.startswith("@"):
            inputs |= _object(_read(Path(text[1:])), f'"{text[1:]}"')
        else:
            key, value = pair(text, "--input")
            inputs[key] = value_of(value, fields[key].values) if key in fields else value
    return inputs


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Split each `key=value`; a later one wins over an earlier one of its key."""
    return dict(pair(text, option) for text in texts)


def pair(text: str, option: str) -> tuple[str, str]:
    """Split `key=value`.

    Raises:
        ConfigError: it has no `=`, or nothing before it.
    """
    key, equals, value = text.partition("=")
    if not (equals and key.strip()):
        raise ConfigError(f'{option} takes {_FORMS[option]}; got "{text}"')
    return key.strip(), value


def value_of(text: str, values: Values) -> object:
    """Return the text as it is for a string, else the JSON it is if that fits the type, else the text."""
    if bare(values.type) is str:
        return text
    try:
        parsed = json.loads(text)
    except ValueError:
        return text
    return parsed if _fits(parsed, values) or not _fits(text, values) else text


# Any: a JSON Schema.
def answer_of(text: str, schema: Mapping[str, Any]) -> object:
    """Return an answer: the text where a string is asked for, else the JSON it is, else the text."""
    if schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fits(value: object, values: Values) -> bool:
    try:
        values.validate(value)
    except ValueError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f'--input @{path}: cannot read "{path}": {reason}') from None


def _object(text: str, where: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"--input: {where} holds no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"--input: {where} holds a JSON {type(found).__name__}; expected an object, field by field")
    return cast("dict[str, Any]", found)
