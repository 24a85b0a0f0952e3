"""A model that replays a recording of a real one: for demos and tests without a network."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import SequenceMatcher, unified_diff
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from loom.errors import ConfigError, ProviderError
from loom.models.litellm import LiteLLMModel
from loom.testing.scripted import counted, stream
from loom.types.content import MessageContent
from loom.types.messages import ThinkingBlock, ToolCall
from loom.types.models import Emit, Model, ModelReply, ModelRequest
from loom.types.usage import Usage

DIFF_LINES = 80

# Any: JSON.
Json = dict[str, Any]


def _lines(text: str) -> str | list[str]:
    return text.split("\n") if "\n" in text else text


def _joined(text: object) -> object:
    return "\n".join(map(str, cast("list[object]", text))) if isinstance(text, list) else text


# A text of several lines is a list in the file, so that it can be read there and a diff shows the line that changed.
Text = Annotated[str, BeforeValidator(_joined), PlainSerializer(_lines)]


class Recorded(BaseModel):
    """One reply in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Text = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage
    finish_reason: str
    thinking: tuple[ThinkingBlock, ...] = ()


class Entry(BaseModel):
    """One request in the file, with its replies in the order they were given."""

    model_config = ConfigDict(extra="forbid")

    request: Json
    replies: list[Recorded]


class Tape(BaseModel):
    """The file. `model` is who was recorded, `recorded` the day (UTC) of the latest recording."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    model: str
    recorded: str
    about: Text = ""
    entries: list[Entry]


class CassetteModel:
    """A model that answers from the JSON file `path`; what is not there, `inner` is asked, and its reply is kept.

    A request is known by its messages, tools, limits, temperature and the schema of its response type; the node
    and the run do not count. Equal requests get their recorded replies one after the other, each once. The count
    begins anew with every `CassetteModel`: a run that another process resumes gets the first reply again for a
    request that equals one asked before the resume, so let requests differ (by their history, by a sprint's number)
    where the replies should. What streamed is not kept: a reply is replayed as `ScriptedModel` gives one.

    Without `inner` nothing but the file is needed, and a request that is not in it is a `ProviderError` that shows
    how it differs from the closest one. `about` is a note for the file's head. Two recorders at once on one file
    lose replies.

    Raises `ConfigError` for a file that is missing without `inner`, is damaged, or records another model.
    """

    def __init__(self, path: str | Path, inner: Model | None = None, *, about: str = "") -> None:
        if about and inner is None:
            raise ConfigError(f'cassette "{path}": a note is written when recording: about needs inner')
        self._path = Path(path)
        self._inner = inner
        self._about = about
        self._tape = self._load()
        self._entries = {_key(entry.request): entry for entry in self._tape.entries}
        self._given: Counter[str] = Counter()
        if len(self._entries) < len(self._tape.entries):
            raise ConfigError(f'cassette "{path}" has two entries for one request: put their replies into one')

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Replay the next reply to `request`, or ask `inner` and record. Raises `ProviderError` on a miss."""
        asked = _rendered(request)
        key = _key(asked)
        entry = self._entries.get(key)
        if entry is None or self._given[key] >= len(entry.replies):
            if self._inner is None:
                raise ProviderError(self._miss(request.node, asked, entry))
            reply = await self._inner.complete(request, emit)
            self._record(key, asked, reply)
            return reply
        recorded = entry.replies[self._given[key]]
        self._given[key] += 1
        reply = ModelReply.model_validate(dict(recorded))
        stream(reply, emit)
        return reply

    def _load(self) -> Tape:
        model = "" if self._inner is None else _identifier(self._inner)
        if not self._path.exists():
            if self._inner is None:
                raise ConfigError(f'cassette "{self._path}" does not exist; record it with CassetteModel(path, inner)')
            return Tape(version=1, model=model, recorded="", entries=[])
        try:
            tape = Tape.model_validate_json(self._path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f'cassette "{self._path}" cannot be read: {error}') from error
        if self._inner is not None and model != tape.model:
            raise ConfigError(
                f'cassette "{self._path}" records model "{tape.model}", but inner is "{model}": use another file'
            )
        return tape

    def _record(self, key: str, asked: Json, reply: ModelReply) -> None:
        if key not in self._entries:
            self._entries[key] = Entry(request=asked, replies=[])
            self._tape.entries.append(self._entries[key])
        self._entries[key].replies.append(Recorded.model_validate(dict(reply)))
        self._given[key] += 1
        self._tape.recorded = datetime.now(UTC).date().isoformat()
        self._tape.about = self._about or self._tape.about
        self._save()

    def _save(self) -> None:
        text = json.dumps(self._tape.model_dump(mode="json", exclude_defaults=True), indent=2, ensure_ascii=False)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and moved into place: whoever reads or dies meanwhile, the file is whole.
        aside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        aside.write_text(f"{text}\n", encoding="utf-8")
        aside.replace(self._path)

    def _miss(self, node: str, asked: Json, entry: Entry | None) -> str:
        head = f'cassette "{self._path}"' + (f', asked by node "{node}",' if node else "")
        again = "record it again with CassetteModel(path, inner)"
        if entry is not None:
            count = len(entry.replies)
            return f"{head} has {counted(count)} to this request and was asked {count + 1} times; {again}"
        if not self._entries:
            return f"{head} is empty; {again}"
        here = _as_lines(asked)
        there = max((_as_lines(known.request) for known in self._tape.entries), key=lambda it: _likeness(it, here))
        diff = list(unified_diff(there, here, "closest recorded request", "this request", n=2, lineterm=""))
        shown = "\n".join(islice(diff, DIFF_LINES))
        more = f"\n… {len(diff) - DIFF_LINES} more lines" if len(diff) > DIFF_LINES else ""
        return f"{head} has no reply to this request; {again}. The difference:\n{shown}{more}"


def _identifier(model: Model) -> str:
    return model.ref.identifier if isinstance(model, LiteLLMModel) else type(model).__name__


def _rendered(request: ModelRequest) -> Json:
    """Return what of `request` a model sees, as JSON: only what is set, every object's keys sorted."""
    rendered: Json = {"messages": []}
    for message in request.messages:
        fields = message.model_dump(mode="json", exclude_defaults=True)
        rendered["messages"].append(fields | ({"content": _content(message.content)} if message.content else {}))
    if request.tools:
        rendered["tools"] = [tool.model_dump(mode="json") for tool in request.tools]
    if request.max_output_tokens is not None:
        rendered["max_output_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        rendered["temperature"] = request.temperature
    if request.response_type is not None:
        rendered["response_schema"] = request.response_type.model_json_schema()
    return cast("Json", json.loads(_key(rendered)))


def _content(content: MessageContent) -> object:
    if isinstance(content, str):
        return _lines(content)
    blocks = [block.model_dump(mode="json") for block in content]
    for block in blocks:
        # A file of megabytes makes no cassette to read: its digest tells it from any other.
        if "data" in (source := block.get("source", {})):
            source["data"] = f"sha256:{sha256(source['data'].encode()).hexdigest()}"
    return blocks


def _key(rendered: Json) -> str:
    return json.dumps(rendered, sort_keys=True)


def _as_lines(rendered: Json) -> list[str]:
    return json.dumps(rendered, indent=2, sort_keys=True, ensure_ascii=False).splitlines()


def _likeness(these: Sequence[str], those: Sequence[str]) -> float:
    return SequenceMatcher(None, these, those, autojunk=False).quick_ratio()
