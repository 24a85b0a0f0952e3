"""Prompts as files: a Jinja template becomes the messages of one model call.

A template is package data. Its first comment names each variable with type and unit. A line `{# role: user #}` (or
`system`, `assistant`) begins a message; one whose text is blank once rendered is left out. The file is cut into
messages before anything is rendered, so a value can end no message and begin none.

A template sees plain JSON values only. It can reach neither attributes with underscores nor change what it is given,
and what it prints is never rendered again. `{{ text | enclosed("output") }}` puts a text that others wrote between
`<output>` and `</output>`; tags of that name inside the text are made harmless.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, cast

import jinja2
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue, TypeAdapter, ValidationError

from loom.errors import PromptError, quoted
from loom.types.messages import Message, Role

_ROLE: Final = re.compile(r"^\{# role: (\w+) #\}$\n?", re.MULTILINE)
_ROLES: Final = ("system", "user", "assistant")
_VALUES: Final = TypeAdapter(dict[str, JsonValue])


def enclosed(text: str, tag: str) -> str:
    """Return `text` between `<tag>` and `</tag>` on lines of their own; such tags inside it are escaped."""
    inner = re.sub(rf"<(?=\s*/?\s*{re.escape(tag)}\b)", "&lt;", text, flags=re.IGNORECASE)
    return f"<{tag}>\n{inner}\n</{tag}>"


_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # models read plain text; what others wrote is enclosed
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals.clear()
# Any: jinja2 says of filters only what its own look like.
_FILTERS: dict[str, Any] = _ENVIRONMENT.filters
_FILTERS["enclosed"] = enclosed


@dataclass(frozen=True, slots=True)
class _Parsed:
    variables: frozenset[str]
    sections: tuple[tuple[Role, jinja2.Template], ...]


def render(package: str, path: str, variables: Mapping[str, object]) -> tuple[Message, ...]:
    """Return the messages that the template at `path` in `package` makes of `variables`.

    Raises:
        PromptError: the template is missing or broken, lacks a variable, or is given one that it does not
            use or that is no JSON.
    """
    name = f"{package}/{path}"
    parsed = _parsed(package, path)
    if missing := parsed.variables - variables.keys():
        raise PromptError(f'prompt "{name}" needs {quoted(missing)}, but was given {quoted(variables)}')
    if unused := variables.keys() - parsed.variables:
        raise PromptError(f'prompt "{name}" has no variable {quoted(unused)}; it uses {quoted(parsed.variables)}')
    try:
        values = _VALUES.validate_python(dict(variables))
    except ValidationError as error:
        flaw = error.errors()[0]
        raise PromptError(
            f'prompt "{name}", variable "{flaw["loc"][0]}" is no plain JSON value: {flaw["msg"]}'
        ) from error
    messages: list[Message] = []
    for role, template in parsed.sections:
        try:
            text = template.render(values).strip()
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise PromptError(f'prompt "{name}", message of role "{role}": {error}') from error
        if text:
            messages.append(Message(role=role, content=text))
    return tuple(messages)


@lru_cache(maxsize=256)
def _parsed(package: str, path: str) -> _Parsed:
    name = f"{package}/{path}"
    try:
        source = files(package).joinpath(path).read_text(encoding="utf-8")
    except (OSError, ModuleNotFoundError) as error:
        raise PromptError(f'prompt "{name}" cannot be read: {error}') from error
    head, *rest = _ROLE.split(source)
    if not rest:
        raise PromptError(f'prompt "{name}" has no message; begin one with a line {{# role: user #}}')
    variables: set[str] = set()
    sections: list[tuple[Role, jinja2.Template]] = []
    try:
        if _ENVIRONMENT.from_string(head).render().strip():
            raise PromptError(f'prompt "{name}" has text before its first line {{# role: … #}}')
        for role, text in zip(rest[::2], rest[1::2], strict=True):
            if role not in _ROLES:
                raise PromptError(f'prompt "{name}" has a message of role "{role}"; expected {quoted(_ROLES)}')
            variables |= find_undeclared_variables(_ENVIRONMENT.parse(text))
            sections.append((cast("Role", role), _ENVIRONMENT.from_string(text)))
    except jinja2.TemplateError as error:
        raise PromptError(f'prompt "{name}" is broken: {error}') from error
    return _Parsed(frozenset(variables), tuple(sections))
