"""Registered secrets: texts that are replaced in everything that is saved."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from loom.core.journal import encode

# Any, in this module: parsed JSON.

_FREE = ("error", "key", "payload", "question", "reason", "result", "value")
_FIELDS = ("values", "writes")
_MARK = "[redacted]"


class Secrets:
    """Texts to be hidden, the longest first, so that none leaves a part of another.

    Only texts inside values are replaced, so a secret that looks like a part of the journal itself, a
    number or the name of a field, does no harm.
    """

    __slots__ = ("_pattern", "_saved")

    def __init__(self, texts: Sequence[str]) -> None:
        found = sorted(filter(None, texts), key=len, reverse=True)
        self._saved = [to_json(text)[1:-1] for text in found]
        self._pattern = re.compile("|".join(map(re.escape, [_MARK, *found])))  # cleaning twice changes nothing

    def __bool__(self) -> bool:
        return bool(self._saved)

    def clean(self, value: Any) -> Any:
        """Return parsed JSON with `[redacted]` in the place of each secret."""
        if not self._saved:
            return value
        kind = value.__class__
        if kind is str:
            return self._pattern.sub(_MARK, value)
        if kind is list:
            return [self.clean(item) for item in value]
        if kind is dict:
            return {self.clean(key): self.clean(item) for key, item in value.items()}
        return value

    def clean_json(self, saved: bytes) -> bytes:
        """Return a value's JSON without secrets."""
        return to_json(self.clean(from_json(saved))) if self._is_in(saved) else saved

    def clean_fields(self, saved: bytes) -> bytes:
        """Return the JSON of fields by name, without secrets in their values."""
        return to_json(self._clean_each(from_json(saved))) if self._is_in(saved) else saved

    def clean_record(self, record: bytes) -> bytes:
        """Return a record without secrets in what comes from outside. Its events were cleaned when they were shown."""
        if not self._is_in(record):
            return record
        parsed = from_json(record)
        parsed |= {name: self.clean(parsed[name]) for name in _FREE if name in parsed}
        parsed |= {name: self._clean_each(parsed[name]) for name in _FIELDS if name in parsed}
        return encode(parsed)

    def _clean_each(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: self.clean(value) for name, value in fields.items()}

    def _is_in(self, saved: bytes) -> bool:
        return any(text in saved for text in self._saved)


_NONE = Secrets(())


def secrets_of(texts: Sequence[str]) -> Secrets:
    """Return the secrets of a runtime, mostly none."""
    return Secrets(texts) if texts else _NONE
