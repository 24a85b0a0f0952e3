"""What a node wants of its run, checked: what is wrong with it is said in the words of the call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pydantic import ValidationError

from loom.core.values import Values, values_of
from loom.errors import ConfigError, short
from loom.runs.answers import Shown
from loom.types.annotations import type_name
from loom.types.events import Event
from loom.types.saving import first_finding

# Any, in this module: what a node gives, which is checked here, and JSON.

_KINDS = ("ask", "approve")
_NO_TYPES: tuple[type[Any], ...] = (bool, int, float, bytes, list, tuple, dict, set)
_PAYLOAD = values_of(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and of which type an answer is. `payload` is JSON."""

    where: str
    text: str
    key: str
    values: Values
    kind: str = "ask"
    payload: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of an answer.

        Raises:
            ConfigError: JSON has no values of the type. (What a state could not hold may well be answered.)
        """
        try:
            return self.values.schema(Shown)
        except Exception as error:  # noqa: BLE001 - whatever pydantic finds
            wanted = type_name(self.values.type)
            raise ConfigError(f"{self.where} wants {wanted}, which no JSON can be: {first_finding(error)}") from None


def question_of(node: str, text: Any, answer_type: Any, key: Any, kind: Any, payload: Any) -> Question:
    """Return what a node asks.

    Raises:
        ConfigError: something of it is of the wrong type, or cannot be saved.
    """
    text = text_of(text, f'the question of an ask of node "{node}"')
    key = text if key is None else text_of(key, f'the key of ask "{text}" of node "{node}"') or text
    where = f'ask "{key}" of node "{node}"'
    if kind not in _KINDS:
        raise ConfigError(f'{where} is of kind {short(kind)}; expected "ask" or "approve"')
    values = values_for(answer_type, where)
    given: dict[str, Any] = {}
    try:
        if payload is not None:
            given = _PAYLOAD.settle(payload)[0]
    except ValidationError:
        raise ConfigError(f"the payload of {where} must be JSON values by name; got {short(payload)}") from None
    except ValueError as error:
        raise ConfigError(f"the payload of {where} is no JSON: {first_finding(error)}") from None
    return Question(where, text, key, values, kind, given)


def event_of(node: str, given: Any) -> Event:
    """Return the event that a node emits.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(given, Event):
        expected = 'expected an Event, as in Event(type="…", payload={…})'
        raise ConfigError(f'node "{node}" emits {short(given)}; {expected}')
    return given


def text_of(given: Any, what: str) -> str:
    """Return a text that can be saved.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(given, str):
        raise ConfigError(f"{what} must be a text; got {short(given)}")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{what} must be a text that can be saved; got {short(given)}, half a character") from None
    return given


def result_of(fn: Any, result_type: Any, where: str) -> Values:
    """Return what is known of the values that a function gives: of the type that is said, or it is annotated with.

    Raises:
        ConfigError: it is no function, or they cannot be saved.
    """
    if not callable(fn):
        raise ConfigError(f"{where} calls {short(fn)}; expected a function, and what it is given after it")
    values = values_for(_returns(fn) if result_type is None else result_type, where)
    if values.flaw:
        raise ConfigError(
            f"{where} gives {type_name(values.type)}, which cannot be saved: {values.flaw}; "
            f"say result_type=, and return plain data"
        )
    return values


def _returns(fn: Callable[..., Any]) -> Any:
    """Return the annotated return type of a function; plain JSON if it has none."""
    returned = getattr(fn, "__annotations__", {}).get("return")
    if isinstance(returned, type):  # what is looked up below is most often this
        return returned
    try:
        return get_type_hints(fn).get("return", Any)
    except (AttributeError, NameError, SyntaxError, TypeError):
        return Any


def values_for(annotation: Any, where: str) -> Values:
    """Return what is known of a type that a node names.

    Raises:
        ConfigError: it is none, or names one that cannot be found.
    """
    if not isinstance(annotation, type) and isinstance(annotation, _NO_TYPES):  # for which pydantic takes anything
        raise ConfigError(f"{where} wants {short(annotation)}; expected a type, as in bool or Literal['a', 'b']")
    try:
        return values_of(annotation)
    except Exception as error:  # noqa: BLE001 - whatever pydantic finds
        raise ConfigError(
            f"{where} wants {short(annotation)}, of which no type can be made: {first_finding(error)}"
        ) from None
