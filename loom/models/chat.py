"""One way to every server: one POST over a pool's connections, and the events of its answer."""

import json
from collections.abc import AsyncGenerator, Sequence
from importlib import import_module
from typing import Any
from urllib.parse import urljoin

from loom.models.blocks import Json
from loom.models.pool import Pool
from loom.models.protocols import Post
from loom.models.refusals import Refused, error_in, of_error, of_status

# What the lines of a stream of events begin with.
FIELDS = (b"data", b"event", b"id", b"retry", b":")


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
            raise of_status(response.status, await _said(response, post.url), response.headers)
        before: list[bytes] | None = []  # the lines before the first event: it may be that none comes
        rest = b""
        # By whatever has arrived, not by aiohttp's lines: those may not be long.
        async for arrived in response.content.iter_any():
            *lines, rest = (rest + arrived).split(b"\n")
            for line in lines:
                if (event := _event(line)) is not None:
                    before = None
                    yield event
                elif before is not None:
                    before.append(line)
        if (event := _event(rest)) is not None:
            yield event
        elif before is not None:
            for event in _whole([*before, rest], post):
                yield event
    except TimeoutError as error:
        raise Refused(408, f"silent for {timeout_s:g} s") from error
    except aiohttp.ClientError as error:
        raise Refused(500, f"the connection failed: {error}") from error
    finally:
        if response is not None:
            response.close()


# Any: a response of aiohttp, whose types are not imported, since they load for long.
async def _said(response: Any, url: str) -> str:  # noqa: ANN401
    """Return what an answer says that is a refusal: its body, or where it sends on to."""
    said: str = (await response.read()).decode(errors="replace")
    if response.status >= 400 or "Location" not in response.headers:
        return said
    target = urljoin(url, response.headers["Location"]).partition("?")[0]  # what is asked there may be secret
    return f'it sends on to "{target}", which is not followed; if the model is there, say so in api_base'


def _event(line: bytes) -> Json | None:
    """Return what a line of a stream says, None where it says nothing. Raises `Refused` for an error."""
    said = line.removeprefix(b"data:").strip()
    if not line.startswith(b"data:") or said in {b"", b"[DONE]"}:
        return None
    try:
        event: Json = json.loads(said)
        is_error = event.get("error") or event.get("object") == "error"
    except (ValueError, AttributeError, RecursionError) as error:
        raise Refused(500, f"an event that is no JSON object: {said[:200]!r}") from error
    if is_error and (told := error_in(event)):
        raise of_error(told, said.decode(errors="replace"), 500)
    return event


def _whole(lines: Sequence[bytes], post: Post) -> list[Json]:
    """Return the events of an answer that is no stream. Raises `Refused` for what is no reply."""
    said = b"\n".join(line for line in lines if not line.startswith(FIELDS))
    text = said.decode(errors="replace").strip()
    if not text:
        return []
    try:
        body: object = json.loads(text)
        if error := error_in(body):
            raise of_error(error, text, 400)
        return post.whole(body)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Refused(422, f"instead of a reply it says: {text}") from error
