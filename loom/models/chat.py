"""One way to every server: one POST over a pool's connections, and the events of its answer."""

import json
from collections.abc import AsyncGenerator, Mapping
from importlib import import_module
from urllib.parse import urljoin

from loom.models.blocks import Json
from loom.models.pool import Pool
from loom.models.protocols import Post

# What Anthropic's names for errors stand for: in the middle of a stream they come without a status.
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class Refused(Exception):  # noqa: N818 - it never leaves this room
    """The server's refusal, or that it cannot be heard; `headers` are of an answer that was a refusal."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers

    @property
    def is_overflow(self) -> bool:
        """Whether the server says, in its own words, that the request is too long for the model."""
        if self.status != 400:
            return self.status == 413
        checkers = import_module("litellm.litellm_core_utils.exception_mapping_utils").ExceptionCheckers
        said = str(self)
        # Anthropic's words are not among those that litellm asks of every provider.
        return "prompt is too long" in said or bool(checkers.is_error_str_context_window_exceeded(said))


async def events(pool: Pool, post: Post, timeout_s: float) -> AsyncGenerator[Json]:
    """Send `post` and yield the events of the answer; closed before its end, it hangs up.

    `timeout_s` is the longest silence. Raises `Refused`.
    """
    aiohttp = import_module("aiohttp")
    response = None
    try:
        response = await pool.session.post(
            post.url,
            data=post.body,
            headers=post.headers,
            proxy=pool.proxy(post.url),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s),
            allow_redirects=False,  # another server would be given the key and the prompt
        )
        if response.status >= 300:
            said = (await response.read()).decode(errors="replace")
            words = (response.status < 400 and _target(post.url, response.headers)) or _message(said)
            raise Refused(response.status, words, response.headers)
        rest = b""
        # By whatever has arrived, not by aiohttp's lines: those may not be long.
        async for arrived in response.content.iter_any():
            *lines, rest = (rest + arrived).split(b"\n")
            for line in lines:
                if (event := _event(line)) is not None:
                    yield event
        if (event := _event(rest)) is not None:
            yield event
    except TimeoutError as error:
        raise Refused(408, f"silent for {timeout_s:g} s") from error
    except aiohttp.ClientError as error:
        raise Refused(500, f"the connection failed: {error}") from error
    finally:
        if response is not None:
            response.close()


def _target(url: str, headers: Mapping[str, str]) -> str | None:
    """Return what tells where an answer sends on to, None where it does not."""
    if "Location" not in headers:
        return None
    target = urljoin(url, headers["Location"]).partition("?")[0]  # what is asked there may be secret
    return f'it sends on to "{target}", which is not followed; if the model is there, say so in api_base'


def _event(line: bytes) -> Json | None:
    """Return what a line of a stream says, None where it says nothing. Raises `Refused` for an error."""
    said = line.removeprefix(b"data:").strip()
    if not line.startswith(b"data:") or said in {b"", b"[DONE]"}:
        return None
    try:
        event: Json = json.loads(said)
        refusal: Json | str | None = event.get("error")
    except (ValueError, AttributeError) as error:
        raise Refused(500, f"an event that is no JSON object: {said[:200]!r}") from error
    if refusal:
        raise Refused(_status(refusal), _message(said.decode(errors="replace")))
    return event


def _status(error: Json | str) -> int:
    if not isinstance(error, dict):
        return 500
    code = error.get("code")
    return code if isinstance(code, int) and code >= 400 else STATUSES.get(str(error.get("type")), 500)


def _message(said: str) -> str:
    """Return what a refusal says in words; the whole of it where it is not as the protocols have it."""
    try:
        error: Json | str = json.loads(said)["error"]
        return str(error["message"] if isinstance(error, dict) else error) or said
    except (ValueError, KeyError, TypeError):
        return said
