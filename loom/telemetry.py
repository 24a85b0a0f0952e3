"""Runs as OpenTelemetry spans and metrics, worked out from their events.

The names are those of the semantic conventions for generative AI, which are still in development: spans `invoke_agent`,
`chat` and `execute_tool`, attributes and metrics `gen_ai.*`. What the conventions have no name for is under `loom.*`.
What was said, and what tools were given and returned, is left out unless it is wanted.

OpenTelemetry is imported when a `Telemetry` is made, and not before.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loom.errors import ConfigError, short
from loom.types.events import Event

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

# Any, in this module: payloads of events, which are JSON.

_LOG: Final = logging.getLogger(__name__)

_ENDS: Final = frozenset({"run.completed", "run.paused", "run.stopped", "run.cancelled", "run.failed"})
# Events that are told as they are, beside spans, with those of their fields that are no content.
_TOLD: Final = {
    "ask.opened": ("kind", "node"),
    "context.compressed": ("strategy", "tokens_before", "tokens_after"),
    "context.renewed": ("tokens_before", "tokens_after"),
    "step.retried": ("node", "attempt"),
    "veto.denied": ("tool", "by", "rule"),
}
# Where the conventions have a name of their own for a provider.
_PROVIDERS: Final = {"gemini": "gcp.gemini"}
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_LONG_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
# An error in an event begins with its type, after where it happened.
_ERROR_TYPE: Final = re.compile(r"(?:^|attempt \d+: )([A-Za-z_][\w.]*)(?=:)")


@dataclass(slots=True)
class _Invocation:
    """A run at work: its span, those of its tool calls, and since when each of its nodes may have asked a model."""

    span: "Span"
    began: float
    tools: dict[tuple[str, str], list[tuple["Span", float]]] = field(
        default_factory=dict[tuple[str, str], list[tuple["Span", float]]]
    )
    since: dict[str, float] = field(default_factory=dict[str, float])


class Telemetry:
    """Tells OpenTelemetry of runs. Feed it the events of each, in order, as they happen.

    `agent_name` is that of the agent whose runs they are. With `content` the arguments and results of tools and the
    messages of errors are told too. Without providers those that the program has set for all are used. A run's span
    is a child of what is current where its first event is observed.

    What goes wrong in telling, as in a span processor, is no failure of a run: it is logged once, as a warning of the
    logger `loom.telemetry`.

    Raises:
        ConfigError: OpenTelemetry is not installed, or a setting is not what it should be.
    """

    def __init__(
        self,
        agent_name: str = "",
        *,
        content: bool = False,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
    ) -> None:
        try:
            from opentelemetry import metrics, trace  # noqa: PLC0415 - nobody pays for it who has not asked for it
        except ImportError as error:
            wanted = 'OpenTelemetry is not installed; install the extra: pip install "loom-agent[otel]"'
            raise ConfigError(f"telemetry is switched on, but {wanted}") from error
        for name, given, is_right, expected in (
            ("agent_name", agent_name, isinstance(agent_name, str), "a text"),
            ("content", content, isinstance(content, bool), "True or False"),
            ("tracer_provider", tracer_provider, _has(tracer_provider, "get_tracer"), "a TracerProvider or None"),
            ("meter_provider", meter_provider, _has(meter_provider, "get_meter"), "a MeterProvider or None"),
        ):
            if not is_right:
                got = f"got {type(given).__name__}: {short(given)}"
                raise ConfigError(f"Telemetry({name}=…) must be {expected}; {got}")
        self._trace = trace
        self._agent = {"gen_ai.agent.name": agent_name} if agent_name else {}
        self._content = content
        self._tracer = trace.get_tracer("loom", tracer_provider=tracer_provider)
        meter = metrics.get_meter("loom", meter_provider=meter_provider)

        def histogram(name: str, unit: str, about: str, bounds: tuple[float, ...]) -> "Histogram":
            return meter.create_histogram(name, unit, about, explicit_bucket_boundaries_advisory=bounds)

        self._tokens = histogram("gen_ai.client.token.usage", "{token}", "Tokens read and written.", _TOKENS)
        self._chats = histogram("gen_ai.client.operation.duration", "s", "How long models took.", _SECONDS)
        self._calls = histogram("gen_ai.execute_tool.duration", "s", "How long tools took.", _SECONDS)
        self._invocations = histogram("gen_ai.invoke_agent.duration", "s", "How long runs took.", _LONG_SECONDS)
        self._at_work: dict[str, _Invocation] = {}
        self._has_failed = False

    def observe(self, event: Event, *, conversation: str = "") -> None:
        """Take in the next event of a run. `conversation` names the session that the run belongs to.

        Events of a run whose beginning was not observed are passed over.
        """
        try:
            self._observe(event, conversation)
        except Exception as error:  # noqa: BLE001 - other people's exporters, and events of nodes of the user's own
            self._warn(error)

    def _observe(self, event: Event, conversation: str) -> None:
        if event.type == "run.started":
            self._begin(event, conversation)
            return
        run = self._at_work.get(event.run_id)
        if run is None:
            return
        if event.type in _ENDS:
            self._end(event, run)
        elif event.type == "step.started":
            run.since[event.payload["node"]] = event.at
        elif event.type in ("model.finished", "model.failed"):
            self._chat(event, run)
        elif event.type == "tool.started":
            self._begin_call(event, run)
        elif event.type == "tool.finished":
            self._end_call(event, run)
        elif event.type in _TOLD:
            if event.type == "step.retried":
                run.since[event.payload["node"]] = event.at
            fields = _some(event, *_TOLD[event.type], prefix="loom.")
            if error := event.payload.get("error"):
                fields["error.type"] = _error_type(error)
            run.span.add_event(f"loom.{event.type}", fields, _ns(event.at))

    def close(self) -> None:
        """End the spans of runs that are still at work. The providers are the program's own to shut down."""
        for run_id in list(self._at_work):
            try:
                self._finish(self._at_work.pop(run_id), at=None, error="interrupted", status="")
            except Exception as error:  # noqa: BLE001 - as in `observe`
                self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            _LOG.warning("telemetry failed, and what fails after this is not told", exc_info=error)

    def _begin(self, event: Event, conversation: str) -> None:
        if old := self._at_work.pop(event.run_id, None):  # its end was lost, or it was left in the middle
            self._finish(old, at=event.at, error="interrupted", status="")
        attributes = {"gen_ai.operation.name": "invoke_agent", "loom.run.id": event.run_id, **self._agent}
        attributes |= _some(event, "graph", "resumed", prefix="loom.run.")
        if conversation:
            attributes["gen_ai.conversation.id"] = conversation
        span = self._span("invoke_agent", self._agent.get("gen_ai.agent.name", ""), event.at, attributes)
        self._at_work[event.run_id] = _Invocation(span, event.at)

    def _end(self, event: Event, run: _Invocation) -> None:
        del self._at_work[event.run_id]
        status = event.type.removeprefix("run.")
        if status == "stopped" and (reason := event.payload.get("reason")):
            run.span.set_attribute("loom.run.stop_reason", reason)
        error = event.payload.get("error", "") if status == "failed" else ""
        if error and self._content:
            run.span.set_attribute("loom.run.error", error)
        self._finish(run, at=event.at, error=_error_type(error) if status == "failed" else "", status=status)

    def _finish(self, run: _Invocation, *, at: float | None, error: str, status: str) -> None:
        for spans in run.tools.values():
            for span, _ in spans:
                self._close(span, at, "interrupted")
        if status:
            run.span.set_attribute("loom.run.status", status)
        self._close(run.span, at, error)
        if at is not None:
            self._invocations.record(max(0.0, at - run.began), self._agent | _error(error))

    def _chat(self, event: Event, run: _Invocation) -> None:
        payload, node = event.payload, event.payload["node"]
        began = run.since.get(node, run.began)
        run.since[node] = event.at
        provider, model = _model(payload["model"])
        about = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        client = self._trace.SpanKind.CLIENT
        if event.type == "model.failed":
            error = _error_type(payload["error"])
            span = self._span("chat", model, began, about | {"loom.node": node}, within=run, kind=client)
            self._close(span, event.at, error)
            self._chats.record(max(0.0, event.at - began), about | _error(error))
            return
        usage: Mapping[str, Any] = payload["usage"]
        used: dict[str, Any] = {
            "gen_ai.usage.input_tokens": usage["input_tokens"],
            "gen_ai.usage.output_tokens": usage["output_tokens"],
            "gen_ai.usage.cache_read.input_tokens": usage["cached_tokens"],
            "gen_ai.response.finish_reasons": (payload["finish_reason"],),
            "loom.node": node,
        }
        if usage["cost_usd"] is not None:  # an unknown price is no price of 0
            used["loom.usage.cost_usd"] = usage["cost_usd"]
        span = self._span("chat", model, began, about | used, within=run, kind=client)
        span.end(_ns(event.at))
        self._chats.record(max(0.0, event.at - began), about)
        self._tokens.record(usage["input_tokens"], about | {"gen_ai.token.type": "input"})
        self._tokens.record(usage["output_tokens"], about | {"gen_ai.token.type": "output"})

    def _begin_call(self, event: Event, run: _Invocation) -> None:
        tool, call = event.payload["tool"], event.payload["call_id"]
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.call.id": call,
            "gen_ai.tool.type": "function",
            **self._agent,
        }
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = json.dumps(event.payload["arguments"], ensure_ascii=False)
        span = self._span("execute_tool", tool, event.at, attributes, within=run)
        run.tools.setdefault((tool, call), []).append((span, event.at))

    def _end_call(self, event: Event, run: _Invocation) -> None:
        tool, call = event.payload["tool"], event.payload["call_id"]
        waiting = run.tools.get((tool, call))
        if not waiting:
            return
        span, began = waiting.pop(0)
        error = "tool_error" if event.payload["is_error"] else ""
        if self._content:
            span.set_attribute("gen_ai.tool.call.result", event.payload["content"])
        self._close(span, event.at, error)
        about = {"gen_ai.tool.name": tool, **self._agent}
        self._calls.record(max(0.0, event.at - began), about | _error(error))

    def _span(
        self,
        operation: str,
        name: str,
        at: float,
        attributes: Mapping[str, Any],
        *,
        within: _Invocation | None = None,
        kind: Any = None,  # noqa: ANN401 - a class that is not imported
    ) -> "Span":
        context = self._trace.set_span_in_context(within.span) if within else None
        kind = kind or self._trace.SpanKind.INTERNAL
        title = f"{operation} {name}" if name else operation
        return self._tracer.start_span(title, context, kind, attributes, start_time=_ns(at))

    def _close(self, span: "Span", at: float | None, error: str) -> None:
        if error:
            span.set_attribute("error.type", error)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))
        span.end(None if at is None else _ns(at))


def _has(provider: object, method: str) -> bool:
    return provider is None or callable(getattr(provider, method, None))


def _some(event: Event, *names: str, prefix: str) -> dict[str, Any]:
    return {f"{prefix}{name}": event.payload[name] for name in names if event.payload.get(name) is not None}


def _model(identifier: str) -> tuple[str, str]:
    """Return the provider and the model that an identifier such as `anthropic:claude-sonnet-4-5` names."""
    provider, colon, model = identifier.partition(":")
    return (_PROVIDERS.get(provider, provider), model) if colon else ("_OTHER", identifier)


def _error(kind: str) -> dict[str, str]:
    return {"error.type": kind} if kind else {}


def _error_type(error: str) -> str:
    found = _ERROR_TYPE.search(error)
    return found[1] if found else "_OTHER"


def _ns(at: float) -> int:
    return round(at * 1e9)
