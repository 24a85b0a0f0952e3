# ruff: noqa: ANN401 - Any is a type here, of which pydantic knows more, or a value of one
"""What can be saved as JSON and read back: told of a type when a graph is compiled, else of what was saved."""

import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NoReturn, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticErrorMixin, PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import from_json

from loom.errors import error_text

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


def first_finding(error: Exception) -> str:
    """Return the first finding of a validation in a line; of another error its kind too, unless that is ValueError."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(piece) for piece in found["loc"])
        return f"{path}: {found['msg']}" if path else found["msg"]
    if isinstance(error, PydanticErrorMixin):
        return error.message.partition("\n")[0]
    line = "; ".join(line.strip() for line in error_text(error).splitlines() if line.strip())[:300]
    return line.removeprefix(f"{type(error).__name__}: ") if isinstance(error, ValueError) else line


class _LossyError(Exception):
    """A value of the type would not come back as it was."""


_RECORDS = ("model", "dataclass", "typed-dict")
_NO_KEYS = ("tuple", "list", "set", "frozenset", "dict", "call", "named-tuple", *_RECORDS)
_UNFILLED = "init_private_attributes"  # what pydantic calls its own `model_post_init`, which only sets defaults
_BYTES = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}


class _Saved(GenerateJsonSchema):
    """Refuses what pydantic's own lets pass although such a value would not come back."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._around: list[Mapping[str, Any]] = []  # the settings of the records around a type; of its own code

    def generate_inner(self, schema: Any) -> dict[str, Any]:
        own = _BYTES if "serialization" in schema else schema.get("config") if schema["type"] in _RECORDS else None
        if own is None:
            return super().generate_inner(schema)
        self._around.append(own)
        try:
            return super().generate_inner(schema)
        finally:
            self._around.pop()

    def bytes_schema(self, schema: Any) -> dict[str, Any]:
        config = self._around[-1] if self._around else _BYTES
        form = config.get("ser_json_bytes", "utf8")
        if form == "utf8" or form != config.get("val_json_bytes"):
            raise _LossyError(
                "The bytes in a record would not come back as they were; let it say "
                'ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")'
            )
        return super().bytes_schema(schema)

    def json_schema(self, schema: Any) -> dict[str, Any]:
        if not self._around:
            raise _LossyError("Json takes a text and is another value then; say the type of that")
        return super().json_schema(schema)

    def literal_schema(self, schema: Any) -> dict[str, Any]:
        kinds: set[type[Any]] = {type(one) for one in schema["expected"]}
        if bytes in kinds or any(issubclass(kind, Enum) and kind.__bases__ == (Enum,) for kind in kinds):
            remedy = "base the Enum on str, or say all of it"
            raise _LossyError(f"A Literal of bytes, or of members of a plain Enum, would not come back; {remedy}")
        return super().literal_schema(schema)

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        if _is_container(schema.get("keys_schema", {})):
            raise _LossyError("A dict whose keys are made of several values would not come back; use a list")
        return super().dict_schema(schema)

    def model_schema(self, schema: Any) -> dict[str, Any]:
        kind: type[BaseModel] = schema["cls"]
        is_refilled = kind.__pydantic_decorators__.model_validators or kind.model_post_init.__name__ != _UNFILLED
        if kind.__private_attributes__ and not is_refilled:
            raise _LossyError(
                f'The private attribute "{next(iter(kind.__private_attributes__))}" of {kind.__name__} would be lost; '
                "make it a field"
            )
        return super().model_schema(schema)

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
        is_own = isinstance(error, _LossyError)
        return reason if is_own else f"{reason}; live objects (clients, connections) belong to Runtime"
    return ""


def _is_container(schema: Any) -> bool:
    """Tell whether values of a schema hold several others."""
    if schema.get("type") in _NO_KEYS:
        return True
    inner = [schema["schema"]] if "schema" in schema else schema.get("choices", ())
    return any(_is_container(one[0] if isinstance(one, tuple) else one) for one in inner)


def _secret_types() -> tuple[type, ...]:
    """Return pydantic's types of secrets. Their module takes long to load, and without it there are none."""
    loaded = sys.modules.get("pydantic.types")
    return (loaded.SecretStr, loaded.SecretBytes, loaded.Secret) if loaded else ()
