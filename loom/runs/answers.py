"""Answers to the asks of a paused run: checked as a whole before anything is changed.

They are checked by the JSON Schema that the ask shows, which is what one can know of a type without its node. So
only what the schema surely refuses is refused here; the rest the type itself is asked, once the node runs (`Desk`).
"""

import datetime
import enum
import operator
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from pydantic import ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import SchemaError, SchemaValidator, core_schema, from_json, to_json, to_jsonable_python

from loom.core.result import Ask, Result
from loom.core.values import values_of
from loom.errors import AnswerError, quoted, short
from loom.runs.notes import Totals
from loom.types.saving import refuse_unreadable

# Any, in this module: answers, and JSON Schemas.

Answers = Mapping[str, Any]

_MORE = "$comment"  # stands where a type takes more than its schema says


class Shown(GenerateJsonSchema):
    """The JSON Schema of an answer, with a comment where the type takes more than it says."""

    def generate_inner(self, schema: Any) -> dict[str, Any]:
        """Return the schema of one piece of a type."""
        if schema["type"] == "literal" and any(map(_is_no_json, schema["expected"])):
            raise PydanticInvalidForJsonSchema("JSON has no members of a plain Enum for a Literal, say all of the Enum")
        made = super().generate_inner(schema)
        if made.get("writeOnly"):
            raise PydanticInvalidForJsonSchema("A secret would be saved as it is; keep secrets in the environment")
        return made | {_MORE: "its own validator decides"} if _takes_more(schema) else made


def _is_no_json(value: object) -> bool:
    return isinstance(value, (enum.Enum, bytes)) and not isinstance(value, (str, int))


def _takes_more(schema: Mapping[str, Any]) -> bool:
    """Tell whether a piece of a type takes what its JSON Schema refuses, beside texts that stand for numbers."""
    match schema["type"]:
        case "bytes" | "complex" | "decimal" | "named-tuple" | "call":  # a text or a list is but one form of them
            return True
        case "function-before" | "function-wrap":
            return "json_schema_input_schema" not in schema
        case "function-after":  # a bound of what another one made
            return bool(schema["schema"]["type"] == "function-after")
        case "enum":
            return schema["cls"]._missing_.__func__ is not enum.Enum._missing_.__func__  # type: ignore[attr-defined]
        case "default":
            return bool(schema.get("on_error", "raise") != "raise")
        case _:
            config: Mapping[str, Any] = schema.get("config", {})
            return bool(schema.get("strip_whitespace") or config.get("str_strip_whitespace"))


def as_json(value: Any) -> Any:
    """Return a value as it will be read back from a record, without what its type works out by itself.

    Raises:
        ValueError: it cannot be saved as JSON, or not be read back.
    """
    plain = to_jsonable_python(value, by_alias=False, round_trip=True, bytes_mode="base64")
    saved = to_json(plain, inf_nan_mode="strings")
    refuse_unreadable(saved)
    return from_json(saved)


def answer_records(totals: Totals, answers: Answers, at: float) -> list[dict[str, Any]]:
    """Return the records of answers, by the ids of open asks.

    Raises:
        AnswerError: an id is unknown or answered, or an answer is of the wrong type.
    """
    if not isinstance(answers, Mapping):
        raise AnswerError(f"answers are given by the id of their ask, {{ask.id: answer}}; got {short(answers)}")
    return [
        {"kind": "answer", "id": ask_id, "value": _checked(_open(totals, ask_id), answer), "at": at}
        for ask_id, answer in answers.items()
    ]


def _open(totals: Totals, ask_id: str) -> Ask:
    if ask_id in totals.answers:
        raise AnswerError(f'ask "{ask_id}" was answered already, with {short(totals.answers[ask_id])}')
    if ask_id not in totals.open_asks:
        raise AnswerError(f'no ask "{ask_id}" is open; open are {quoted(totals.open_asks)}')
    return totals.open_asks[ask_id]


def _checked(ask: Ask, answer: Any) -> Any:
    where = f'ask "{ask.id}" ("{ask.question}") of node "{ask.node}"'
    try:
        plain = as_json(answer.value if isinstance(answer, Result) else answer)
    except Exception as error:  # noqa: BLE001 - how it is saved may be the user's own
        raise AnswerError(f"{where}: {short(answer)} cannot be saved as JSON: {error}") from None
    is_in_doubt = ask.kind == "in_doubt"
    if is_in_doubt and isinstance(answer, str) and answer in ("retry", "skip"):
        return [answer]
    if flaw := _flaw(plain, ask.answer_type):
        raise AnswerError(f"{where}: {flaw}" + ('; or answer "retry" or "skip"' if is_in_doubt else ""))
    return ["result", plain] if is_in_doubt else plain


_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "null": (type(None),), "array": (list,),
    "object": (dict,),
}  # fmt: skip
_FORMATS: Mapping[str, type] = {
    "date": datetime.date, "date-time": datetime.datetime, "time": datetime.time, "duration": datetime.timedelta,
    "uuid": uuid.UUID,
}  # fmt: skip
_ENDLESS = ("Infinity", "-Infinity", "NaN")  # floats that JSON has no number for


def _flaw(value: Any, schema: Mapping[str, Any]) -> str | None:
    try:
        return next(_flaws(value, schema, schema.get("$defs", {}), "the answer"), None)
    except Exception:  # noqa: BLE001 - a schema may be the user's own: one that is not understood refuses nothing
        return None


def _flaws(value: Any, schema: Mapping[str, Any], known: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield what is wrong with a value, as far as a JSON Schema says it."""
    if _MORE in schema:
        return
    if "$ref" in schema:
        yield from _flaws(value, known[schema["$ref"].rsplit("/", 1)[-1]], known, where)
    elif "anyOf" in schema or "oneOf" in schema:
        choices = schema.get("anyOf") or schema["oneOf"]
        if all(any(_flaws(value, one, known, where)) for one in choices):
            wanted = dict.fromkeys(str(one.get("type", one.get("$ref", one))).rsplit("/", 1)[-1] for one in choices)
            yield f"{where} must be {' or '.join(wanted)}, got {short(value)}"
    elif "enum" in schema or "const" in schema:
        allowed = schema["enum"] if "enum" in schema else [schema["const"]]
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
            yield f"{where} must be one of {allowed}, got {short(value)}"
    elif "type" in schema and not (schema["type"] == "number" and value in _ENDLESS):
        wanted = schema["type"]
        if any(_is_a(value, kind) for kind in ([wanted] if isinstance(wanted, str) else wanted)):
            yield from _broken_bounds(value, schema, where)
            yield from _flaws_inside(value, schema, known, where)
        else:
            yield f"{where} must be of type {wanted}, got {short(value)}"


def _flaws_inside(value: Any, schema: Mapping[str, Any], known: Mapping[str, Any], where: str) -> Iterator[str]:
    if isinstance(value, list):
        first = schema.get("prefixItems", ())
        for index, item in enumerate(cast("Sequence[Any]", value)):
            one = first[index] if index < len(first) else schema.get("items", {})
            yield from _flaws(item, one, known, f"{where}[{index}]")
    elif isinstance(value, dict):
        yield from _object_flaws(cast("dict[str, Any]", value), schema, known, where)


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and kind == "integer":
        return value.is_integer()
    return kind != "boolean" and isinstance(value, _KINDS[kind])


def _is_like(value: str, pattern: str) -> bool:
    """Tell whether a text may be like a pattern. Pydantic has two engines, and the schema does not tell which."""
    found = [_finds(engine, pattern, value) for engine in ("rust-regex", "python-re")]
    return True in found or False not in found


def _finds(engine: Literal["rust-regex", "python-re"], pattern: str, value: str) -> bool | None:
    """Tell whether an engine finds a pattern in a text; None if it cannot read the pattern."""
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine=engine)).validate_python(value)
    except ValidationError:
        return False
    except (SchemaError, re.error):
        return None
    return True


def _is_multiple(value: Any, bound: Any) -> bool:
    """Tell whether a number may be a multiple. How near one of broken numbers has to be, its type decides."""
    return not (isinstance(value, int) and isinstance(bound, int)) or value % bound == 0


_BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("at least", operator.ge),
    "maximum": ("at most", operator.le),
    "exclusiveMinimum": ("above", operator.gt),
    "exclusiveMaximum": ("below", operator.lt),
    "multipleOf": ("a multiple of", _is_multiple),
    "minLength": ("of length at least", lambda value, bound: len(value) >= bound),
    "maxLength": ("of length at most", lambda value, bound: len(value) <= bound),
    "minItems": ("of length at least", lambda value, bound: len(value) >= bound),
    "maxItems": ("of length at most", lambda value, bound: len(value) <= bound),
    "pattern": ("like", _is_like),
}


def _broken_bounds(value: Any, schema: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, (words, holds) in _BOUNDS.items():
        is_of_set = name == "maxItems" and "uniqueItems" in schema  # of what is there twice a set holds one
        if name in schema and not is_of_set and not holds(value, schema[name]):
            yield f"{where} must be {words} {schema[name]}, got {short(value)}"
    if schema.get("format") in _FORMATS:
        try:
            values_of(_FORMATS[schema["format"]]).read(value)
        except ValueError:
            yield f"{where} must be a {schema['format']}, got {short(value)}"


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
