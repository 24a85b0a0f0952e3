"""What a server says where it gives no reply: of what kind it is, in which words, how long to wait. No I/O."""

import json
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from loom.models.blocks import Json
from loom.models.retry import retry_after_s, retry_delay_s

# Any: JSON of a server.
Body = Any

# What providers' names for errors stand for, where they come without a status.
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "RESOURCE_EXHAUSTED": 429,
    "api_error": 500,
    "server_error": 500,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "timeout_error": 504,
    "DEADLINE_EXCEEDED": 504,
    "overloaded_error": 529,
}


class Refused(Exception):  # noqa: N818 - it never leaves this room
    """The server's refusal, or that it cannot be heard. `has_status`: whether `status` is the server's own."""

    def __init__(self, status: int, message: str, *, has_status: bool = False, wish_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.has_status = has_status
        self.wish_s = wish_s

    @property
    def is_overflow(self) -> bool:
        """Whether the server says, in its own words, that the request is too long for the model."""
        if self.status != 400:
            return self.status == 413
        checkers = import_module("litellm.litellm_core_utils.exception_mapping_utils").ExceptionCheckers
        said = str(self)
        # Anthropic's words are not among those that litellm asks of every provider.
        return "prompt is too long" in said or bool(checkers.is_error_str_context_window_exceeded(said))


def of_status(status: int, said: str, headers: Mapping[str, str]) -> Refused:
    """Return the refusal that an answer of this status is; `said` is its body."""
    error = error_in(_read(said))
    wish_s = retry_after_s(headers, time.time())
    return Refused(status, _words(error) or said, has_status=True, wish_s=_delay_s(error) if wish_s is None else wish_s)


def of_error(error: Json | str, said: str, status: int) -> Refused:
    """Return the refusal that an error is which came as a reply; `status` is for one that does not tell its kind."""
    return Refused(_status(error, status), _words(error) or said, wish_s=_delay_s(error))


def error_in(body: Body) -> Json | str | None:
    """Return the error that JSON tells of as the protocols have it, None where it tells of none."""
    # Google puts what is no stream of events into a list.
    first: object = (cast("list[object]", body) or [None])[0] if isinstance(body, list) else body
    said = cast("Json", first) if isinstance(first, dict) else {}
    error: Body = said if said.get("object") == "error" else said.get("error")  # the former is vLLM's
    return cast("Json | str", error) if isinstance(error, dict | str) else None


def _read(said: str) -> Body:
    try:
        return json.loads(said)
    except ValueError:
        return None


def _status(error: Json | str, status: int) -> int:
    if isinstance(error, str):
        return status
    code, *names = (str(error.get(key)) for key in ("code", "type", "status"))
    if code.isdecimal() and int(code) >= 400:
        return int(code)
    return next((STATUSES[name] for name in (code, *names) if name in STATUSES), status)


def _words(error: Json | str | None) -> str:
    return str(error.get("message") or "") if isinstance(error, dict) else error or ""


def _delay_s(error: Json | str | None) -> float | None:
    return retry_delay_s(error.get("details")) if isinstance(error, dict) else None
