"""The protocols of providers: what is posted where, and how an event of the answer is read. No I/O.

Of litellm is used what it knows: what each model takes, how a request reads in each protocol, which headers it needs,
and what the events of an answer mean. It sends nothing, and nothing is fetched: addresses that it would fetch itself
are refused before (`loom.models.blocks`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from loom.models import whole
from loom.models.blocks import Json
from loom.models.endings import ending
from loom.models.parameters import parameters
from loom.models.providers import PROVIDERS, Route
from loom.models.thinking import put_in_place

# Any: objects of litellm, whose types are not imported; which attributes they have differs by provider.
Record = Any
Reader = Callable[[Json], Record]


@dataclass(frozen=True, slots=True)
class Post:
    """A request that can be sent, any number of times.

    `reader` makes what reads the events of one answer; `whole` makes events of an answer that came in one piece.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes
    reader: Callable[[], Reader]
    whole: Callable[[Record], list[Json]]


def post(way: Route, arguments: Json, *, temperature_is_default: bool = False) -> Post:
    """Return the request that asks what litellm's arguments say, without a default temperature that is not taken.

    Raises whatever litellm does.
    """
    litellm = import_module("litellm")
    prefix = way.provider.prefix
    given = dict(arguments)
    messages = given.pop("messages")
    headers = dict(given.pop("extra_headers", None) or {})
    # Anthropic's own parameter, which litellm does not take among those of OpenAI.
    metadata = given.pop("metadata", None) if prefix == "anthropic" else None
    response_type = given.pop("response_format") if isinstance(given.get("response_format"), type) else None
    taken = parameters(
        prefix, way.model, response_type, json.dumps(given), temperature_is_default=temperature_is_default
    )
    # What litellm's transforms ask for; they write into it.
    asked = {
        "model": way.model,
        "messages": messages,
        "optional_params": json.loads(taken),
        "litellm_params": {"drop_params": given.get("drop_params"), "metadata": metadata},
    }
    config = litellm.utils.ProviderConfigManager.get_provider_chat_config(
        model=way.model, provider=litellm.LlmProviders(prefix)
    )
    match prefix:
        case "anthropic":
            return _anthropic(way, config, asked, headers)
        case "gemini":
            return _gemini(way, asked, headers)
        case _:
            return _openai(way, config, asked, headers)


def load() -> None:
    """Load what the protocols need: the first call would else do it, and stop the event loop for as long."""
    for name in ("anthropic", "deepseek", "gemini", "openai"):
        way = Route(PROVIDERS[name], "any", api_key="none", api_base="")
        post(way, {"messages": [{"role": "user", "content": "hi"}]}).reader()


def _body(body: Json) -> bytes:
    # What the protocol does not know stands in a place of its own, as for OpenAI's SDK.
    extra: Json = body.pop("extra_body", None) or {}
    return json.dumps(body | extra).encode()


def _openai(way: Route, config: Record, asked: Json, own: dict[str, str]) -> Post:
    headers = {"Authorization": f"Bearer {way.api_key}", "Content-Type": "application/json"}
    if way.organization:
        headers["OpenAI-Organization"] = way.organization
    body = config.transform_request(**asked, headers={})
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    url = f"{way.api_base}/chat/completions"
    return Post(url, headers | own, _body(body), lambda: partial(_read_openai, []), whole.openai)


class Piece:
    """An object of OpenAI's protocol. What is not there is None: servers leave out what they do not need."""

    def __init__(self, fields: Json) -> None:
        self._fields = fields

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the protocol's own values
        value: Json | list[Json] | str | float | None = self._fields.get(name)
        if isinstance(value, list):
            return [Piece(part) for part in value]
        return Piece(value) if isinstance(value, dict) else value


def _read_openai(refused: list[str], event: Json) -> Record:
    if event.get("usage"):
        # litellm's own record: it is what the price is computed from.
        event["usage"] = import_module("litellm").Usage(**event["usage"])
    for choice in event.get("choices") or ():
        delta: Json = choice.get("delta") or {}
        if delta.get("refusal"):  # it has a place of its own, and comes without other text
            refused.append(delta["refusal"])
            delta["content"] = delta["refusal"]
        if refused and choice.get("finish_reason") == "stop":
            choice["finish_reason"] = "refusal"
    return Piece(event)


def _anthropic(way: Route, config: Record, asked: Json, own: dict[str, str]) -> Post:
    betas = import_module("litellm.anthropic_beta_headers_manager")
    handler = import_module("litellm.llms.anthropic.chat.handler")
    optional = asked["optional_params"]
    # An answer in the shape of a type is, for older models, a call of a tool; litellm makes text of it again.
    is_json = optional.pop("json_mode", False)
    headers = config.validate_environment(**asked, headers=own, api_key=way.api_key, api_base=way.api_base)
    body = config.transform_request(**asked, headers=headers) | {"stream": True}
    put_in_place(body["messages"])
    headers, body = betas.update_request_with_filtered_beta(headers=headers, request_data=body, provider="anthropic")
    iterator = partial(
        handler.ModelResponseIterator,
        None,
        sync_stream=False,
        json_mode=is_json,
        speed=optional.get("speed"),
        tool_name_reverse_map=asked["litellm_params"].get(handler.ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY),
    )
    base = way.api_base.removesuffix("/messages").removesuffix("/v1")
    reader = lambda: partial(_read_anthropic, iterator(), {})  # noqa: E731
    return Post(f"{base}/v1/messages", headers, _body(body), reader, whole.anthropic)


def _read_anthropic(iterator: Record, used: Json, event: Json) -> Record:
    if event.get("type") == "message_start":
        # Kept for the end: what litellm makes of it takes longer than all else before the first word.
        used.update(event["message"].get("usage") or {})
        return Piece({})
    if event.get("type") == "message_delta":
        event["usage"] = used | (event.get("usage") or {})
    return ending(iterator.chunk_parser(event), event.get("delta", {}).get("stop_reason"))


def _gemini(way: Route, asked: Json, own: dict[str, str]) -> Post:
    transformation = import_module("litellm.llms.vertex_ai.gemini.transformation")
    gemini = import_module("litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini")
    optional = asked["optional_params"]
    # All that the iterator reads of a log.
    log = SimpleNamespace(optional_params=dict(optional))
    cached = optional.pop("cached_content", None)
    body = transformation.transform_request_body(**asked, custom_llm_provider="gemini", cached_content=cached)
    iterator = partial(gemini.ModelResponseIterator, None, sync_stream=False, logging_obj=log)
    # Which version of the protocol Google serves a model in, litellm knows.
    url, method = import_module("litellm.llms.vertex_ai.common_utils").get_gemini_url("chat", way.model, stream=True)
    if way.api_base:
        url = f"{way.api_base}/models/{way.model}:{method}?alt=sse"
    headers = {"Content-Type": "application/json", "x-goog-api-key": way.api_key} | own
    return Post(url, headers, _body(body), lambda: partial(_read_gemini, iterator()), whole.gemini)


def _read_gemini(iterator: Record, event: Json) -> Record:
    candidates: list[Json] = event.get("candidates") or [{}]
    candidate = candidates[0]
    parts: list[Json] = candidate.get("content", {}).get("parts", [])
    for part in parts:
        # litellm misses the arguments of a call that has none.
        part.get("functionCall", {}).setdefault("args", {})
    chunk = iterator.chunk_parser(event)
    if event.get("promptFeedback", {}).get("blockReason"):
        return chunk
    return ending(chunk, candidate.get("finishReason"), candidate.get("finishMessage", ""))
