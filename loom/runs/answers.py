"""Answers to the asks of a paused run: checked as a whole before anything is changed."""

import datetime
import operator
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic_core import from_json

from loom.core.result import Ask, Result
from loom.core.values import values_of
from loom.errors import AnswerError, quoted
from loom.runs.notes import Totals

# Any, in this module: answers, and JSON Schemas.

Answers = Mapping[str, Any]


def answer_records(totals: Totals, answers: Answers, at: float) -> list[dict[str, Any]]:
    """Return the records of answers, by the ids of open asks.

    Raises:
        AnswerError: an id is unknown or answered, or an answer is of the wrong type.
    """
    if not isinstance(answers, Mapping):
        raise AnswerError(f"answers are given by the id of their ask, {{ask.id: answer}}; got {answers!r:.80}")
    return [
        {"kind": "answer", "id": ask_id, "value": _checked(_open(totals, ask_id), answer), "at": at}
        for ask_id, answer in answers.items()
    ]


def _open(totals: Totals, ask_id: str) -> Ask:
    if ask_id in totals.answers:
        raise AnswerError(f'ask "{ask_id}" was answered already, with {totals.answers[ask_id]!r:.80}')
    if ask_id not in totals.open_asks:
        raise AnswerError(f'no ask "{ask_id}" is open; open are {quoted(totals.open_asks)}')
    return totals.open_asks[ask_id]


def _checked(ask: Ask, answer: Any) -> Any:
    where = f'ask "{ask.id}" ("{ask.question}") of node "{ask.node}"'
    try:
        plain = from_json(values_of(Any).dump(answer.value if isinstance(answer, Result) else answer))
    except ValueError as error:
        raise AnswerError(f"{where}: {answer!r:.80} cannot be saved as JSON: {error}") from None
    is_in_doubt = ask.kind == "in_doubt"
    if is_in_doubt and isinstance(answer, str) and answer in ("retry", "skip"):
        return [answer]
    if flaw := next(_flaws(plain, ask.answer_type, ask.answer_type.get("$defs", {}), "the answer"), None):
        raise AnswerError(f"{where}: {flaw}" + ('; or answer "retry" or "skip"' if is_in_doubt else ""))
    return ["result", plain] if is_in_doubt else plain


_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "null": (type(None),), "array": (list,), "object": (dict,),
}  # fmt: skip
_FORMATS: Mapping[str, type] = {
    "date": datetime.date, "date-time": datetime.datetime, "time": datetime.time, "duration": datetime.timedelta,
    "uuid": uuid.UUID,
}  # fmt: skip
_ENDLESS = ("Infinity", "-Infinity", "NaN")  # floats that JSON has no number for


def _flaws(value: Any, schema: Mapping[str, Any], known: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what is wrong with a value, as far as a JSON Schema made by pydantic says it.

    Validators of the user's own are not in a schema; they are left to the ask itself.
    """
    if "$ref" in schema:
        yield from _flaws(value, known[schema["$ref"].rsplit("/", 1)[-1]], known, where)
    elif "anyOf" in schema or "oneOf" in schema:
        choices = schema.get("anyOf") or schema["oneOf"]
        if all(any(_flaws(value, one, known, where)) for one in choices):
            wanted = " or ".join(str(one.get("type", one.get("$ref", one))).rsplit("/", 1)[-1] for one in choices)
            yield f"{where} must be {wanted}, got {value!r:.80}"
    elif "enum" in schema or "const" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        if not any(value == one and type(value) is type(one) for one in allowed):
            yield f"{where} must be one of {allowed}, got {value!r:.80}"
    elif "type" in schema:
        wanted = schema["type"]
        if wanted == "number" and value in _ENDLESS:
            return
        if not isinstance(value, _KINDS[wanted]) or (isinstance(value, bool) and wanted != "boolean"):
            yield f"{where} must be of type {wanted}, got {value!r:.80}"
            return
        yield from _broken_bounds(value, schema, where)
        if isinstance(value, list):
            first = schema.get("prefixItems", ())
            for index, item in enumerate(cast("Sequence[Any]", value)):
                one = first[index] if index < len(first) else schema.get("items", {})
                yield from _flaws(item, one, known, f"{where}[{index}]")
        elif isinstance(value, dict):
            yield from _object_flaws(cast("dict[str, Any]", value), schema, known, where)


_BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", operator.ge),
    "maximum": ("at most", operator.le),
    "exclusiveMinimum": ("above", operator.gt),
    "exclusiveMaximum": ("below", operator.lt),
    "multipleOf": ("a multiple of", lambda value, bound: value % bound == 0),
    "minLength": ("of length at least", lambda value, bound: len(value) >= bound),
    "maxLength": ("of length at most", lambda value, bound: len(value) <= bound),
    "minItems": ("of length at least", lambda value, bound: len(value) >= bound),
    "maxItems": ("of length at most", lambda value, bound: len(value) <= bound),
    "pattern": ("like", lambda value, bound: re.search(bound, value) is not None),
}


def _broken_bounds(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, (words, holds) in _BOUNDS.items():
        if name in schema and not holds(value, schema[name]):
            yield f"{where} must be {words} {schema[name]}, got {value!r:.80}"
    if schema.get("format") in _FORMATS:
        try:
            values_of(_FORMATS[schema["format"]]).validate(value)
        except ValueError:
            yield f"{where} must be a {schema['format']}, got {value!r:.80}"


def _object_flaws(
    value: Mapping[str, Any], schema: Mapping[str, Any], known: Mapping[str, Any], where: str
) -> Iterator[str]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f'{where} lacks "{name}"'
    for name, one in value.items():
        if name in properties:
            yield from _flaws(one, properties[name], known, f"{where}.{name}")
        elif schema.get("additionalProperties") is False:
            yield f'{where} has the unknown field "{name}"'
        elif isinstance(others := schema.get("additionalProperties"), dict):
            yield from _flaws(one, cast("dict[str, Any]", others), known, f"{where}.{name}")
