"""Real HTTP servers on this machine that speak the protocols of providers, saying what a test tells them to."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Event, Semaphore, Thread
from typing import Any, NamedTuple, TypeVar

import pytest

from loom.models.litellm import LiteLLMModel
from loom.models.retry import Backoff
from loom.types.messages import Message
from loom.types.models import Model, ModelRef, ModelReply, ModelRequest
from loom.types.stream import ModelDelta

# Any: JSON.
Json = dict[str, Any]

MARKS = [
    pytest.mark.anyio,
    # Found, not imported: that takes seconds, which collecting tests should not.
    pytest.mark.skipif(find_spec("litellm") is None, reason='needs litellm: pip install "loom-agent[agent]"'),
    # litellm silences it when it is imported; pytest takes that back for each test.
    pytest.mark.filterwarnings("ignore:.*`ReadOnly` qualifier:UserWarning"),
]

Test = TypeVar("Test", bound=Callable[..., object])


def live(test: Test) -> Test:
    """Mark a test that asks a server, in a file whose others do not."""
    for mark in [*MARKS, pytest.mark.usefixtures("keys")]:
        test = mark(test)
    return test


ASK = ModelRequest(messages=(Message(role="user", content="hi"),))


async def ask(model: Model, request: ModelRequest = ASK) -> tuple[ModelReply, list[ModelDelta]]:
    heard: list[ModelDelta] = []
    return await model.complete(request, heard.append), heard


class Waits:
    """A sleep that only takes note."""

    def __init__(self) -> None:
        self.s: list[float] = []

    async def __call__(self, wait_s: float) -> None:
        self.s.append(wait_s)


def patient(ref: ModelRef, waits: Waits | None = None, **backoff: Any) -> LiteLLMModel:
    """Return a client that does not wait between attempts."""
    return LiteLLMModel(ref=ref, backoff=Backoff(**backoff), sleep=waits or Waits(), chance=lambda: 0.0)


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]
    body: Json


class Handler(BaseHTTPRequestHandler):
    """Gives the server's next answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    provider: "Provider"

    def setup(self) -> None:
        super().setup()
        self.provider.connections += 1

    def finish(self) -> None:
        super().finish()
        self.provider.hung_up.release()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.provider.asked.append(Asked(self.path, headers, body))
        self.close_connection = not self.provider.keeps
        self.provider.answers.pop(0)(self)


Answer = Callable[[Handler], None]


class Provider:
    """What a test knows of its server: where it is, what it will answer, what it was asked."""

    def __init__(self, base: str, answers: list[Answer], *, keeps: bool) -> None:
        self.base = base
        self.answers = answers
        self.keeps = keeps
        self.asked: list[Asked] = []
        self.connections = 0
        self.hung_up = Semaphore(0)

    @property
    def ref(self) -> ModelRef:
        return ModelRef.local(f"{self.base}/v1")


@contextmanager
def provider(*answers: Answer, keeps: bool = False) -> Generator[Provider]:
    """Serve `answers`, one a request, on a free port. A connection ends with its answer unless `keeps`."""

    class Bound(Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        Bound.provider = Provider(f"http://127.0.0.1:{server.server_address[1]}", list(answers), keeps=keeps)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Bound.provider
        finally:
            server.shutdown()
            thread.join()


def begin_stream(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    if not handler.provider.keeps:
        handler.send_header("Connection", "close")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()


def send(handler: Handler, event: str) -> None:
    data = event.encode()
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.wfile.flush()


def end_stream(handler: Handler) -> None:
    handler.wfile.write(b"0\r\n\r\n")


def data(chunk: Json) -> str:
    return f"data: {json.dumps(chunk)}\n\n"


def events(*said: str, cut: bool = False) -> Answer:
    """Stream these events; `cut` ends in the middle of the transfer."""

    def answer(handler: Handler) -> None:
        begin_stream(handler)
        for event in said:
            send(handler, event)
        if cut:
            handler.close_connection = True
        else:
            end_stream(handler)

    return answer


def stalled(first: str, done: Event) -> Answer:
    """Stream one event, then nothing until `done`."""

    def answer(handler: Handler) -> None:
        begin_stream(handler)
        send(handler, first)
        done.wait(10)

    return answer


def endless(event: str, hung_up: Event) -> Answer:
    """Stream one event over and over until the client hangs up."""

    def answer(handler: Handler) -> None:
        begin_stream(handler)
        try:
            while True:
                send(handler, event)
                time.sleep(0.01)
        except OSError:
            hung_up.set()

    return answer


def silent(hung_up: Event) -> Answer:
    """Say nothing until the client hangs up."""

    def answer(handler: Handler) -> None:
        handler.connection.settimeout(10)
        # What there is to read, once a request was read, is that the client is gone.
        if handler.connection.recv(1) == b"":
            hung_up.set()

    return answer


def failing(code: int, body: Json | list[Json], **headers: str) -> Answer:
    """Answer in one piece, with this status, this JSON and these headers."""

    def answer(handler: Handler) -> None:
        said = json.dumps(body).encode()
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if not handler.provider.keeps:
            handler.send_header("Connection", "close")
        handler.send_header("Content-Length", str(len(said)))
        handler.end_headers()
        handler.wfile.write(said)

    return answer


# OpenAI's protocol.


def delta(finish_reason: str | None = None, **fields: object) -> Json:
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


USED: Json = delta() | {
    "choices": [],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
    },
}


def openai(*chunks: Json, cut: bool = False) -> Answer:
    """Answer in OpenAI's protocol."""
    said = [data(chunk) for chunk in chunks]
    return events(*said, cut=True) if cut else events(*said, "data: [DONE]\n\n")


HELLO = openai(delta(role="assistant", content="Hel"), delta(content="lo"), delta("stop"), USED)


def calls(*pieces: Json) -> Answer:
    return openai(delta(role="assistant", content=None, tool_calls=pieces), delta("tool_calls"), USED)


def status(code: int, message: str = "no", **headers: str) -> Answer:
    return failing(code, {"error": {"message": message}}, **headers)
