"""Tests of what telemetry tells, read back from OpenTelemetry's own SDK."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from loom import (
    END,
    START,
    Agent,
    AgentConfig,
    ConfigError,
    Context,
    Graph,
    MemoryCheckpointer,
    ModelRef,
    NodeError,
    Retry,
    Runtime,
    SessionConfig,
    State,
    create_agent,
    node,
    tool,
)
from loom.config import PolicyConfig, ToolAccessPolicy, ToolPolicy
from loom.telemetry import Telemetry
from loom.testing import ScriptedModel, call
from loom.types import Event, Message, ModelReply, Usage

pytestmark = pytest.mark.anyio
CLAUDE = ModelRef("anthropic", "claude-sonnet-4-5")


class Watched:
    """A telemetry whose spans and metrics can be read."""

    def __init__(self, name: str = "Deployer", *, content: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        meters = MeterProvider(metric_readers=[self.reader])
        self.telemetry = Telemetry(name, content=content, tracer_provider=self.tracers, meter_provider=meters)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self, name: str) -> list[HistogramDataPoint]:
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        found = [metric for scope in scopes for metric in scope.metrics if metric.name == name]
        return [point for metric in found for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]

    def tell(self, *told: tuple[str, dict[str, Any]], run_id: str = "r1", began: float = 100.0) -> None:
        """Observe events of a run, a second apart."""
        for number, (kind, payload) in enumerate(told):
            event = Event(type=kind, payload=payload, run_id=run_id, at=began + number, offset=number + 1)
            self.telemetry.observe(event)


Told = tuple[str, dict[str, Any]]

BEGUN: Told = ("run.started", {"graph": "agent", "resumed": False})
CALLED: Told = ("tool.started", {"tool": "deploy", "call_id": "c1", "arguments": {"to": "canary"}})
ANSWERED: Told = ("tool.finished", {"tool": "deploy", "call_id": "c1", "is_error": False, "content": "canary out"})
DONE: Told = ("run.completed", {})


def asked(model: str = "anthropic:claude-sonnet-4-5", cost: float | None = 0.5) -> tuple[str, dict[str, Any]]:
    usage = {"input_tokens": 10, "output_tokens": 4, "cached_tokens": 3, "cost_usd": cost}
    return "model.finished", {"node": "reason", "model": model, "finish_reason": "stop", "usage": usage}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


class Talk(State):
    answer: str = ""


@node(writes="answer", effect="write")
async def talk(ctx: Context) -> str:
    reply = await ctx.model(CLAUDE).complete([Message(role="user", content="canary question")])
    ctx.emit(Event(type="tool.started", payload={"tool": "echo", "call_id": "c1", "arguments": {"text": "canary"}}))
    await anyio.sleep(0.02)
    ctx.emit(
        Event(type="tool.finished", payload={"tool": "echo", "call_id": "c1", "is_error": False, "content": "canary"})
    )
    return reply.text


async def test_a_run_is_a_span_with_its_model_and_tool_calls_below_it() -> None:
    graph = Graph("agent", Talk)
    graph.node("talk", talk, ungated="a test")
    graph.edge(START, "talk", END)
    reply = ModelReply(text="canary answer", usage=Usage(input_tokens=7, output_tokens=2, cost_usd=0.25))
    watched = Watched()
    run = graph.compile().start({}, runtime=Runtime(models={CLAUDE.identifier: ScriptedModel([reply])}))
    with watched.tracers.get_tracer("test").start_as_current_span("request") as request:
        async for event in run.events():
            watched.telemetry.observe(event, conversation="s1")
    spans = watched.spans
    assert set(spans) == {"request", "invoke_agent Deployer", "chat claude-sonnet-4-5", "execute_tool echo"}
    invoked = spans["invoke_agent Deployer"]
    chat, tool = spans["chat claude-sonnet-4-5"], spans["execute_tool echo"]
    assert invoked.parent
    assert invoked.parent.span_id == request.get_span_context().span_id
    assert invoked.context
    assert [span.parent.span_id for span in (chat, tool) if span.parent] == [invoked.context.span_id] * 2
    assert (chat.kind, tool.kind, invoked.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.INTERNAL)
    assert attributes(invoked) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "Deployer",
        "gen_ai.conversation.id": "s1",
        "loom.run.id": run.run_id,
        "loom.run.graph": "agent",
        "loom.run.resumed": False,
        "loom.run.status": "completed",
    }
    assert attributes(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "loom.node": "talk",
        "loom.usage.cost_usd": 0.25,
    }
    assert attributes(tool) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "echo",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": "Deployer",
    }
    times = [invoked.start_time or 0, tool.start_time or 0, tool.end_time or 0, invoked.end_time or 0]
    assert times == sorted(times)
    assert times[2] - times[1] > 15_000_000


async def test_no_content_is_told_unless_it_is_wanted() -> None:
    story = (BEGUN, CALLED, ANSWERED, ("run.failed", {"error": "attempt 1: ValueError: canary"}))
    silent, telling = Watched(), Watched(content=True)
    silent.tell(*story)
    telling.tell(*story)
    assert "canary" not in "".join(span.to_json() for span in silent.exporter.get_finished_spans())
    tool = attributes(telling.spans["execute_tool deploy"])
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"to": "canary"}
    assert tool["gen_ai.tool.call.result"] == "canary out"
    assert attributes(telling.spans["invoke_agent Deployer"])["loom.run.error"] == "attempt 1: ValueError: canary"


def test_metrics_have_the_names_of_the_conventions() -> None:
    watched = Watched()
    watched.tell(BEGUN, ("step.started", {"node": "reason", "branch": ""}), asked(), CALLED, ANSWERED, DONE)
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-4-5",
    }
    told: dict[str, Sequence[tuple[float, dict[str, str]]]] = {
        "gen_ai.client.token.usage": [
            (10, chat | {"gen_ai.token.type": "input"}),
            (4, chat | {"gen_ai.token.type": "output"}),
        ],
        "gen_ai.client.operation.duration": [(1, chat)],
        "gen_ai.execute_tool.duration": [(1, {"gen_ai.tool.name": "deploy", "gen_ai.agent.name": "Deployer"})],
        "gen_ai.invoke_agent.duration": [(5, {"gen_ai.agent.name": "Deployer"})],
    }
    for name, points in told.items():
        assert [(point.sum, dict(point.attributes or {})) for point in watched.points(name)] == points, name
    assert watched.points("gen_ai.client.token.usage")[0].explicit_bounds[:3] == (1, 4, 16)


def test_a_call_of_a_model_begins_when_the_one_before_it_ended() -> None:
    watched = Watched()
    watched.tell(BEGUN, ("step.started", {"node": "reason"}), asked("local:a"), asked("local:b"), DONE)
    assert [watched.spans[name].start_time for name in ("chat a", "chat b")] == [101_000_000_000, 102_000_000_000]


def test_a_call_of_a_model_that_fails_is_an_error() -> None:
    watched = Watched()
    failed = {"node": "reason", "model": "local:a", "error": "RateLimitedError: canary"}
    watched.tell(BEGUN, ("step.started", {"node": "reason"}), ("model.failed", failed), asked("local:b"), DONE)
    span = watched.spans["chat a"]
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "RateLimitedError"
    assert (span.start_time, span.end_time) == (101_000_000_000, 102_000_000_000)
    assert watched.spans["chat b"].start_time == 102_000_000_000
    first, *_ = watched.points("gen_ai.client.operation.duration")
    assert dict(first.attributes or {})["error.type"] == "RateLimitedError"
    assert "canary" not in str(attributes(span))


@pytest.mark.parametrize(
    ("identifier", "provider", "name"),
    [
        ("gemini:gemini-3-pro", "gcp.gemini", "gemini-3-pro"),
        ("ollama:qwen3:4b", "ollama", "qwen3:4b"),
        ("mine", "_OTHER", "mine"),
    ],
)
def test_providers_have_the_names_of_the_conventions(identifier: str, provider: str, name: str) -> None:
    watched = Watched()
    watched.tell(BEGUN, asked(identifier, cost=None), DONE)
    chat = attributes(watched.spans[f"chat {name}"])
    assert chat["gen_ai.provider.name"] == provider
    assert "loom.usage.cost_usd" not in chat


def test_a_tool_that_fails_is_an_error() -> None:
    watched = Watched()
    watched.tell(BEGUN, CALLED, ("tool.finished", ANSWERED[1] | {"is_error": True}), DONE)
    tool = watched.spans["execute_tool deploy"]
    assert tool.status.status_code is StatusCode.ERROR
    assert attributes(tool)["error.type"] == "tool_error"
    assert dict(watched.points("gen_ai.execute_tool.duration")[0].attributes or {})["error.type"] == "tool_error"
    assert watched.spans["invoke_agent Deployer"].status.status_code is StatusCode.UNSET


def test_two_calls_with_one_id_are_two_spans() -> None:
    watched = Watched()
    watched.tell(BEGUN, CALLED, CALLED, ANSWERED, ANSWERED, DONE)
    tools = [span for span in watched.exporter.get_finished_spans() if span.name == "execute_tool deploy"]
    assert [(span.start_time, span.end_time) for span in tools] == [
        (101_000_000_000, 103_000_000_000),
        (102_000_000_000, 104_000_000_000),
    ]


ENDS: list[tuple[Told, dict[str, str]]] = [
    (("run.stopped", {"reason": "max_steps"}), {"loom.run.status": "stopped", "loom.run.stop_reason": "max_steps"}),
    (("run.paused", {"asks": ["a"]}), {"loom.run.status": "paused"}),
    (("run.cancelled", {}), {"loom.run.status": "cancelled"}),
    (("run.failed", {"error": "odd"}), {"loom.run.status": "failed", "error.type": "_OTHER"}),
]


@pytest.mark.parametrize(("end", "told"), ENDS)
def test_a_run_says_how_it_ended(end: Told, told: dict[str, str]) -> None:
    watched = Watched()
    watched.tell(BEGUN, end)
    span = watched.spans["invoke_agent Deployer"]
    assert told.items() <= attributes(span).items()
    assert (span.status.status_code is StatusCode.ERROR) == (end[0] == "run.failed")


async def test_an_error_is_told_by_its_type() -> None:
    @node(writes="answer")
    async def fail() -> str:
        raise TimeoutError("canary")

    graph = Graph("agent", Talk)
    graph.node("fail", fail, retry=Retry(max_attempts=2, backoff_s=0.01))
    graph.edge(START, "fail", END)
    run, watched = graph.compile().start({}), Watched()
    async for event in run.events():
        watched.telemetry.observe(event)
    with pytest.raises(NodeError):
        await run.wait()
    span = watched.spans["invoke_agent Deployer"]
    assert attributes(span)["error.type"] == "TimeoutError"
    (retried,) = span.events
    assert retried.name == "loom.step.retried"
    assert dict(retried.attributes or {}) == {"loom.node": "fail", "loom.attempt": 1, "error.type": "TimeoutError"}
    assert dict(watched.points("gen_ai.invoke_agent.duration")[0].attributes or {})["error.type"] == "TimeoutError"


def test_what_is_denied_asked_or_compressed_is_told_without_its_content() -> None:
    watched = Watched()
    watched.tell(
        BEGUN,
        ("veto.denied", {"tool": "rm", "by": "rule", "rule": "no rm", "reason": "canary"}),
        ("ask.opened", {"kind": "approve", "node": "approve", "question": "canary", "payload": {"x": "canary"}}),
        ("context.compressed", {"tokens_before": 9, "tokens_after": 5, "strategy": "offload", "summary": "canary"}),
        DONE,
    )
    assert [(event.name, dict(event.attributes or {})) for event in watched.spans["invoke_agent Deployer"].events] == [
        ("loom.veto.denied", {"loom.tool": "rm", "loom.by": "rule", "loom.rule": "no rm"}),
        ("loom.ask.opened", {"loom.kind": "approve", "loom.node": "approve"}),
        ("loom.context.compressed", {"loom.strategy": "offload", "loom.tokens_before": 9, "loom.tokens_after": 5}),
    ]


def test_runs_at_once_are_told_apart() -> None:
    watched = Watched("")
    for run_id in ("r1", "r2"):
        watched.tell(BEGUN, CALLED, run_id=run_id)
    for run_id in ("r2", "r1"):
        watched.tell(ANSWERED, DONE, run_id=run_id, began=200)
    spans = watched.exporter.get_finished_spans()
    runs = {span.context.span_id: span for span in spans if span.name == "invoke_agent" and span.context}
    assert [attributes(span)["loom.run.id"] for span in runs.values()] == ["r2", "r1"]
    parents = [span.parent.span_id for span in spans if span.name == "execute_tool deploy" and span.parent]
    assert parents == list(runs)


def test_what_is_cut_off_is_ended_as_interrupted() -> None:
    watched = Watched()
    watched.tell(BEGUN, CALLED, DONE)
    watched.tell(BEGUN, CALLED, run_id="r2")
    watched.tell(BEGUN, run_id="r2", began=200)
    watched.tell(CALLED, run_id="r2", began=201)
    watched.telemetry.close()
    watched.telemetry.close()
    spans = watched.exporter.get_finished_spans()
    assert [(span.name.split()[0], attributes(span).get("error.type")) for span in spans] == [
        ("execute_tool", "interrupted"),
        ("invoke_agent", None),
        *[("execute_tool", "interrupted"), ("invoke_agent", "interrupted")] * 2,
    ]


def test_events_of_a_run_whose_beginning_was_not_seen_are_passed_over() -> None:
    watched = Watched()
    watched.tell(CALLED, ANSWERED, asked(), DONE, run_id="other")
    watched.tell(BEGUN, ANSWERED, DONE)
    assert set(watched.spans) == {"invoke_agent Deployer"}


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


class Failing(SimpleSpanProcessor):
    """An exporter of somebody else's that is out of order."""

    def on_end(self, span: ReadableSpan) -> None:
        raise OSError(f"cannot tell of {span.name}")


async def test_a_run_ends_as_it_does_where_telling_of_it_fails(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.tracers.add_span_processor(Failing(watched.exporter))
    agent = create_agent(AgentConfig(model=ScriptedModel(["Hello", "Again"])), telemetry=watched.telemetry)
    assert [(await agent.run("Hi")).output, (await agent.run("Hi")).output] == ["Hello", "Again"]
    watched.tell(BEGUN)
    watched.telemetry.close()
    (record,) = [record for record in caplog.records if record.name == "loom.telemetry"]
    assert (record.levelname, record.exc_info and str(record.exc_info[1])) == (
        "WARNING",
        "cannot tell of chat ScriptedModel",
    )
    assert "invoke_agent Deployer" in watched.spans


def test_an_event_of_somebody_elses_that_lacks_its_fields_is_passed_over() -> None:
    watched = Watched()
    watched.tell(BEGUN, ("tool.finished", {}), ("model.finished", {"model": 3}), DONE)
    assert attributes(watched.spans["invoke_agent Deployer"])["loom.run.status"] == "completed"


@pytest.mark.parametrize(
    ("setting", "given"), [("agent_name", 3), ("content", "no"), ("tracer_provider", "otlp"), ("meter_provider", 1)]
)
def test_settings_that_cannot_be_meant_are_refused(setting: str, given: Any) -> None:
    with pytest.raises(ConfigError, match=rf"Telemetry\({setting}=…\) must be .*; got {type(given).__name__}: "):
        Telemetry(**{setting: given})


def test_nothing_is_imported_before_a_telemetry_is_made() -> None:
    code = "import sys, loom.telemetry; print([name for name in sys.modules if 'opentelemetry' in name])"
    assert run_python(code) == "[]\n"


def test_without_opentelemetry_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from loom.telemetry import Telemetry\n"
        "try: Telemetry()\n"
        "except ValueError as error: print(error)"
    )
    assert 'install the extra: pip install "loom-agent[otel]"' in run_python(code)


# An agent's


@tool(destructive=True, requires_permission=True)
async def deploy(to: str) -> str:
    return f"deployed to {to}"


def deployer(watched: Watched, store: MemoryCheckpointer) -> Agent:
    policy = PolicyConfig(tools=ToolPolicy(access=ToolAccessPolicy(allow_destructive=True)))
    config = AgentConfig(model=CLAUDE, tools=[deploy], policy=policy)
    model = ScriptedModel([call("deploy", to="staging"), "Done."])
    return create_agent(config, runtime=Runtime(models=model, checkpointer=store), telemetry=watched.telemetry)


async def test_an_agent_tells_of_its_runs_also_of_those_that_go_on() -> None:
    watched, store = Watched(), MemoryCheckpointer()
    agent = deployer(watched, store)
    waiting = await agent.session(SessionConfig(id="s1")).run("Deploy")
    assert set(watched.spans) == {"invoke_agent Deployer", "chat claude-sonnet-4-5"}
    done = await agent.resume(waiting.run_id, {waiting.asks[0].id: True})
    assert done.output == "Done."
    spans = watched.exporter.get_finished_spans()
    assert [span.name for span in spans] == [
        "chat claude-sonnet-4-5",
        "invoke_agent Deployer",
        "execute_tool deploy",
        "chat claude-sonnet-4-5",
        "invoke_agent Deployer",
    ]
    invoked = [span.attributes or {} for span in spans if "invoke" in span.name]
    assert [one.get("gen_ai.conversation.id") for one in invoked] == ["s1", "s1"]
    assert all(span.parent for span in spans if "invoke" not in span.name)
    assert not any("staging" in str(span.attributes) for span in spans), "content is off by default"
    await agent.close()


async def test_a_run_that_goes_on_is_told_of_while_it_is_at_work() -> None:
    watched, store, let_go = Watched(), MemoryCheckpointer(), anyio.Event()
    agent = deployer(watched, store)
    run = agent.session(SessionConfig(id="s1")).start("Deploy")
    (ask,) = (await run.wait()).asks
    told = run.answer_streaming({ask.id: True})
    async for event in told:
        if event.type == "text_delta":
            assert "execute_tool deploy" in watched.spans
            let_go.set()
    assert let_go.is_set()
    assert [span.name for span in watched.exporter.get_finished_spans()].count("invoke_agent Deployer") == 2
    await agent.close()
