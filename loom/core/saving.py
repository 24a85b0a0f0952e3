"""What can be saved as JSON and read back: told of a type when a graph is compiled, else of what was saved."""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import from_json

# Any, in this module: types, of which pydantic knows more, and values of them.

SURE = 300
"""JSON of so many bytes can be read back wherever it stands: it is not deep, and no number in it is too long."""

_DIGITS = 4300  # an integer of more cannot be read
_BRACKETS = 150  # JSON nested 200 deep cannot be read, and what holds it adds some
_AROUND = 8  # more than any record puts around a value


def refuse_unreadable(saved: bytes) -> None:
    """Make sure that JSON can be read back from inside a record. Most of it is told to be by a glance.

    Raises:
        ValueError: an integer in it is too long, or it is nested too deep.
    """
    if len(saved) > _DIGITS or saved.count(b"[") + saved.count(b"{") > _BRACKETS:
        try:
            from_json(b"[" * _AROUND + saved + b"]" * _AROUND)
        except ValueError as error:
            raise ValueError(
                f"its JSON could not be read back, {str(error).partition(' at line')[0]}: an integer may "
                f"have {_DIGITS:,} digits, and JSON be nested 190 deep; save it as a text"
            ) from None


def shown(value: object) -> str:
    """Return a value as messages show it, which may be one that cannot be shown."""
    try:
        return f"{value!r:.80}"
    except Exception:  # noqa: BLE001 - of an integer that is too long, or what is nested too deep, or the user's own
        return f"a value of type {type(value).__name__} that cannot be shown"


def first_finding(error: Exception) -> str:
    """Return the first finding of a validation in a line; of another error its kind too."""
    if not isinstance(error, ValidationError):
        said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())[:300]
        return said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"
    found = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(piece) for piece in found["loc"])
    return f"{path}: {found['msg']}" if path else found["msg"]


class _Saved(GenerateJsonSchema):
    """Refuses what pydantic's own lets pass although such a value would not come back."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        if kind == "skipped-choice":  # one member of a union
            raise PydanticInvalidForJsonSchema(detail)

    def is_subclass_schema(self, schema: Any) -> NoReturn:
        raise PydanticInvalidForJsonSchema("A class is not JSON")

    def generator_schema(self, schema: Any) -> NoReturn:
        raise PydanticInvalidForJsonSchema("An iterable can be read only once, use a list")

    def model_field_schema(self, schema: Any) -> dict[str, Any]:
        if schema.get("serialization_exclude"):
            raise PydanticInvalidForJsonSchema("A field with exclude=True would be lost")
        return super().model_field_schema(schema)

    def function_before_schema(self, schema: Any) -> dict[str, Any]:
        return {} if self.mode == "validation" else super().function_before_schema(schema)

    def function_wrap_schema(self, schema: Any) -> dict[str, Any]:
        return {} if self.mode == "validation" else super().function_wrap_schema(schema)


def flaw_of(pieces: Sequence[Any], adapter: TypeAdapter[Any]) -> str:
    """Return why values of a type, made of these pieces, cannot be saved as JSON and read back; empty if they can."""
    for piece in pieces:
        kind = get_origin(piece) or piece
        if isinstance(kind, type) and issubclass(kind, _secret_types()):
            return f"{kind.__name__} is a secret, which a saved state would lose; keep secrets in the environment"
    try:
        adapter.json_schema(mode="serialization", schema_generator=_Saved)
        adapter.json_schema(mode="validation", schema_generator=_Saved)
    except Exception as error:  # noqa: BLE001 - whatever pydantic finds is the flaw
        reason = str(error).strip().splitlines()[0].rstrip(".")
        return f"{reason}; live objects (clients, connections) belong to Runtime"
    return ""


def _secret_types() -> tuple[type, ...]:
    """Return pydantic's types of secrets. Their module takes long to load, and without it there are none."""
    loaded = sys.modules.get("pydantic.types")
    return (loaded.SecretStr, loaded.SecretBytes, loaded.Secret) if loaded else ()
